import json

import pytest
import torch

from raymm.errors import TrainingError
from raymm.parallel.columns import ColumnShare
from raymm.parallel.grid import Grid, share
from raymm.training.checkpoint import read_checkpoint, read_whole, write_checkpoint

TABLE = torch.arange(21.0).reshape(3, 7)
BIAS = torch.tensor([1.0, 2.0])


def _write(folder, ranks):
    for rank in range(ranks):
        own = share(7, rank, ranks)
        tensors = {"table": TABLE[:, own.start : own.stop], "bias": BIAS}
        write_checkpoint(folder, Grid(ranks, 1, rank), tensors, {"table": ColumnShare(own.start, own.stop, 7)})


def _read(folder, rank=0, ranks=1):
    own = share(7, rank, ranks)
    return read_checkpoint(
        folder, {"table": (3, len(own)), "bias": (2,)}, {"table": ColumnShare(own.start, own.stop, 7)}
    )


@pytest.mark.parametrize("written", [1, 2, 3])
@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_any_number_of_ranks_reads_what_any_number_wrote(tmp_path, written, ranks):
    _write(tmp_path, written)
    parts = [_read(tmp_path, rank, ranks) for rank in range(ranks)]
    assert torch.equal(torch.cat([part["table"] for part in parts], dim=1), TABLE)
    assert all(torch.equal(part["bias"], BIAS) for part in parts)


def test_whole_tensors_are_read_without_knowing_their_names(tmp_path):
    _write(tmp_path, 2)
    found = read_whole(tmp_path)
    assert set(found) == {"bias"}
    assert torch.equal(found["bias"], BIAS)
    path = tmp_path / "columns-0-of-2.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TrainingError, match="differ from the checksum"):
        read_whole(tmp_path)


def test_only_the_first_data_rank_writes(tmp_path):
    write_checkpoint(tmp_path, Grid(1, 2, 0, 1), {"bias": BIAS}, {})
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(tmp_path):
    _write(tmp_path, 2)
    (tmp_path / "columns-1-of-2.safetensors").unlink()
    with pytest.raises(TrainingError, match="columns-1-of-2"):
        _read(tmp_path)


def test_an_empty_folder_is_an_error_and_no_silent_start(tmp_path):
    with pytest.raises(TrainingError, match="columns-0-of-N"):
        _read(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_bytes_are_found(tmp_path, damage):
    _write(tmp_path, 1)
    path = tmp_path / "columns-0-of-1.safetensors"
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-5] if damage == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(TrainingError, match="checksum"):
        _read(tmp_path)


@pytest.mark.parametrize("index", ["[]", "{}", "null", '{"schema": 1}', "", '"columns"'])
def test_an_index_that_is_none_is_damage(tmp_path, index):
    _write(tmp_path, 1)
    (tmp_path / "columns-0-of-1.json").write_text(index)
    with pytest.raises(TrainingError, match=r"damaged|schema"):
        _read(tmp_path)


def test_columns_that_are_none_are_damage(tmp_path):
    _write(tmp_path, 1)
    path = tmp_path / "columns-0-of-1.json"
    index = json.loads(path.read_text())
    for columns in ([], None, {"a": 3}, {"a": ["x", 0, 1]}):
        path.write_text(json.dumps({**index, "columns": columns}))
        with pytest.raises(TrainingError, match="damaged"):
            _read(tmp_path)


def test_another_shape_is_an_error_that_names_the_tensor(tmp_path):
    _write(tmp_path, 1)
    with pytest.raises(TrainingError, match="bias"):
        read_checkpoint(tmp_path, {"bias": (3,)}, {})
    with pytest.raises(TrainingError, match="other: nothing"):
        read_checkpoint(tmp_path, {"other": (3,)}, {})
