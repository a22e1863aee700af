from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from raymm.data.feature_shards import read_shard
from raymm.data.prepared import open_prepared
from raymm.errors import DataError
from raymm.launch.encode import Model, cut_shards, encode_shards, whole_shard
from raymm.launch.encoders import fingerprint_model, open_encoder
from raymm.launch.prepare import prepare
from tests.launch.models import WORDS, write_bert, write_clip

ROOT = Path(__file__).parents[2]
TEXTS = [f"{first} {second}" for first in WORDS for second in WORDS[:3]][:23] + [""]

# Prepares a set, and dies at once by a signal that cannot be caught when the third shard is encoded.
KILLED = """
import os, signal, sys
from pathlib import Path
from raymm.launch.prepare import prepare
def progress(stage, done, total):
    if stage.startswith("encode cover") and done >= 3:
        os.kill(os.getpid(), signal.SIGKILL)
prepare(Path(sys.argv[1]), Path(sys.argv[2]), progress=progress, address="local")
"""


def bert(folder: Path, seed: int = 0) -> Model:
    path = write_bert(folder / f"bert{seed}", seed)
    return Model("transformer", path.name, folder / "recipe.toml", path, fingerprint_model(path), 3)


@pytest.mark.ray
@pytest.mark.slow
def test_only_lost_and_damaged_shards_are_encoded_again(ray_cluster: object, tmp_path: Path) -> None:
    model, told = bert(tmp_path), []
    shards = cut_shards(tmp_path / "work", model, TEXTS, 5)
    assert len(shards) == 5
    assert encode_shards(model, shards, "encode", lambda *step: told.append(step)) == 0
    assert told == [("encode", done, 5) for done in range(6)]
    expected, reasons = open_encoder("transformer", model.folder, 1, "cpu")(TEXTS)
    values, why = zip(*map(whole_shard, shards), strict=True)
    np.testing.assert_allclose(np.concatenate(values), expected, atol=1e-5)
    assert sum(why, []) == reasons
    before = {shard.path.name: shard.path.stat().st_ino for shard in shards}

    shards[1].path.unlink()
    shards[3].path.write_bytes(shards[3].path.read_bytes()[:-1])
    told.clear()
    assert encode_shards(model, shards, "encode", lambda *step: told.append(step)) == 3
    assert told == [("encode", done, 5) for done in range(3, 6)]
    after = {shard.path.name: shard.path.stat().st_ino for shard in shards}
    assert [before[name] == after[name] for name in before] == [True, False, True, False, True]
    np.testing.assert_array_equal(np.concatenate([whole_shard(shard)[0] for shard in shards]), np.concatenate(values))
    assert encode_shards(model, shards, "encode", lambda *_: None) == 5

    # Another model than the one that was promised, as another machine might have it.
    with pytest.raises(DataError, match="other files than where the preparation was started"):
        encode_shards(replace(model, mark="0"), cut_shards(tmp_path / "other", model, TEXTS, 5), "x", lambda *_: None)


def test_shards_are_named_by_all_that_they_depend_on(tmp_path: Path) -> None:
    model = bert(tmp_path)

    def names(model: Model, texts: list[str], size: int = 5) -> set[str]:
        return {shard.path.name for shard in cut_shards(tmp_path, model, texts, size)}

    whole = names(model, TEXTS)
    assert names(model, TEXTS) == whole
    assert len(whole & names(model, [*TEXTS[:7], "changed", *TEXTS[8:]])) == 4
    for other in (bert(tmp_path, 1), replace(model, batch=4), replace(model, encoder="clip_text")):
        assert not whole & names(other, TEXTS)
    image = tmp_path / "1.jpg"
    image.write_bytes(b"one")
    images = replace(model, encoder="clip_image")
    before = names(images, [str(image), ""])
    image.write_bytes(b"other")
    assert not before & names(images, [str(image), ""])


def test_a_shard_that_vanished_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone, or damaged"):
        whole_shard(cut_shards(tmp_path, bert(tmp_path), TEXTS, 5)[0])


@pytest.mark.slow
@pytest.mark.ray
def test_a_killed_preparation_goes_on_where_it_was(ray_cluster: object, tmp_path: Path) -> None:
    recipe, out = write_covers(tmp_path), tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(recipe), str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == -9, done.stderr
    assert not out.exists()
    finished = [path for path in (tmp_path / ".out.features").rglob("*.shard") if read_shard(path) is not None]
    made = prepare(recipe, out).features[0]
    # An actor may still write the shard it is at when the preparation that asked for it is dead.
    assert 3 <= len(finished) <= made.reused < made.shards == 30
    assert not (tmp_path / ".out.features").exists()
    whole = prepare(recipe, tmp_path / "whole")
    assert whole.features[0].reused == 0
    first, second = (
        open_prepared(folder).train_data().domains[0].features["cover"] for folder in (out, tmp_path / "whole")
    )
    np.testing.assert_array_equal(first.values, second.values)
    assert first.present.sum() == 59


def write_covers(folder: Path) -> Path:
    """Sixty items with an image each, but for one that is torn."""
    from PIL import Image

    generator = np.random.default_rng(0)
    write_clip(folder / "clip")
    (folder / "covers").mkdir()
    for item in range(60):
        pixels = generator.integers(0, 256, size=(40, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "covers" / f"{item}.png")
    torn = folder / "covers" / "7.png"
    torn.write_bytes(torn.read_bytes()[:500])
    rows = [f"{user}\t{(user * 7 + step) % 60}\n" for user in range(60) for step in range(8)]
    (folder / "rows.tsv").write_text("user\titem\n" + "".join(rows))
    (folder / "recipe.toml").write_text(
        """
        name = "covers"
        domains = ["x"]
        split.by = "line"
        [[interactions]]
        path = "rows.tsv"
        domain = "x"
        [[features]]
        name = "cover"
        encoder = "clip_image"
        model = "clip"
        images = "covers/{item}.png"
        shard = 2
        """
    )
    return folder / "recipe.toml"
