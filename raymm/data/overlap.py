"""Which users of two domains are one person, and which of them are known to be."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymm.data.ids import rank_hash


def true_pairs(first_ids: pa.Array, second_ids: pa.Array) -> np.ndarray:
    """Find the users active in both domains by their external id.

    Args:
        first_ids: External ids of the first domain's users, each once, at the place of their index.
        second_ids: The same of the second domain.

    Returns:
        (P, 2) int64, user of the first domain and user of the second, ascending by the first.
    """
    partner = pc.index_in(first_ids, value_set=second_ids)
    found = np.flatnonzero(pc.is_valid(partner).to_numpy(zero_copy_only=False))
    return np.column_stack((found, partner.take(pa.array(found)).to_numpy(zero_copy_only=False))).astype(np.int64)


def draw_known(pairs: np.ndarray, first_ids: pa.Array, shared_ratio: float, seed: int) -> np.ndarray:
    """Draw the pairs that training knows; the others stay two users that nothing connects.

    The share K_u of known overlapped users is that of SIEOUG (arXiv 2502.16068). Differs from the source: the draws
    are nested, what is known at 10 % is known at 50 % too, so that ratios can be compared.

    Args:
        pairs: (P, 2) all true pairs.
        first_ids: External ids of the first domain's users; the draw depends on them and the seed only.
        shared_ratio: Share of the pairs that are known, in [0, 1]; rounded to the nearest count, halves to even.
        seed: Seed of the draw.

    Returns:
        (round(shared_ratio * P), 2) int64, ascending by the first.
    """
    ids = first_ids.take(pa.array(pairs[:, 0])).to_pylist()
    hashes = rank_hash(ids, f"known pairs, seed {seed}")
    drawn = sorted(range(len(ids)), key=lambda place: (hashes[place], ids[place]))[: round(shared_ratio * len(ids))]
    return pairs[np.sort(np.asarray(drawn, dtype=np.int64))]


def shuffled(pairs: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Give every first user somebody else's partner; a single pair has nobody to change with and is left out.

    Args:
        pairs: (P, 2) int64.
        generator: Source of randomness.

    Returns:
        (P, 2) int64 with the same users on both sides and no pair of `pairs`; (0, 2) for P < 2.
    """
    if len(pairs) < 2:
        return np.empty((0, 2), dtype=np.int64)
    circle = generator.permutation(len(pairs))
    result = pairs.copy()
    result[circle, 1] = pairs[np.roll(circle, 1), 1]
    return result
