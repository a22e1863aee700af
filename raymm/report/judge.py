"""From rankings to what a report says of a domain: means, comparison, slices, catalogue, examples, warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from raymm.contracts import Domain
from raymm.errors import DataError
from raymm.evaluation.compare import compare
from raymm.evaluation.slices import (
    Slice,
    by_history_length,
    by_item_popularity,
    catalogue,
    item_degrees,
    recommendation_counts,
    shown_by_slice,
)
from raymm.evaluation.values import RankingValues
from raymm.report.record import HEADLINE, DomainFacts, DomainResult, Example, Recommended


def judge_domain(
    domain: Domain,
    rankings: Mapping[str, RankingValues],
    lists: Mapping[str, np.ndarray],
    against: tuple[str, str],
    generator: np.random.Generator,
    examples: tuple[Example, ...] = (),
) -> DomainResult:
    """Judge the models of one domain on its test set.

    Args:
        domain: The training data.
        rankings: Model to the ranking of the test set.
        lists: Model to the (B, k) best items of the evaluated users, -1 where a list is shorter; of a model without
            them nothing is said of the catalogue.
        against: The model and the baseline it is compared with; both are keys of `rankings`.
        generator: Source of the bootstrap's draws.
        examples: Lists to show, see `draw_examples`.

    Raises:
        DataError: A model has no ranking, or rankings are of different users or held-out items.
    """
    missing = set(against) - set(rankings)
    if missing:
        raise DataError(f"rankings of {', '.join(rankings)}", f"{' and '.join(against)} too", f"domain {domain.name!r}")
    model, baseline = (rankings[name] for name in against)
    shown = [key for key in HEADLINE if key in model.values] or list(model.values)[:3]
    degrees = item_degrees(domain)
    return DomainResult(
        facts=_facts(domain, model),
        means={name: values.means() for name, values in rankings.items()},
        comparisons=tuple(compare(model, baseline, key, generator) for key in shown),
        slices={name: _slices(values, domain, lists.get(name)) for name, values in rankings.items()},
        catalogue={
            name: catalogue(recommendation_counts(lists[name], domain.n_items), degrees, lists[name].shape[1])
            if name in lists
            else {}
            for name in rankings
        },
        examples=examples,
    )


def draw_examples(
    domain: Domain,
    values: RankingValues,
    lists: np.ndarray,
    titles: Sequence[str],
    user_ids: Sequence[str],
    generator: np.random.Generator,
    count: int = 4,
) -> tuple[Example, ...]:
    """Draw users at random, good results or bad, and write their lists in words.

    Args:
        domain: The training data.
        values: The model's ranking of the test set.
        lists: (H, k) best items of the users of `values`, row by row.
        titles: What to show of each item, by internal item.
        user_ids: What to show of each user, by internal user.
        generator: Source of the draw.
        count: How many users.
    """
    rows = np.sort(generator.choice(len(values.users), size=min(count, len(values.users)), replace=False))
    examples = []
    for row in rows:
        user, pairs = int(values.users[row]), slice(values.starts[row], values.starts[row + 1])
        held_out = values.items[pairs]
        starts = domain.interactions.indptr
        known = domain.interactions.indices[starts[user] : starts[user + 1]]
        if domain.times is not None:
            known = known[np.argsort(domain.times[starts[user] : starts[user + 1]], kind="stable")]
        examples.append(
            Example(
                user=str(user_ids[user]),
                history=tuple(str(titles[item]) for item in known[-5:]),
                held_out=tuple(str(titles[item]) for item in held_out),
                best_rank=int(values.ranks[pairs].min()),
                recommended=tuple(
                    Recommended(str(titles[item]), bool(item in held_out)) for item in lists[row][:5] if item >= 0
                ),
            )
        )
    return tuple(examples)


def find_warnings(
    domains: Sequence[DomainResult], model: str, history: Sequence[Mapping[str, Any]], selection: str
) -> tuple[str, ...]:
    """Say what should make a reader careful, and what to do about it.

    Args:
        domains: The results.
        model: Name of the model.
        history: Plain records of the epochs.
        selection: Validation metric by which the epoch was chosen.
    """
    warnings = []
    for result in domains:
        name = result.facts.name
        worse = [comparison.metric for comparison in result.comparisons if comparison.verdict == "worse"]
        if worse:
            warnings.append(
                f"{model} is worse than the baseline in {name} ({', '.join(worse)}): "
                "train longer, or look for a learning rate or transfer weight that is too high."
            )
        warnings.extend(_above(result, model))
        shown = {key: share for key, share in result.catalogue.get(model, {}).items() if key.startswith("coverage@")}
        for key, share in shown.items():
            if share < 0.01:
                warnings.append(
                    f"{model} recommends only {share:.2%} of the items of {name} ({key}): the ranking has collapsed."
                )
    validated = [record for record in history if record.get("validation", {}).get(selection) is not None]
    if len(validated) > 1 and max(validated, key=lambda record: record["validation"][selection]) is validated[-1]:
        warnings.append(
            f"{selection} on validation was best in the last epoch ({validated[-1]['epoch']}): more epochs may help."
        )
    return tuple(warnings)


def _above(result: DomainResult, model: str) -> list[str]:
    """Name every other model that ranks the domain better."""
    own = result.means[model]
    metric = next((key for key in ("ndcg@10", *own) if key in own), "")
    return [
        f"{name} ranks {result.facts.name} better than {model}: {metric} {means[metric]:.4f} against {own[metric]:.4f}."
        for name, means in result.means.items()
        if name != model and means.get(metric, -1.0) > own[metric]
    ]


def _facts(domain: Domain, values: RankingValues) -> DomainFacts:
    degrees = np.sort(item_degrees(domain))[::-1]
    groups = np.array_split(degrees, min(5, len(degrees)))
    return DomainFacts(
        name=domain.name,
        n_users=domain.n_users,
        n_items=domain.n_items,
        n_interactions=int(domain.interactions.nnz),
        n_evaluated=len(values.users),
        n_held_out=len(values.items),
        popularity=tuple(float(group.sum() / degrees.sum()) for group in groups),
        modalities={name: float(feature.present.mean()) for name, feature in domain.features.items()},
    )


def _slices(values: RankingValues, domain: Domain, lists: np.ndarray | None) -> tuple[Slice, ...]:
    """Cut a model's result by popularity and by history; with its lists, say what each slice shows of the catalogue."""
    groups = min(5, domain.n_items)
    found = by_item_popularity(values, domain, groups) if groups > 1 else ()
    found = (*found, *by_history_length(values, domain))
    shown = {} if lists is None else shown_by_slice(values, domain, lists)
    return tuple(replace(one, shown=shown.get((one.family, one.name), {})) for one in found)
