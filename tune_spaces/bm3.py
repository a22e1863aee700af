"""What a sweep of BM3 searches: layers, dropout, alignment, regularisation, learning rate."""

from ray import tune

SPACE = {
    "settings.width": tune.choice([64, 128]),
    "settings.layers": tune.choice([1, 2]),
    "settings.dropout": tune.choice([0.3, 0.5]),
    "settings.alignment_weight": tune.choice([0.5, 1.0, 2.0]),
    "settings.regularisation": tune.choice([0.01, 0.1]),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 1e-2),
}
