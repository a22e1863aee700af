"""Users of two domains who are made strangers in one of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from raymm.data.ids import rank_hash
from raymm.data.split import TEST, TRAIN, VALIDATION, Split
from raymm.errors import DataError


def cold_labels(shared: np.ndarray, user_ids: pa.Array, split: Split) -> np.ndarray:
    """Draw the shared users whose interactions in the target domain are all held out.

    Protocol of PTUPCDR (arXiv 2110.11154), as MIMNet (arXiv 2408.00038) uses it: round(beta * overlap) of the shared
    users are for the test. Differs from the source: some of the other shared users are for validation, in the same
    way, as the source has none; and the draws are nested: who is cold for a small share is cold for a larger one, and
    who is for validation beside a large one is so beside a smaller one.

    Args:
        shared: (P,) int64, users of the target domain who are active in the source domain too.
        user_ids: (U,) external ids of the target domain's users; the draw depends on them and the seed only.
        split: A split of kind `cold_start`: its cold share is beta, its validation share that of the shared users who
            are not for the test.

    Returns:
        (U,) int8 of `TRAIN`, `VALIDATION`, `TEST`.

    Raises:
        DataError: The shares leave no shared user for the test, for validation, or for training.
    """
    ids = user_ids.take(pa.array(shared)).to_pylist()
    hashes = rank_hash(ids, f"cold users, seed {split.seed or 0}")
    drawn = np.array(sorted(range(len(ids)), key=lambda place: (hashes[place], ids[place])), dtype=np.int64)
    n_cold = round((split.cold_share or 0.0) * len(ids))
    n_validation = round((split.validation_share or 0.0) * (len(ids) - n_cold))
    if min(n_cold, n_validation, len(ids) - n_cold - n_validation) < 1:
        raise DataError(
            f"{len(ids)} shared users: {n_cold} for the test, {n_validation} for validation",
            "at least one for each, and one for training",
            "split",
            "check that users have the same ids in both domains, or change split.cold_share and validation_share",
        )
    labels = np.full(len(user_ids), TRAIN, dtype=np.int8)
    labels[shared[drawn[:n_cold]]] = TEST
    labels[shared[drawn[len(ids) - n_validation :]]] = VALIDATION
    return labels
