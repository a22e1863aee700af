from pathlib import Path

import pytest
import torch

from raymm.errors import ArtefactError
from raymm.transport import bilinear
from raymm.transport.checkpoint import Checkpoint, fingerprint_of
from raymm.transport.problem import state_problem
from tests.transport.people import domains


def test_state_comes_back_bit_by_bit_and_the_last_one_wins(tmp_path: Path) -> None:
    store = Checkpoint(tmp_path / "state.npz", "abc")
    assert store.load() is None
    arrays = {"g": torch.randn(5, dtype=torch.float64), "kept": torch.tensor([[True, False]])}
    store.save({"g": torch.zeros(2)}, {"round": 0})
    store.save(arrays, {"round": 2, "errors": [0.5, 0.25]})
    loaded = store.load()
    assert loaded is not None
    assert torch.equal(loaded[0]["g"], arrays["g"])
    assert torch.equal(loaded[0]["kept"], arrays["kept"])
    assert loaded[1]["errors"] == [0.5, 0.25]
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]
    store.clear()
    assert store.load() is None


def test_foreign_and_damaged_states_are_refused(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "state.npz", "abc").save({"g": torch.zeros(3)}, {})
    with pytest.raises(ArtefactError, match="abc"):
        Checkpoint(tmp_path / "state.npz", "xyz").load()
    whole = (tmp_path / "state.npz").read_bytes()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2]):
        (tmp_path / "state.npz").write_bytes(damaged)
        with pytest.raises(ArtefactError, match="damaged"):
            Checkpoint(tmp_path / "state.npz", "abc").load()


def test_fingerprint_sees_every_number_and_setting() -> None:
    x, y = domains(20, 15, 5)
    problem = state_problem(bilinear.cosine(x, y), None, None, 0.1)
    marks = {fingerprint_of(problem, {"seed": 1}), fingerprint_of(problem, {"seed": 2})}
    x[3, 2] += 1e-6
    marks.add(fingerprint_of(state_problem(bilinear.cosine(x, y), None, None, 0.1), {"seed": 1}))
    marks.add(fingerprint_of(state_problem(bilinear.cosine(x, y), None, None, 0.1, 0.5), {"seed": 1}))
    assert len(marks) == 4
