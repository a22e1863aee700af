from __future__ import annotations

import numpy as np
import pytest

from raymm.data.timeline import LATEST, find_times


@pytest.mark.parametrize("largest", [1, 5, 3_000, 2**37, LATEST])
@pytest.mark.parametrize("seed", range(3))
def test_found_times_are_those_of_the_sorted_list(seed: int, largest: int) -> None:
    generator = np.random.default_rng(seed)
    parts = [generator.integers(0, largest, size=size) for size in (0, 1, 40, 400)]
    times = np.sort(np.concatenate(parts))
    calls = []

    def count_before(probes: np.ndarray) -> np.ndarray:
        calls.append(len(probes))
        return sum(np.searchsorted(np.sort(part), probes) for part in parts)

    ranks = (0, 7, 300, 440)
    assert find_times(count_before, ranks) == tuple(times[list(ranks)].tolist())
    assert len(calls) <= 8
    assert max(calls) < 10_000
