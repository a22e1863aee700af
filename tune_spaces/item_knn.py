"""What a sweep of item k-NN searches: neighbours, and the shrinkage of similarities that rest on few users."""

from ray import tune

SPACE = {
    "settings.neighbours": tune.choice([5, 10, 20, 50, 100, 200, 400]),
    "settings.shrinkage": tune.choice([0.0, 1.0, 5.0, 10.0, 20.0, 50.0, 100.0]),
}
