"""Judge a run of a model of ratings on ratings that it has not seen, beside the yardsticks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from raymm.contracts import Holdout, RatingHoldout, Scorer
from raymm.data.prepared import PreparedSet
from raymm.evaluation.compare import Comparison, compare, compare_values
from raymm.evaluation.ranking import rank
from raymm.evaluation.rating import RatingValues, rate, write_predictions
from raymm.experiment import build_experiment
from raymm.models.rating.means import yardsticks
from raymm.ratings.cold_ranking import co_occurrence
from raymm.ratings.histories import recent_histories
from raymm.report.rating_record import (
    FLOOR,
    YARDSTICKS,
    ErrorSlice,
    Predicted,
    RatingExample,
    RatingFacts,
    RatingRecord,
)
from raymm.scorers import InterestScorer, ItemScorer, load_scorer
from raymm.tracking.candidate import RANKERS
from raymm.verbs.rate import EPOCHS, RatingTask, rating_task
from raymm.verbs.run import RunFolder

CUTOFFS = (5, 10, 20)
RANKED_BY = "ndcg@20"
_SHOWN_USERS, _SHOWN_ITEMS, _LIKED = 4, 6, 4.0


def judge_ratings(
    run: RunFolder,
    prepared: PreparedSet,
    holdouts: tuple[RatingHoldout, tuple[Holdout, ...]],
    provenance: Mapping[str, str],
    draft: Path,
) -> RatingRecord:
    """Predict held-out ratings by a run and by what knows nothing of taste, and rank for the same users.

    Args:
        run: The run.
        prepared: The set that it was trained on.
        holdouts: Ratings of the target domain to predict, and what a ranking there should find (may be empty).
        provenance: What was used, by name.
        draft: Folder of the report; gets the predictions of every model.
    """
    held, positives = holdouts
    task = rating_task(prepared, run.manifest.facts["known_pairs"])
    seed = run.experiment.train.seed
    scorers = {run.experiment.model: run.scorers()[task.target], **yardsticks(task.problem, seed)}
    scale = _scale(task, held)
    values = {name: rate(scorer, held.users, held.items, held.ratings, scale) for name, scorer in scorers.items()}
    for name, one in values.items():
        write_predictions(one, held.items, draft / f"{task.target}.{name}.npz")
    own = values[run.experiment.model]
    generator = np.random.default_rng(seed)
    saved = {
        name: compare_values(values[name].per_user()[1]["mse"], own.per_user()[1]["mse"], "mse", generator)
        for name in YARDSTICKS
    }
    ranking, ranked = _ranking(run, task, positives, generator)
    experiment = run.experiment
    return RatingRecord(
        name=run.name,
        model=experiment.model,
        created=run.manifest.created,
        data=prepared.folder.name,
        facts=_facts(task, held, scale),
        errors={name: one.errors() for name, one in values.items()},
        saved=saved,
        parity=_parity(run, held, scale),
        slices=_slices(task, held, values),
        ranking=ranking,
        ranked=ranked,
        observed=dict(run.manifest.facts["structure"]),
        history=tuple(run.history),
        settings=experiment.plain(),
        defaults=build_experiment({"model": experiment.model}).plain(),
        provenance=provenance,
        warnings=tuple(_warnings(experiment.model, values, saved, ranked)),
        examples=_examples(prepared, task, held, (scorers[experiment.model], own, values[FLOOR]), generator),
    )


def _scale(task: RatingTask, held: RatingHoldout) -> tuple[float, float]:
    low, high = task.problem.target.scale
    return min(low, float(held.ratings.min())), max(high, float(held.ratings.max()))


def _facts(task: RatingTask, held: RatingHoldout, scale: tuple[float, float]) -> RatingFacts:
    problem = task.problem
    return RatingFacts(
        source=task.source,
        target=task.target,
        n_source=len(problem.source.users),
        n_target=len(problem.target.users),
        n_shared=len(np.unique(problem.target.users[problem.shared_rows])),
        n_users=len(np.unique(held.users)),
        n_ratings=len(held.users),
        n_new_items=int((problem.target.item_counts[held.items] == 0).sum()),
        scale=scale,
    )


def _parity(run: RunFolder, held: RatingHoldout, scale: tuple[float, float]) -> dict[str, float]:
    """Return the least of each error over the epochs that were kept."""
    epochs = sorted((run.folder / EPOCHS).glob("*")) if (run.folder / EPOCHS).is_dir() else []
    errors = [rate(load_scorer(epoch), held.users, held.items, held.ratings, scale).errors() for epoch in epochs]
    return {f"parity_{name}": min(one[name] for one in errors) for name in ("mae", "rmse")} if errors else {}


def _slices(task: RatingTask, held: RatingHoldout, values: Mapping[str, RatingValues]) -> tuple[ErrorSlice, ...]:
    """Cut the test by how many source ratings a user has, and by how many training ratings an item has."""
    source_of = task.problem.source_of[held.users]
    counts = {
        "source ratings of the user": np.where(source_of >= 0, task.problem.source.user_counts[source_of], 0.0),
        "training ratings of the item": task.problem.target.item_counts[held.items],
    }
    parts = []
    for family, numbers in counts.items():
        edges = np.unique(np.quantile(numbers, [0.25, 0.5, 0.75]).round())
        groups = np.searchsorted(edges, numbers, side="left")
        for group in np.unique(groups):
            rows = groups == group
            name = f"{numbers[rows].min():.0f} to {numbers[rows].max():.0f}"
            errors = {
                model: float(np.sqrt(np.mean((one.predicted - one.truth)[rows] ** 2))) for model, one in values.items()
            }
            parts.append(ErrorSlice(family, name, int(rows.sum()), errors))
    return tuple(parts)


def _ranking(
    run: RunFolder, task: RatingTask, positives: tuple[Holdout, ...], generator: np.random.Generator
) -> tuple[dict[str, Mapping[str, float]], dict[str, Comparison]]:
    """Rank the target's items for the users of the test, beside popularity and co-occurrence."""
    holdout = next((holdout for holdout in positives if holdout.domain == task.target), None)
    folder = run.folder / RANKERS / task.target
    if holdout is None or not folder.is_dir():
        return {}, {}
    problem = task.problem
    counts = torch.from_numpy(problem.target.item_counts.astype(np.float32))
    others: dict[str, Scorer] = {
        "popularity": ItemScorer(counts, problem.target.n_users),
        "co_occurrence": co_occurrence(problem.source.chosen(), problem.target.chosen(), problem.source_of),
    }
    scorers = {run.experiment.model: load_scorer(folder), **others}
    cutoffs = tuple(cutoff for cutoff in CUTOFFS if cutoff <= problem.target.n_items)
    rankings = {name: rank(scorer, holdout, cutoffs) for name, scorer in scorers.items()}
    own = rankings[run.experiment.model]
    metric = RANKED_BY if RANKED_BY in own.values else f"ndcg@{max(cutoffs)}"
    ranked = {name: compare(own, rankings[name], metric, generator) for name in others}
    return {name: one.means() for name, one in rankings.items()}, ranked


