"""What a sweep of MIMNet searches: the grids of its authors, and what decided trials on real ratings.

The authors' code (arXiv 2408.00038) varies the number of interests, of prototypes, and the learning rate; the weights
of the tables decide more where biases and response style are taken off first.
"""

from ray import tune

SPACE = {
    "settings.network.interests": tune.choice([1, 3, 5, 7, 10]),
    "settings.network.prototypes": tune.choice([20, 50, 100, 200]),
    "settings.network.iterations": tune.choice([1, 2, 3, 5]),
    "settings.meta.learning_rate": tune.choice([0.001, 0.005, 0.01]),
    "settings.factors.width": tune.choice([5, 10, 20]),
    "settings.factors.source_ridge": tune.loguniform(3.0, 60.0),
}
