"""What users rated highly, as a padded matrix of item numbers."""

from __future__ import annotations

import numpy as np

from raymm.ratings.table import RatingTable


def recent_histories(table: RatingTable, length: int, least_rating: float | None) -> np.ndarray:
    """Lay out each user's last highly rated items, without a loop over users.

    Rows of the table are in time order where there are times, else in the order of the items (as the published code of
    MIMNet takes them from its files).

    Args:
        table: Ratings.
        length: L, items kept: the last ones.
        least_rating: Rating from which an item counts; None takes all.

    Returns:
        (U, L) int64, from the oldest to the newest; places behind a short history hold the number of items I, which is
        no item: a dedicated row of an embedding table belongs to it.
    """
    kept = np.ones(len(table.users), dtype=bool) if least_rating is None else table.ratings >= least_rating
    users, items = table.users[kept], table.items[kept]
    counts = np.bincount(users, minlength=table.n_users)
    starts = np.cumsum(counts) - counts
    places = np.arange(len(users)) - starts[users] - np.maximum(counts - length, 0)[users]
    histories = np.full((table.n_users, length), table.n_items, dtype=np.int64)
    recent = places >= 0
    histories[users[recent], places[recent]] = items[recent]
    return histories
