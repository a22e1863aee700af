"""What a sweep of EASE searches: the weight of the squared weights, over the range where its paper's data sets peak."""

from ray import tune

SPACE = {
    "settings.ridge": tune.loguniform(1.0, 10000.0),
}
