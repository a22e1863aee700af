"""Ranking: where the held-out items stand among all items of a domain, or among some that are drawn, user by user."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from scipy import sparse

from raymm.contracts import Holdout, Scorer
from raymm.errors import ConfigError, DataError, TrainingError
from raymm.evaluation.values import RankingValues, measure

_BLOCK_BYTES = 16 << 20  # scores held at a time; larger blocks are slower on a CPU, for they leave its cache
_SEED = 99  # of drawn candidates: the same in every run, so that all models are ranked among the same


def rank(
    scorer: Scorer,
    holdout: Holdout,
    cutoffs: Sequence[int] = (5, 10, 20),
    rows: range | None = None,
    block_users: int | None = None,
    candidates: int = 0,
) -> RankingValues:
    """Rank all items for the users of a holdout, and find where their held-out items stand.

    Items of `holdout.hidden` are left out. Every other item of the domain competes, other held-out items of the same
    user included. Among equal scores the lower item index comes first; so the result depends neither on the size of
    the blocks nor on how many ranks share the rows. No more than one block of scores (16 MiB, at least one user) is
    held at a time.

    With `candidates`, a user's held-out items compete with one another and with so many other items alone, drawn
    without replacement and alike among those that are neither held out nor hidden (all of them where there are fewer).
    The draw hangs on a fixed seed, the domain, the user and what may be drawn for him: any scorer, block and share of
    the rows sees the same. Such values are higher than those of all items, and may order models differently (Krichene
    and Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020).

    Args:
        scorer: The finished model.
        holdout: What to find, and what to leave out.
        cutoffs: The cutoffs K of the metrics.
        rows: The rows of the holdout to do, all of them by default. Ranks that take disjoint rows add their
            `RankingValues.sums`, and `means_from_sums` gives the means of the whole.
        block_users: Users scored at a time; by default as many as fit the block.
        candidates: Other items that a user's held-out items compete with; 0 takes all.

    Returns:
        The values of these rows.

    Raises:
        ConfigError: A cutoff is not positive, or larger than the number of items that a user can be ranked; fewer
            than 0 candidates.
        DataError: Scorer and holdout do not fit, or an item is both held out and hidden.
        TrainingError: The model gave scores that are not finite.
    """
    targets, hidden = _pattern(holdout.targets), _pattern(holdout.hidden)
    cutoffs = _check_cutoffs(cutoffs)
    _check_fit(scorer, holdout, targets, hidden)
    _check_rankable(holdout, targets, hidden, max(cutoffs), candidates)
    chosen = _chosen(rows, len(holdout.users))
    users, targets, hidden = holdout.users[chosen], targets[chosen], hidden[chosen]
    ranks = []
    for block in _blocks(len(chosen), scorer.n_items, block_users):
        scores = _scores(scorer, users[block], hidden[block], holdout.domain)
        if candidates:
            pool = _pool(holdout.domain, users[block], targets[block], hidden[block], candidates)
            scores = _among(scores, *pool)
        ranks.append(_target_ranks(scores, targets[block]))
    return measure(
        holdout.domain,
        users,
        targets.indptr.astype(np.int64),
        targets.indices.astype(np.int64),
        np.concatenate(ranks) if ranks else np.zeros(0, np.int64),
        cutoffs,
    )


def top_k(
    scorer: Scorer,
    users: np.ndarray,
    k: int,
    hidden: sparse.csr_array | None = None,
    block_users: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the best items of each user, exactly.

    Among equal scores the lower item index comes first, also where equal scores meet at the k-th place.

    Args:
        scorer: The finished model.
        users: (B,) int64 internal users, in any order.
        k: How many items, at most the scorer's number of items.
        hidden: (B, I) CSR aligned with `users`, an entry where an item may not be recommended; none by default.
        block_users: Users scored at a time; by default as many as fit a block of 16 MiB.

    Returns:
        (B, k) int64 items, best first, and their (B, k) float32 scores. A user who has fewer than k items left gets
        item -1 with score minus infinity in the places that stay empty.

    Raises:
        ConfigError: `k` is not between 1 and the number of items.
        DataError: `hidden` does not fit.
        TrainingError: The model gave scores that are not finite.
    """
    if not 1 <= k <= scorer.n_items:
        raise ConfigError(f"k = {k}", f"1 to {scorer.n_items}, the number of items", "top k", "choose a smaller k")
    shape = (len(users), scorer.n_items)
    if hidden is not None and hidden.shape != shape:
        raise DataError(f"hidden items of shape {hidden.shape}", f"{shape}, one row a user", "top k")
    blocked = sparse.csr_array(shape, dtype=np.int8) if hidden is None else _pattern(hidden)
    items, scores = np.full((len(users), k), -1, np.int64), np.full((len(users), k), -np.inf, np.float32)
    for block in _blocks(len(users), scorer.n_items, block_users):
        best, values = _best(_scores(scorer, users[block], blocked[block], "top k"), k)
        values_known = values.cpu().numpy()
        scores[block] = values_known
        items[block] = np.where(np.isneginf(values_known), -1, best.cpu().numpy())
    return items, scores


