"""What a sweep of FREEDOM searches: dropped edges, weight of the feature losses, layers, learning rate."""

from ray import tune

SPACE = {
    "settings.width": tune.choice([64, 128]),
    "settings.neighbours": tune.choice([5, 10, 20]),
    "settings.interaction_layers": tune.choice([2, 3]),
    "settings.dropped": tune.choice([0.5, 0.7, 0.8, 0.9]),
    "settings.feature_weight": tune.loguniform(1e-5, 1e-1),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 1e-2),
}
