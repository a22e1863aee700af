"""How far to trust each modality: what its links foretell of who is chosen together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from raymm.errors import DataError


def trust_in_links(links: Sequence[sparse.csr_array], interactions: sparse.csr_array) -> np.ndarray:
    """Weigh modalities by how much more often than by chance the items they link are chosen by the same user.

    `max(n_q / c_q - 1, 0)`, divided by the greatest of them. n_q is the number of users who chose both ends of a link,
    summed over the links of q, and c_q the same if items were paired without regard to content: `kappa sum n_i n_j`
    over these links, n_i the users of item i and kappa the ratio of the two over all pairs of items. Noise has a trust
    near 0. Ours; SIEOUG's fusion as it is known weighs all modalities alike.

    Args:
        links: One (I, I) a modality; which entries are stored matters, their values and the diagonal do not.
        interactions: (U, I) zeros and ones of training.

    Returns:
        (Q,) float64 in [0, 1], the greatest 1; all 1 where no modality foretells anything.

    Raises:
        DataError: Shapes do not fit.
    """
    n_items = interactions.shape[1]
    if any(matrix.shape != (n_items, n_items) for matrix in links):
        raise DataError(f"links {[m.shape for m in links]}", f"({n_items}, {n_items}) each", "trust in modalities")
    chosen = sparse.csr_array(interactions, dtype=np.float64)
    by_item, by_user = (np.asarray(chosen.sum(axis=axis)).ravel() for axis in (0, 1))
    met, possible = by_user @ (by_user - 1), by_item.sum() ** 2 - by_item @ by_item
    if not met:
        return np.ones(len(links))
    lifts = np.ones(len(links))
    for q, matrix in enumerate(links):
        i, j = sparse.coo_array(matrix).coords
        i, j = i[i != j], j[i != j]
        expected = met / possible * float(by_item[i] @ by_item[j])
        if expected:
            pairs = sparse.csr_array((np.ones(len(i)), (i, j)), shape=matrix.shape)
            lifts[q] = (chosen @ pairs).multiply(chosen).sum() / expected
    excess = np.maximum(lifts - 1, 0)
    return excess / excess.max() if excess.any() else np.ones(len(links))
