"""Is a new model better than the one in use: a paired test on the validation interactions, person by person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raymm.contracts import Scorer
from raymm.data.prepared import PreparedSet
from raymm.errors import ArtefactError
from raymm.evaluation.compare import Comparison, compare_values
from raymm.evaluation.ranking import rank
from raymm.evaluation.rating import rate

DRAWS, LEVEL, SEED = 4000, 0.95, 0


@dataclass(frozen=True)
class Challenge:
    """A new model against the champion.

    Attributes:
        champion: The version that it was compared with.
        metric: Validation metric, mean over the domains.
        comparison: The new model less the champion, over persons.
    """

    champion: str
    metric: str
    comparison: Comparison

    @property
    def won(self) -> bool:
        """Whether the interval of the difference lies above zero."""
        return self.comparison.verdict == "better"

    def words(self) -> str:
        """Say in a line how it went."""
        found = self.comparison
        low, high = found.interval
        return (
            f"validation {self.metric} {found.first:.4f}, {self.champion} {found.second:.4f}: difference "
            f"{found.difference:+.4f} [{low:+.4f}, {high:+.4f}], {found.level:.0%}, {found.n_users:,} persons, "
            f"p {found.p_t:.2g}"
        )


def challenge(
    candidate: Mapping[str, Scorer],
    champion: Mapping[str, Scorer],
    prepared: PreparedSet,
    metric: str,
    champion_name: str,
) -> Challenge:
    """Rank the validation interactions with both models, and compare them by one metric.

    The metric is the mean over domains of the means over users, as selection during training has it. One person may be
    a user of several domains, under one external id, and what the domains say of him is not independent: so the test
    draws persons. A person's value is the sum of `metric / (domains * users of the domain)` over his domains, times
    the number of persons; the mean over persons is then the mean over domains of the means over users.

    The test set is not touched: it would wear out if every candidate were chosen by it. Validation is not untouched
    either, as both models chose their epoch by it. Of many candidates that are equally good, the luckiest wins more
    often than 2.5 % of the time: let few candidates challenge.

    Args:
        candidate: Domain to scorer of the new model.
        champion: The same of the model in use; it must have the same domains.
        prepared: The prepared set that both were trained on.
        metric: Key of a ranking metric (`ndcg@10`), with a domain before it (`arts.ndcg@10`) to look at that alone.
        champion_name: How the champion is called in messages.

    Raises:
        ArtefactError: The models have different domains, or domains that the set does not have.
        DataError: A scorer does not fit the data.
    """
    holdouts = [holdout for holdout in prepared.validation() if holdout.domain in candidate]
    names = {holdout.domain for holdout in holdouts}
    if not names or set(candidate) != names or set(champion) != names:
        raise ArtefactError(
            f"a model of {_listed(candidate)} and a champion of {_listed(champion)}",
            "two models of the same domains",
            champion_name,
            "register under another name or alias, or put this one in its place with --force",
        )
    domain, _, key = metric.rpartition(".")
    chosen = [holdout for holdout in holdouts if domain in ("", holdout.domain)]
    if not chosen:
        raise ArtefactError(f"the metric {metric!r}", f"one of {_listed(names)}", champion_name, "train with another")
    persons, values = [], []
    for holdout in chosen:
        cutoff = int(key.partition("@")[2])
        both = [rank(model[holdout.domain], holdout, (cutoff,)).values[key] for model in (candidate, champion)]
        persons.append(prepared.user_ids(holdout.domain)[holdout.users])
        values.append(np.stack(both) / (len(chosen) * len(holdout.users)))
    different, owners = np.unique(np.concatenate(persons), return_inverse=True)
    sums = [np.bincount(owners, weights=row) * len(different) for row in np.concatenate(values, axis=1)]
    comparison = compare_values(sums[0], sums[1], metric, np.random.default_rng(SEED), DRAWS, LEVEL)
    return Challenge(champion_name, metric, comparison)


def challenge_ratings(
    candidate: Mapping[str, Scorer], champion: Mapping[str, Scorer], prepared: PreparedSet, champion_name: str
) -> Challenge:
    """Predict the validation ratings with both models, and compare users' mean squared errors.

    As in `challenge`, what is compared is higher where the model is better: the error is taken negative.

    Args:
        candidate: Domain to scorer of the new model.
        champion: The same of the model in use.
        prepared: The prepared set that both were trained on.
        champion_name: How the champion is called in messages.

    Raises:
        ArtefactError: The models predict ratings of different domains.
        DataError: A scorer does not fit the data.
    """
    holdouts = [holdout for holdout in prepared.rating_validation() if holdout.domain in candidate]
    if len(holdouts) != 1 or set(candidate) != set(champion) or len(candidate) != 1:
        raise ArtefactError(
            f"a model of ratings in {_listed(candidate)} and a champion of {_listed(champion)}",
            "two models of ratings in the same domain",
            champion_name,
            "register under another name or alias, or put this one in its place with --force",
        )
    held = holdouts[0]
    scale = float(held.ratings.min()) - 1.0, float(held.ratings.max()) + 1.0  # clipped errors are not looked at
    errors = [
        rate(model[held.domain], held.users, held.items, held.ratings, scale).per_user()[1]["mse"]
        for model in (candidate, champion)
    ]
    found = compare_values(-errors[0], -errors[1], "-mse", np.random.default_rng(SEED), DRAWS, LEVEL)
    return Challenge(champion_name, "-mse", found)


def _listed(names: Mapping[str, Scorer] | set[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
