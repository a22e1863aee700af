"""What a sweep of BPR-MF searches: width, regularisation, learning rate."""

from ray import tune

SPACE = {
    "settings.width": tune.choice([32, 64, 128, 256]),
    "settings.regularisation": tune.loguniform(1e-6, 1e-2),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 3e-2),
}
