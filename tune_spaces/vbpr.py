"""What a sweep of VBPR searches: width, regularisation, learning rate."""

from ray import tune

SPACE = {
    "settings.width": tune.choice([32, 64, 128]),
    "settings.regularisation": tune.loguniform(1e-5, 1e-1),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 3e-2),
}
