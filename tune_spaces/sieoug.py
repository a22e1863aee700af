"""What a sweep of SIEOUG searches: clusters and guidance as in the paper's study, and what decided trials on real data.

The paper (arXiv 2502.16068) studies the number of clusters and the weight lambda of the guidance loss; the hypergraph's
weight of 0 leaves the clusters out, so that the search can say whether they help; so does that of the votes. Attention
(`--preset paper`) weighs the views itself: fix their weights then, by `--set settings.views.pair_weight=1` and
`--set settings.views.hyper_weight=1`.
"""

from ray import tune

SPACE = {
    "settings.width": tune.choice([32, 64, 128]),
    "settings.regularisation": tune.loguniform(1e-5, 1e-2),
    "settings.views.interaction_layers": tune.choice([1, 2, 3]),
    "settings.views.pair_weight": tune.uniform(0.0, 2.0),
    "settings.votes.weight": tune.choice([0.0, 50.0, 100.0, 150.0, 300.0]),
    "settings.votes.ridge": tune.loguniform(20.0, 200.0),
    "settings.votes.graph": tune.uniform(0.0, 20.0),  # at most the ridge
    "settings.votes.cross": tune.uniform(0.0, 2.0),
    "settings.views.hyper_weight": tune.choice([0.0, 0.5, 1.0]),
    "settings.hypergraph.clusters": tune.choice([5, 10, 15, 20, 30]),
    "settings.transfer.weight": tune.choice([0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0]),
    "settings.transfer.users": tune.choice([128, 256, 512, 1024]),
    "train.optimizer.learning_rate": tune.loguniform(1e-4, 2e-2),
}
