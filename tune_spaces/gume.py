"""What a sweep of GUME searches: the values that its published configurations differ in, and a decade on each side.

The published settings of Baby, Sports, Clothing and Electronics (arXiv 2407.12338, the authors' configuration) use
1 or 2 layers over the item graph, alignment temperatures of 0.1 to 0.4 and weights of 0.001 to 0.1.
"""

from ray import tune

SPACE = {
    "settings.graph.item_layers": tune.choice([1, 2]),
    "settings.alignment.external_temperature": tune.choice([0.1, 0.2, 0.4, 0.8]),
    "settings.user_modality.temperature": tune.choice([0.05, 0.1, 0.2, 0.4]),
    "settings.user_modality.weight": tune.loguniform(1e-3, 1.0),
    "settings.alignment.internal_weight": tune.loguniform(1e-4, 1.0),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 1e-2),
}
