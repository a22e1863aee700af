"""Texts and images to vectors by a pretrained model on Ray Data's actors, in shards that outlive an interruption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch

from raymm.artefacts import fingerprint
from raymm.data.feature_shards import read_shard, write_shard
from raymm.data.storage import is_url, version_of
from raymm.errors import DataError, RaymmError
from raymm.launch.encoders import Encoder, fingerprint_model, locate_model, open_encoder
from raymm.launch.sources import Progress

THREADS = 2  # CPUs of an actor without a GPU; as many everywhere, since sums hang on how they are split

_VERSION = 1  # of what a shard holds: a new one makes shards of an older raymm worthless


@dataclass(frozen=True)
class Model:
    """A model and where it was found.

    Attributes:
        encoder: The encoder, as in a recipe.
        name: Id or folder, as in a recipe.
        recipe_path: The recipe, from which local folders count.
        folder: The folder on the machine that read the recipe.
        mark: Hash of all its files.
        batch: Inputs that go through it at a time.
    """

    encoder: str
    name: str
    recipe_path: Path
    folder: Path
    mark: str
    batch: int


@dataclass(frozen=True)
class Shard:
    """Some items in a row.

    Attributes:
        path: Where their vectors stand, or will; the name holds a hash of all that they depend on.
        inputs: Texts, or paths of images.
    """

    path: Path
    inputs: tuple[str, ...]


def cut_shards(folder: Path, model: Model, inputs: Sequence[str], size: int) -> list[Shard]:
    """Cut inputs into shards, each named by its content, the model and the batch.

    The content of an image is known by its path, size and time of change; in a store, by the mark of its version.

    Args:
        folder: Where shards are kept.
        model: The model.
        inputs: Texts, or paths of images.
        size: Inputs of a shard.
    """
    shards = []
    for start in range(0, len(inputs), size):
        part = tuple(inputs[start : start + size])
        content = [_state(path) for path in part] if model.encoder == "clip_image" else part
        name = fingerprint(_VERSION, model.encoder, model.mark, model.batch, content)
        shards.append(Shard(folder / f"{start:09d}-{name}.shard", part))
    return shards


def encode_shards(model: Model, shards: Sequence[Shard], stage: str, progress: Progress) -> int:
    """Encode the shards that are not there yet, or whose bytes are not those that were written.

    Each actor loads the model once and takes a whole GPU where the cluster has any, else `THREADS` CPUs. A shard is
    on disk as soon as it is encoded.

    Args:
        model: The model; its folder, or its id, must be there on every machine.
        shards: The shards; their folder is shared by the machines of the cluster.
        stage: Name of this work for `progress`, told how many shards are there.
        progress: Told how far it is.

    Returns:
        How many shards were there already.

    Raises:
        DataError: The model cannot be loaded, or differs between machines.
    """
    wanted = [shard for shard in shards if read_shard(shard.path) is None]
    reused = len(shards) - len(wanted)
    progress(stage, reused, len(shards))
    for done, answer in enumerate(_answers(model, wanted), start=1):
        if answer["found"]:
            raise DataError(*(str(answer[part]) for part in ("found", "expected", "where", "remedy")))
        progress(stage, reused + done, len(shards))
    return reused


def whole_shard(shard: Shard) -> tuple[np.ndarray, list[str]]:
    """Read a shard that was encoded: (n, F) values, and n reasons why an input has none.

    Raises:
        DataError: It is gone or damaged since.
    """
    found = read_shard(shard.path)
    if found is None:
        raise DataError(
            "a shard that is gone, or damaged", "a shard as it was written", str(shard.path), "prepare the set again"
        )
    return found


class ShardEncoder:
    """Encodes one shard a call and writes it; lives in an actor.

    Args:
        model: The model, loaded at the first call.
        gpu: Use the GPU that Ray gave this actor.
    """

    def __init__(self, model: Model, gpu: bool) -> None:
        self._model = model
        self._gpu = gpu
        self._encoder: Encoder | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Encode the shard that stands in `batch`; return what went wrong, in the parts of an error, or nothing."""
        path, inputs = Path(batch["path"][0].as_py()), batch["inputs"][0].as_py()
        parts = dict.fromkeys(("found", "expected", "where", "remedy"), "")
        try:
            self._encoder = self._encoder or self._opened()
            write_shard(path, *self._encoder(inputs))
        except RaymmError as error:  # Ray would wrap it, and start the actor again
            parts = {name: getattr(error, name) for name in parts}
        return pa.table({name: [text] for name, text in parts.items()})

    def _opened(self) -> Encoder:
        model = self._model
        torch.set_num_threads(THREADS)
        folder = model.folder if model.folder.is_dir() else locate_model(model.recipe_path, model.name)
        if fingerprint_model(folder) != model.mark:
            raise DataError(
                f"model {model.name!r} with other files than where the preparation was started",
                "the same model on every machine",
                str(folder),
                "copy the model's folder to storage that all machines share, and name it in `model`",
            )
        return open_encoder(model.encoder, folder, model.batch, "cuda" if self._gpu else "cpu")


def _answers(model: Model, shards: Sequence[Shard]) -> Iterable[Mapping[str, Any]]:
    if not shards:
        return
    resources = ray.cluster_resources()
    gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
    threads = min(THREADS, cpus)
    rows = [{"path": str(shard.path), "inputs": list(shard.inputs)} for shard in shards]
    encoder: Any = ShardEncoder
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        encoder,
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, min(len(rows), gpus or cpus // threads))),
        fn_constructor_kwargs={"model": model, "gpu": gpus > 0},
        num_cpus=None if gpus else threads,
        num_gpus=1 if gpus else None,
    )
    yield from dataset.iter_rows()


def _state(path: str) -> tuple[str, str]:
    if not path:
        return path, ""
    if is_url(path):
        return path, version_of(path)
    found = Path(path).stat()
    return path, f"{found.st_size} {found.st_mtime_ns}"