def _scores(scorer: Scorer, users: np.ndarray, hidden: sparse.csr_array, where: str) -> torch.Tensor:
    """Score a block: (B, I) in memory of its own, minus infinity for hidden items."""
    scores = scorer.scores(torch.from_numpy(np.array(users, dtype=np.int64)))
    if scores.shape != (len(users), scorer.n_items) or scores.dtype != torch.float32:
        raise TrainingError(
            f"scores {tuple(scores.shape)} {scores.dtype}", f"{(len(users), scorer.n_items)} float32", where
        )
    if not bool(scores.sum(dim=1).isfinite().all()):  # cheap; the sum of finite numbers may overflow too
        wrong = ~scores.isfinite()
        if bool(wrong.any()):
            row = int(wrong.any(dim=1).nonzero()[0])
            raise TrainingError(
                f"{int(wrong[row].sum())} scores of user {users[row]} are NaN or infinite",
                "finite scores",
                where,
                "look for the epoch where the losses grew; lower the learning rate",
            )
    scores = scores.clone()  # a scorer may return a view of its own arrays
    rows, columns = hidden.nonzero()
    scores[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()] = -torch.inf
    return scores


def _pool(
    domain: str, users: np.ndarray, targets: sparse.csr_array, hidden: sparse.csr_array, candidates: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw what is ranked for a block of users, their targets included: rows of the block, and items beside them."""
    mark, n_items = zlib.crc32(domain.encode("utf-8", "backslashreplace")), int(targets.shape[1])
    pools = []
    for row, user in enumerate(users):
        own, blocked = (part.indices[part.indptr[row] : part.indptr[row + 1]] for part in (targets, hidden))
        taken = np.sort(np.concatenate([own, blocked]).astype(np.int64))
        free = n_items - len(taken)
        generator = np.random.default_rng([_SEED, mark, int(user)])
        places = generator.choice(free, size=min(candidates, free), replace=False, shuffle=False)
        skipped = np.searchsorted(taken - np.arange(len(taken)), places, side="right")  # taken items before the place
        pools.append(np.concatenate([own, places + skipped]))
    return np.repeat(np.arange(len(users)), [len(pool) for pool in pools]), np.concatenate(pools)


def _among(scores: torch.Tensor, rows: np.ndarray, items: np.ndarray) -> torch.Tensor:
    """Keep the scores of some items of each row, and set the others to minus infinity: (B, I)."""
    chosen = (torch.from_numpy(rows).long(), torch.from_numpy(items).long())
    kept = torch.full_like(scores, -torch.inf)
    kept[chosen] = scores[chosen]
    return kept


def _target_ranks(scores: torch.Tensor, targets: sparse.csr_array) -> np.ndarray:
    """Rank every target: 1 + items with a higher score + items of equal score and lower index."""
    owners = torch.from_numpy(np.repeat(np.arange(len(scores)), np.diff(targets.indptr)))
    items = torch.from_numpy(targets.indices.astype(np.int64)).to(scores.device)
    columns = torch.arange(scores.shape[1], device=scores.device)
    ranks = []
    for rows, own_items in zip(owners.to(scores.device).split(len(scores)), items.split(len(scores)), strict=True):
        picked = scores[rows]
        own = picked.gather(1, own_items[:, None])
        above = _count(picked > own)
        tied = (_count(picked >= own) - above > 1).nonzero()[:, 0]
        if len(tied):
            above[tied] += _count((picked[tied] == own[tied]) & (columns < own_items[tied, None]))
        ranks.append(above + 1)
    return torch.cat(ranks).cpu().numpy()


def _count(mask: torch.Tensor) -> torch.Tensor:
    """Count true entries by row; summing floats is several times faster than summing truth values, and as exact."""
    exact = torch.float32 if mask.shape[1] < 1 << 24 else torch.float64
    return mask.to(exact).sum(dim=1).long()


def _best(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the k highest of each row, equal scores by index; `topk` alone leaves open which of them it takes."""
    wider = min(k + 1, scores.shape[1])
    values, items = scores.topk(wider, dim=1)
    if wider > k:
        tied = (values[:, k - 1] == values[:, k]).nonzero()[:, 0]
        if len(tied):  # equal scores meet at the last place
            items[tied, :k] = _keys(scores[tied]).topk(k, dim=1).indices
    by_item = items[:, :k].sort(dim=1).values
    best, order = scores.gather(1, by_item).sort(dim=1, descending=True, stable=True)
    return by_item.gather(1, order), best


def _keys(scores: torch.Tensor) -> torch.Tensor:
    """Turn scores into whole numbers that differ: higher for a higher score, and for a lower index at equal scores."""
    bits = (scores + 0.0).view(torch.int32)  # + 0.0: the two zeros are equal
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # negative floats count downwards
    last_first = (1 << 32) - 1 - torch.arange(scores.shape[1], device=scores.device)
    return (ordered.long() << 32) + last_first


def _pattern(matrix: sparse.csr_array) -> sparse.csr_array:
    """Copy where a CSR matrix has entries: sorted, each once."""
    ones = np.ones(len(matrix.indices), dtype=np.int32)
    copy = sparse.csr_array((ones, matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)
    copy.sum_duplicates()
    return copy


def _blocks(n_rows: int, n_items: int, block_users: int | None) -> Iterator[slice]:
    size = max(1, _BLOCK_BYTES // (4 * n_items)) if block_users is None else block_users
    if size < 1:
        raise ConfigError(f"{size} users a block", "at least 1", "block_users")
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))


def _check_cutoffs(cutoffs: Sequence[int]) -> tuple[int, ...]:
    unique = tuple(sorted(set(cutoffs)))
    if not unique or unique[0] < 1:
        raise ConfigError(f"cutoffs {list(cutoffs)}", "one or more whole numbers from 1", "evaluation.cutoffs")
    return unique


def _chosen(rows: range | None, n_rows: int) -> np.ndarray:
    if rows is None:
        return np.arange(n_rows)
    if len(rows) and (min(rows) < 0 or max(rows) >= n_rows):
        raise DataError(f"rows {rows}", f"rows of 0 to {n_rows - 1}", "evaluation")
    return np.array(rows, dtype=np.int64)


def _check_fit(scorer: Scorer, holdout: Holdout, targets: sparse.csr_array, hidden: sparse.csr_array) -> None:
    where = f"holdout of domain {holdout.domain!r}"
    remedy = "evaluate with the prepared set that the model was trained on"
    if targets.shape[1] != scorer.n_items or int(holdout.users.max()) >= scorer.n_users:
        found = f"{targets.shape[1]} items, users up to {int(holdout.users.max())}"
        raise DataError(found, f"the scorer's {scorer.n_items} items and {scorer.n_users} users", where, remedy)
    both = targets.multiply(hidden).tocsr()
    if both.nnz:
        row = int(np.flatnonzero(np.diff(both.indptr))[0])
        raise DataError(
            f"item {both.indices[both.indptr[row]]} of user {holdout.users[row]} is to be found and hidden",
            "held-out items that are not among the hidden ones",
            where,
            "drop held-out interactions that training knows",
        )


def _check_rankable(
    holdout: Holdout, targets: sparse.csr_array, hidden: sparse.csr_array, largest: int, candidates: int
) -> None:
    if candidates < 0:
        raise ConfigError(f"{candidates} candidates", "at least 0", "candidates", "0 ranks all items")
    rankable = hidden.shape[1] - np.diff(hidden.indptr)
    if candidates:
        rankable = np.minimum(rankable, candidates + np.diff(targets.indptr))
    row = int(rankable.argmin())
    if largest > rankable[row]:
        raise ConfigError(
            f"cutoff {largest}, but only {rankable[row]} items can be ranked for user {holdout.users[row]}",
            f"cutoffs up to {rankable[row]}",
            f"evaluation.cutoffs, domain {holdout.domain!r}",
            "choose smaller cutoffs, or more candidates" if candidates else "choose smaller cutoffs",
        )
