"""Pretrained encoders of texts and images; the libraries of models are imported here, and only when one is needed."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from raymm.artefacts import fingerprint, hash_file
from raymm.data.storage import is_url, open_file, reaching
from raymm.errors import DataError

MAX_PIXELS = 50_000_000  # of an image: a few kilobytes can unpack to gigabytes
MAX_TOKENS = 512  # of a text, where a model allows more
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")  # those that Pillow reads by itself

_UNPICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_DOWNLOADED = ["*.json", "*.safetensors", "*.txt", "*.model"]


@runtime_checkable
class Encoder(Protocol):
    """Makes vectors of texts or of images."""

    def __call__(self, inputs: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        """Encode texts, or paths of images.

        Returns:
            (n, F) float32, and n reasons: why an input has no vector (its row is zero), empty where it has one.
        """


def locate_model(recipe_path: Path, model: str) -> Path:
    """Find a model's folder: a local one, or one that Hugging Face's hub, or its cache on this machine, holds.

    Only settings, vocabularies and safetensors are downloaded. A name that begins with `.` or `/`, or that is a folder
    beside the recipe, is local; a relative one stays within the recipe's folder.

    Raises:
        DataError: There is no such folder, the model cannot be had, or it has weights that only unpickling reads.
    """
    root = recipe_path.resolve().parent
    local = (root / model).resolve()
    if model.startswith((".", "/")) or local.is_dir():
        if not model.startswith("/") and not local.is_relative_to(root):
            found = f"{model!r} leads to {local}"
            raise DataError(found, f"a folder within {root}", str(recipe_path), "write its absolute path")
        if not local.is_dir():
            raise DataError("no such folder", "the folder of a model", str(local), f"mend `model` in {recipe_path}")
        folder = local
    else:
        folder = _downloaded(model)
    _check_weights(folder)
    return folder


def fingerprint_model(folder: Path) -> str:
    """Hash the names and bytes of all of a model's files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.parts)
    return fingerprint([(str(path.relative_to(folder)), hash_file(path)) for path in files])


def check_encoder(kind: str, folder: Path) -> None:
    """Look, before any work is done, whether the libraries and the files that an encoder needs are there.

    Raises:
        DataError: They are not, or a part of the model would need code that came with it.
    """
    _libraries(kind)
    wanted = "modules.json" if kind == "sentence_transformers" else "config.json"
    if not (folder / wanted).is_file():
        remedy = "check `model`, or choose encoder 'transformer' for a plain text model"
        raise DataError(f"no {wanted}", f"a model for {kind}", str(folder), remedy)
    if kind == "sentence_transformers":
        foreign = [kind for kind in _module_types(folder) if not kind.startswith("sentence_transformers.")]
        if foreign:
            expected = "modules of sentence_transformers: code that comes with a model is never run"
            raise DataError(f"modules {foreign}", expected, str(folder), "choose another model")


def open_encoder(kind: str, folder: Path, batch: int, device: str) -> Encoder:
    """Load an encoder.

    `sentence_transformers`: as the model pools and scales. `transformer`: the mean of a text model's last hidden
    states over the tokens that are no padding. `clip_text`, `clip_image`: CLIP's projected embeddings (Radford et al.,
    arXiv 2103.00020). Texts are cut to what the model takes. Weights are float32, read from safetensors.

    Args:
        kind: The encoder, as in a recipe.
        folder: The model's folder.
        batch: Inputs that go through the model at a time.
        device: `cpu` or `cuda`.

    Raises:
        DataError: The model cannot be loaded, or has weights missing.
    """
    libraries = _libraries(kind)
    load = {
        "sentence_transformers": _sentences,
        "transformer": _transformer,
        "clip_text": _clip_text,
        "clip_image": _clip_image,
    }[kind]
    try:
        encode = load(libraries, folder, device)
    except _loading_errors() as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"cannot be loaded: {words}", f"a model for {kind}", str(folder), "check `model`") from error
    return _Images(encode, batch) if kind == "clip_image" else _Texts(encode, batch)


