"""A record of a rating run whose numbers are made up."""

from __future__ import annotations

from typing import Any

from raymm.evaluation.compare import Comparison
from raymm.report.rating_record import YARDSTICKS, ErrorSlice, Predicted, RatingExample, RatingFacts, RatingRecord


def saved(difference: float, half: float = 0.01) -> Comparison:
    """A comparison with a symmetric interval."""
    interval = (difference - half, difference + half)
    return Comparison(
        "mse", 50, 1.0, 1.0 - difference, difference, interval, difference, None, 0.95, 0.01, 0.02, 0.6, 0.4
    )


def make_rating_record(own: float = 0.95, **changes: Any) -> RatingRecord:
    """The floor errs 1.0."""
    errors = {"mimnet": own, "mean": 1.2, "item_bias": 1.1, "floor": 1.0, "floor_plus": 0.98}
    values: dict[str, Any] = {
        "name": "run <i>",
        "model": "mimnet",
        "created": 1.7e9,
        "data": "toy",
        "facts": RatingFacts("books", "films", 1000, 900, 40, 12, 340, 3, (1.0, 5.0)),
        "errors": {
            name: {"rmse": error, "mae": 0.8 * error, "rmse_clipped": error, "mae_clipped": error}
            for name, error in errors.items()
        },
        "saved": {name: saved(errors[name] - own) for name in YARDSTICKS},
        "parity": {"parity_rmse": 0.9, "parity_mae": 0.7},
        "slices": (ErrorSlice("items", "1 to 5", 340, errors),),
        "ranking": {"mimnet": {"ndcg@20": 0.4}, "popularity": {"ndcg@20": 0.3}},
        "ranked": {"popularity": saved(0.1)},
        "observed": {"bridge": 0.8},
        "history": (
            {"epoch": 1, "stage": "meta", "losses": {"meta.loss": 1.0}, "diagnostics": {"meta.error": 1.1}},
            {"epoch": 2, "stage": "finished", "losses": {}, "diagnostics": {}},
        ),
        "warnings": ("mind the <gap>",),
        "examples": (
            RatingExample(
                "u<1>", ("A",), (Predicted("B & C", 4.0, 3.5, 3.0, ((0.25, 0.75), (0.5, 0.5))),), (("D",), ("E",))
            ),
        ),
    }
    return RatingRecord(**{**values, **changes})
