"""The grid of GUME's four weights: two temperatures tau, alpha and beta of the alignments, gamma of user modality.

    raymm tune gume --space tune_spaces/gume_grid.py --search grid --trials 81 --scheduler fifo --data DIR --name grid

The values are those that the published configurations take (arXiv 2407.12338, the authors' configuration).
"""

from ray import tune

SPACE = {
    "settings.alignment.external_temperature": tune.choice([0.1, 0.2, 0.4]),
    "settings.alignment.internal_weight": tune.choice([0.001, 0.01, 0.1]),
    "settings.alignment.external_weight": tune.choice([0.001, 0.01, 0.1]),
    "settings.user_modality.weight": tune.choice([0.001, 0.01, 0.1]),
}
