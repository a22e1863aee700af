"""What a sweep of LATTICE searches: share of the frozen graph, neighbours, layers, regularisation, learning rate."""

from ray import tune

SPACE = {
    "settings.width": tune.choice([64, 128]),
    "settings.neighbours": tune.choice([5, 10, 20]),
    "settings.frozen_share": tune.choice([0.1, 0.5, 0.7, 0.9]),
    "settings.item_layers": tune.choice([1, 2]),
    "settings.regularisation": tune.loguniform(1e-5, 1e-1),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 1e-2),
}
