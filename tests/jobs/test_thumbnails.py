"""Images as vectors without a model."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from matplotlib import image as images

JOB = Path(__file__).parents[2] / "jobs" / "thumbnails.py"


def test_images_that_look_alike_have_vectors_that_are_near(tmp_path):
    generator = np.random.default_rng(0)
    (tmp_path / "posters").mkdir()
    colours = {"a": (1, 0, 0), "b": (0.9, 0, 0.1), "c": (0, 0, 1), "d": (0, 0.1, 0.9), "grey": (0.5, 0.5, 0.5)}
    for name, colour in colours.items():
        size = generator.integers(20, 40, 2)
        pixels = np.clip(np.array(colour) + generator.normal(0, 0.05, (*size, 3)), 0, 1)
        images.imsave(tmp_path / "posters" / f"{name}.png", pixels)
    command = [sys.executable, str(JOB), str(tmp_path / "posters"), "--output", str(tmp_path / "posters.parquet")]
    assert "5 images" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    table = pq.read_table(tmp_path / "posters.parquet").to_pydict()
    vectors = dict(zip(table["id"], map(np.array, table["vector"]), strict=True))
    assert set(vectors) == set(colours)

    def distance(one, other):
        return np.linalg.norm(vectors[one] - vectors[other])

    assert distance("a", "b") < distance("a", "grey") < distance("a", "c")
    assert distance("c", "d") < distance("c", "b")
    failed = subprocess.run([*command[:2], str(tmp_path), *command[3:]], capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "name a folder of images" in failed.stderr