def _warnings(
    model: str, values: Mapping[str, RatingValues], saved: Mapping[str, Comparison], ranked: Mapping[str, Comparison]
) -> list[str]:
    found = []
    errors = {name: one.errors()["rmse"] for name, one in values.items()}
    for name in (FLOOR, "floor_plus"):
        if errors[model] > errors[name]:
            more = 100 * (errors[model] / errors[name] - 1)
            found.append(
                f"{model} errs {more:.2f} % more than {name} (RMSE {errors[model]:.4f} against {errors[name]:.4f}), "
                "which knows nothing of taste: it has learned less than biases say."
            )
        elif saved[name].verdict == "worse":
            found.append(
                f"user by user, {model} errs more than {name}, beyond chance, though ratings are weighed alike."
            )
    found += [
        f"{model} ranks worse than {name}, beyond chance." for name, one in ranked.items() if one.verdict == "worse"
    ]
    return found


def _examples(
    prepared: PreparedSet,
    task: RatingTask,
    held: RatingHoldout,
    judged: tuple[Scorer, RatingValues, RatingValues],
    generator: np.random.Generator,
) -> tuple[RatingExample, ...]:
    """Show some users whom the source knows, with titles, and which interests their items pick."""
    scorer, own, floor = judged
    source_of, source = task.problem.source_of, task.problem.source
    titles, source_titles = (_titles(prepared, domain) for domain in (task.target, task.source))
    users = np.unique(held.users[source_of[held.users] >= 0])
    chosen = np.sort(generator.choice(users, size=min(_SHOWN_USERS, len(users)), replace=False))
    histories = recent_histories(source, _SHOWN_ITEMS, _LIKED)
    examples = []
    for user in chosen:
        rows = np.flatnonzero(held.users == user)
        rows = np.sort(generator.permutation(rows)[:_SHOWN_ITEMS])
        picked = _picked(scorer, int(user), held.items[rows])
        predictions = tuple(
            Predicted(
                titles[held.items[row]],
                float(own.truth[row]),
                float(own.predicted[row]),
                float(floor.predicted[row]),
                picked[place],
            )
            for place, row in enumerate(rows)
        )
        history = histories[source_of[user]]
        liked = tuple(source_titles[item] for item in history if item < source.n_items)
        user_id = str(prepared.user_ids(task.target)[user])
        examples.append(RatingExample(user_id, liked, predictions, _interests(scorer, int(user), titles)))
    return tuple(examples)


def _picked(scorer: Scorer, user: int, items: np.ndarray) -> list[tuple[tuple[float, ...], ...]]:
    """Return, for each item, the shares of the interests by each kind of attention; nothing without interests."""
    if not isinstance(scorer, InterestScorer):
        return [()] * len(items)
    shares = scorer.picked(torch.full((len(items),), user), torch.from_numpy(items.copy()))
    return [tuple(tuple(map(float, kind)) for kind in one) for one in shares.tolist()]


def _interests(scorer: Scorer, user: int, titles: list[str], shown: int = 4) -> tuple[tuple[str, ...], ...]:
    """Return, for each interest of a user, the titles of the items that pick it most by themselves."""
    if not isinstance(scorer, InterestScorer):
        return ()
    items = torch.arange(scorer.n_items)
    own = scorer.picked(torch.full_like(items, user), items)[:, 0]
    best = own.argsort(dim=0, descending=True, stable=True)[:shown]
    return tuple(tuple(titles[item] for item in column) for column in best.T.tolist())


def _titles(prepared: PreparedSet, domain: str) -> list[str]:
    pairs = zip(prepared.titles(domain), prepared.item_ids(domain), strict=True)
    return [str(title or item) for title, item in pairs]
