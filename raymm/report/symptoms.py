"""Signs that a training of matched domains goes wrong, read from its epochs, and what to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
PREFIX = "warning."

_AFTER = 5  # epochs of matching after which its effect on a domain is judged
_LOSS = 0.05  # share of a domain's best value before the matching that may be lost
_COLLAPSED = 0.5  # of the clusters told apart
_CONVERGED = 0.9  # of the matchings
_LEAKED = 0.05  # of the known users' mass
_FLAT = 0.5  # of the possible partners
_PULL = 1.0  # gradient of the guidance loss over that of the ranking losses

WORDS = {
    "negative_transfer": "a domain has lost more than 5 % of what it reached before the matching began: lower "
    "settings.transfer.weight, or settings.votes.cross where counterparts lend their histories, or compare with a run "
    "that has both at 0",
    "below_popularity": "a domain ranks worse than popularity on validation: train longer, or lower "
    "train.optimizer.learning_rate, settings.transfer.weight or settings.votes.cross",
    "hypergraph_collapse": "clusters of items have run together: lower settings.hypergraph.epsilon, raise "
    "settings.hypergraph.max_evaluations, or keep settings.hypergraph.marginal balanced",
    "poor_modality": "the links of a modality foretell little of who chooses what, so that it is weighed down; "
    "fusion.trust names it: look at its features, leave it out by train.modalities, or set settings.fusion.doubt to 0",
    "unconverged_matching": "matchings stop before they have converged: raise "
    "settings.transfer.matching.solver.max_iterations, or epsilon",
    "leaking_mask": "known users are matched with strangers: lower settings.transfer.matching.epsilon, raise "
    "mask_weight to 100 epsilon or more, or set mask to hard",
    "flat_plan": "users are spread over half of all others, so that the matching says nothing: lower "
    "settings.transfer.matching.epsilon, or train longer before it begins (settings.transfer.warmup_epochs)",
    "pulling_guidance": "the guidance loss pulls harder at the users than the ranking losses do: lower "
    "settings.transfer.weight, or set settings.transfer.reduction to per_row",
}
"""What each sign means, and what to change."""


def symptoms(history: Sequence[Record], selection: str) -> dict[str, bool]:
    """Say which signs are there after the last epoch of `history`, and which are not; signs without figures are absent.

    Args:
        history: Plain records of the epochs so far, in order; `validation` and `diagnostics` are read.
        selection: Validation metric that epochs are chosen by, such as `ndcg@10`; its values by domain are compared.
    """
    if not history:
        return {}
    found = {}
    for name, test in _TESTS.items():
        there = test(history, selection)
        if there is not None:
            found[name] = there
    return found


def metrics_of(found: Mapping[str, bool]) -> dict[str, float]:
    """Return the signs as diagnostics of an epoch: `warning.NAME`, 1 where it is there."""
    return {PREFIX + name: float(there) for name, there in found.items()}


def lines_of(history: Sequence[Record]) -> tuple[str, ...]:
    """Say for the report which signs were there in the last epoch that could show them, and since when."""
    lines = []
    for name, words in WORDS.items():
        shown = [(record["epoch"], record["diagnostics"][PREFIX + name]) for record in history if _shows(record, name)]
        if not shown or not shown[-1][1]:
            continue
        since = next(epoch for place, (epoch, _) in enumerate(shown) if all(value for _, value in shown[place:]))
        lines.append(f"{name.replace('_', ' ')}, since epoch {since}: {words}.")
    return tuple(lines)


def _shows(record: Record, name: str) -> bool:
    return record.get("diagnostics", {}).get(PREFIX + name) is not None


def _by_domain(record: Record, selection: str) -> dict[str, float]:
    values = record.get("validation", {})
    ends = f".{selection}"
    return {name.removesuffix(ends): value for name, value in values.items() if name.endswith(ends)}


def _negative_transfer(history: Sequence[Record], selection: str) -> bool | None:
    before = [r for r in history if r.get("diagnostics", {}).get("transfer.active") == 0]
    after = [r for r in history if r.get("diagnostics", {}).get("transfer.active") == 1]
    validated = [_by_domain(record, selection) for record in after]
    validated = [values for values in validated if values]
    if not before or len(after) < _AFTER or not validated:
        return None
    best: dict[str, float] = {}
    for record in before:
        for domain, value in _by_domain(record, selection).items():
            best[domain] = max(value, best.get(domain, value))
    reached = {domain: max(values.get(domain, 0.0) for values in validated) for domain in best}
    return any(reached[domain] < (1 - _LOSS) * value for domain, value in best.items()) if best else None


def _below_popularity(history: Sequence[Record], selection: str) -> bool | None:
    ends = ".over_popularity"
    rows = [
        (record["validation"].get(selection, 0.0), record.get("diagnostics", {}))
        for record in history
        if any(name.endswith(ends) for name in record.get("diagnostics", {}))
    ]
    if len(rows) < _AFTER:
        return None
    best = max(rows, key=lambda row: row[0])[1]
    return any(value < 1 for name, value in best.items() if name.endswith(ends))


def _last(history: Sequence[Record], *names: str) -> list[float]:
    """Return the figures of the last epoch whose names end so."""
    diagnostics = history[-1].get("diagnostics", {})
    return [value for name, value in diagnostics.items() if name.endswith(names) and value is not None]


def _threshold(test: Callable[[float], bool], *names: str) -> Callable[[Sequence[Record], str], bool | None]:
    def judge(history: Sequence[Record], selection: str) -> bool | None:  # noqa: ARG001 - the form all tests share
        values = _last(history, *names)
        return any(test(value) for value in values) if values else None

    return judge


_TESTS: dict[str, Callable[[Sequence[Record], str], bool | None]] = {
    "negative_transfer": _negative_transfer,
    "below_popularity": _below_popularity,
    "hypergraph_collapse": _threshold(lambda share: share < _COLLAPSED, "hypergraph.effective_share"),
    "poor_modality": _threshold(lambda trust: trust < 1, "fusion.least_trust"),
    "unconverged_matching": _threshold(lambda share: share < _CONVERGED, "match.converged", "population.reached"),
    "leaking_mask": _threshold(lambda share: share > _LEAKED, "match.leaked"),
    "flat_plan": _threshold(lambda share: share > _FLAT, "match.spread"),
    "pulling_guidance": _threshold(lambda ratio: ratio > _PULL, "guidance.gradient_ratio"),
}