def read_image(path: str) -> Any:
    """Read an image, at a path or in a store, as RGB; a string says why that is not possible.

    Raises:
        DataError: A store cannot be reached.
    """
    from PIL import Image, UnidentifiedImageError

    source: str | io.BytesIO = path
    if is_url(path):
        with reaching(path), open_file(path) as stream:
            source = io.BytesIO(stream.read())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(source, formats=IMAGE_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    return f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,}"
                return image.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"more than {MAX_PIXELS:,} pixels"
    except UnidentifiedImageError:
        return f"no image of {', '.join(IMAGE_FORMATS)}"
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        return f"a damaged image: {type(error).__name__}"


class _Texts:
    """Encodes texts, batch by batch."""

    def __init__(self, encode: Callable[[list[Any]], torch.Tensor], batch: int) -> None:
        self._encode = encode
        self._batch = batch

    def __call__(self, inputs: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        reasons = ["" if text.strip() else "no text" for text in inputs]
        return _by_batch(self._encode, lambda place: inputs[place], reasons, self._batch), reasons


class _Images:
    """Encodes images, batch by batch; no more than a batch is unpacked at a time."""

    def __init__(self, encode: Callable[[list[Any]], torch.Tensor], batch: int) -> None:
        self._encode = encode
        self._batch = batch

    def __call__(self, inputs: Sequence[str]) -> tuple[np.ndarray, list[str]]:
        parts, reasons = [], []
        for start in range(0, len(inputs), self._batch):
            images = [read_image(path) for path in inputs[start : start + self._batch]]
            why = [image if isinstance(image, str) else "" for image in images]
            parts.append(_by_batch(self._encode, images.__getitem__, why, self._batch))
            reasons += why
        width = max((part.shape[1] for part in parts), default=0)
        return np.concatenate(
            [part if part.shape[1] else np.zeros((len(part), width), "f4") for part in parts]
        ), reasons


def _by_batch(
    encode: Callable[[list[Any]], torch.Tensor], get: Callable[[int], Any], reasons: Sequence[str], batch: int
) -> np.ndarray:
    """Encode the inputs without a reason; (n, F) float32, or (n, 0) where no input is left."""
    places = [place for place, reason in enumerate(reasons) if not reason]
    with torch.inference_mode():
        parts = [
            encode([get(place) for place in places[start : start + batch]]).float().cpu().numpy()
            for start in range(0, len(places), batch)
        ]
    values = np.zeros((len(reasons), parts[0].shape[1] if parts else 0), dtype=np.float32)
    if parts:
        values[places] = np.concatenate(parts)
    return values


def _sentences(library: Any, folder: Path, device: str) -> Callable[[list[Any]], torch.Tensor]:
    model = library.SentenceTransformer(
        str(folder),
        device=device,
        trust_remote_code=False,
        local_files_only=True,
        model_kwargs={"use_safetensors": True},
    ).float()

    def encode(texts: list[Any]) -> torch.Tensor:
        embeddings: torch.Tensor = model.encode(
            texts, batch_size=len(texts), convert_to_numpy=False, convert_to_tensor=True, show_progress_bar=False
        )
        return embeddings

    return encode


def _transformer(library: Any, folder: Path, device: str) -> Callable[[list[Any]], torch.Tensor]:
    tokenizer = library.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    model = _loaded(library.AutoModel, folder, device)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # its hidden states are left out of the mean
    limit = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", MAX_TOKENS), MAX_TOKENS)

    def encode(texts: list[Any]) -> torch.Tensor:
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt").to(device)
        hidden: torch.Tensor = model(**tokens).last_hidden_state
        mask = tokens["attention_mask"][:, :, None].to(hidden.dtype)
        mean: torch.Tensor = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
        return mean

    return encode


def _clip_text(library: Any, folder: Path, device: str) -> Callable[[list[Any]], torch.Tensor]:
    tokenizer = library.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    model = _loaded(library.CLIPModel, folder, device)
    limit = model.config.text_config.max_position_embeddings

    def encode(texts: list[Any]) -> torch.Tensor:
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt").to(device)
        return _projected(model.get_text_features(**tokens))

    return encode


def _clip_image(library: Any, folder: Path, device: str) -> Callable[[list[Any]], torch.Tensor]:
    processor = library.AutoImageProcessor.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    model = _loaded(library.CLIPModel, folder, device)

    def encode(images: list[Any]) -> torch.Tensor:
        pixels = processor(images=images, return_tensors="pt")["pixel_values"].to(device)
        return _projected(model.get_image_features(pixel_values=pixels))

    return encode


def _projected(found: Any) -> torch.Tensor:
    """Take CLIP's projection: transformers 4 returns it, transformers 5 within an output."""
    embeddings: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
    return embeddings


def _loaded(kind: Any, folder: Path, device: str) -> Any:
    """Load a model; weights that its files lack or have in other shapes, which would be random, are an error."""
    model, found = kind.from_pretrained(
        str(folder), use_safetensors=True, trust_remote_code=False, local_files_only=True, output_loading_info=True
    )
    wrong = sorted(name for name in found["missing_keys"] if "pooler" not in name and "position_ids" not in name)
    wrong += sorted(str(key) for key in found["mismatched_keys"])
    if wrong:
        raise ValueError(f"{len(wrong)} weights are missing or of another shape, such as {wrong[0]}")
    return model.float().eval().to(device)


def _libraries(kind: str) -> Any:
    """Import what an encoder needs."""
    try:
        if kind == "sentence_transformers":
            import sentence_transformers

            return sentence_transformers
        if kind == "clip_image":
            import PIL  # noqa: F401 - looked for here, before any work is done
        import transformers
    except ImportError as error:
        raise DataError(
            f"{error.name} is not installed",
            f"the libraries of encoder {kind!r}",
            "this Python environment",
            "pip install 'raymm[encoders]', on every machine of the cluster",
        ) from error
    return transformers


def _downloaded(model: str) -> Path:
    try:
        import huggingface_hub
        from huggingface_hub import constants, errors
    except ImportError as error:
        found = f"{error.name} is not installed"
        raise DataError(found, f"a way to get {model!r}", "", "pip install 'raymm[encoders]'") from error
    try:
        return Path(huggingface_hub.snapshot_download(model, allow_patterns=_DOWNLOADED))
    # The library's own words are left out: they may hold signed addresses.
    except errors.HFValidationError:
        found = "neither a folder beside the recipe nor an id of a model"
    except errors.GatedRepoError:
        found = "a model that its owners give to those who ask only"
    except errors.RepositoryNotFoundError:
        found = "no such model on the hub, or none that this machine may see"
    except (OSError, ValueError, errors.HfHubHTTPError) as error:
        offline = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{type(error).__name__}, no way to the hub"
        found = f"a model that is not in this machine's cache and cannot be downloaded ({offline})"
    raise DataError(
        found,
        "a model that can be had",
        f"model {model!r}",
        "download it where there is a network, copy its folder beside the recipe, and name the folder in `model`",
    )


def _check_weights(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.suffix in _UNPICKLED and path.is_file()]
    bare = sorted(str(path.relative_to(folder)) for path in files if not any(path.parent.glob("*.safetensors")))
    if bare or not any(folder.rglob("*.safetensors")):
        raise DataError(
            f"weights that only unpickling can read: {bare[:3]}" if bare else "no weights",
            "weights as safetensors: what is unpickled can run code",
            str(folder),
            "choose a revision of the model with safetensors, or convert it where it is trusted",
        )


def _module_types(folder: Path) -> list[str]:
    try:
        return [str(module["type"]) for module in json.loads((folder / "modules.json").read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError("a damaged modules.json", "a list of modules", str(folder), "copy the model again") from error


def _loading_errors() -> tuple[type[Exception], ...]:
    from safetensors import SafetensorError

    return (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, SafetensorError)
