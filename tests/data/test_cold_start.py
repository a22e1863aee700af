from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raymm.data.cold_start import cold_labels
from raymm.data.split import TEST, TRAIN, VALIDATION, Split
from raymm.errors import DataError

IDS = pa.array([f"person {number}" for number in range(1_000)])
SHARED = np.arange(0, 1_000, 3)  # 334 of them


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_counts_are_those_of_the_protocol(share: float) -> None:
    labels = cold_labels(SHARED, IDS, Split("cold_start", cold_share=share))
    cold = round(share * 334)
    assert (labels == TEST).sum() == cold
    assert (labels == VALIDATION).sum() == round(0.1 * (334 - cold))
    assert (np.delete(labels, SHARED) == TRAIN).all()


def test_draws_are_nested() -> None:
    drawn = [cold_labels(SHARED, IDS, Split("cold_start", cold_share=share)) for share in (0.2, 0.5, 0.8)]
    for few, many in ((drawn[0], drawn[1]), (drawn[1], drawn[2])):
        assert set(np.flatnonzero(few == TEST)) < set(np.flatnonzero(many == TEST))
        assert set(np.flatnonzero(many == VALIDATION)) < set(np.flatnonzero(few == VALIDATION))


def test_draw_hangs_on_ids_and_seed_only() -> None:
    split = Split("cold_start", seed=7)
    expected = dict(zip(IDS.to_pylist(), cold_labels(SHARED, IDS, split).tolist(), strict=True))
    order = np.random.default_rng(0).permutation(1_000)
    shuffled = IDS.take(pa.array(order))
    found = cold_labels(np.flatnonzero(np.isin(order, SHARED)), shuffled, split)
    assert dict(zip(shuffled.to_pylist(), found.tolist(), strict=True)) == expected
    assert (cold_labels(SHARED, IDS, Split("cold_start", seed=8)) != cold_labels(SHARED, IDS, split)).any()


def test_too_few_shared_users_are_named() -> None:
    with pytest.raises(DataError, match="3 shared users: 1 for the test, 0 for validation"):
        cold_labels(np.arange(3), IDS, Split("cold_start"))


def test_draw_does_not_hang_on_the_hash_seed_of_python() -> None:
    code = (
        "import pyarrow as pa, numpy as np; from raymm.data.cold_start import cold_labels; "
        "from raymm.data.split import Split; ids = pa.array([f'person {n}' for n in range(1_000)]); "
        "print(cold_labels(np.arange(0, 1_000, 3), ids, Split('cold_start')).tolist())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] == f"{cold_labels(SHARED, IDS, Split('cold_start')).tolist()}\n"
