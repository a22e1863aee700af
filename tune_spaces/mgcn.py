"""What a sweep of MGCN searches: contrast and its temperature, layers, neighbours, regularisation, learning rate."""

from ray import tune

SPACE = {
    "settings.width": tune.choice([64, 128]),
    "settings.neighbours": tune.choice([5, 10, 20]),
    "settings.interaction_layers": tune.choice([2, 3]),
    "settings.contrast_weight": tune.choice([0.001, 0.01, 0.1]),
    "settings.temperature": tune.choice([0.1, 0.2, 0.5]),
    "settings.regularisation": tune.loguniform(1e-6, 1e-2),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 1e-2),
}
