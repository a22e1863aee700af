"""Points in time that divide interactions spread over many machines in given shares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LATEST = 2**62  # s
PROBES = 2**11


def find_times(count_before: Callable[[np.ndarray], np.ndarray], ranks: tuple[int, ...]) -> tuple[int, ...]:
    """Find the times at given places of the sorted list of all times, without sorting them in one place.

    The range of times is cut in `PROBES` pieces again and again; only counts travel.

    Args:
        count_before: From (m,) int64 times, ascending, to (m,) counts of the interactions before each.
        ranks: Places in the sorted list of times, each in [0, n); times lie in [0, `LATEST`).

    Returns:
        For each rank r the time t = sorted(times)[r]: at most r interactions are before it, more than r up to it.
    """
    low = np.zeros(len(ranks), dtype=np.int64)
    high = np.full(len(ranks), LATEST, dtype=np.int64)
    wanted = np.asarray(ranks, dtype=np.int64)
    while (high - low > 1).any():
        steps = np.maximum((high - low) // PROBES, 1)
        probes = np.minimum(low[:, None] + steps[:, None] * np.arange(PROBES), high[:, None] - 1)
        edges = np.unique(probes)
        counts = count_before(edges)
        for place, rank in enumerate(wanted):
            # Counts grow with the edges: the last edge with few enough before it is at or below the time sought.
            last = int(np.searchsorted(counts, rank, side="right")) - 1
            low[place] = max(low[place], edges[last])
            if last + 1 < len(edges):
                high[place] = min(high[place], edges[last + 1])
    return tuple(int(time) for time in low)
