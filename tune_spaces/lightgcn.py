"""What a sweep of LightGCN searches: the paper's grid of layers and regularisation, width and learning rate."""

from ray import tune

SPACE = {
    "settings.width": tune.choice([32, 64, 128, 256]),
    "settings.layers": tune.choice([1, 2, 3, 4]),
    "settings.regularisation": tune.loguniform(1e-6, 1e-2),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 3e-2),
}
