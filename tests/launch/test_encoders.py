from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from raymm.errors import DataError
from raymm.launch import encoders
from raymm.launch.encoders import (
    Encoder,
    check_encoder,
    fingerprint_model,
    locate_model,
    open_encoder,
    read_image,
)
from tests.launch.models import write_bert, write_clip, write_sentences

TEXTS = ["red cat", "", "a green dog and a blue cow under the oak", "ash", "  ", "tin tin " * 40, "dog"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    clip = write_clip(folder / "clip")
    sentences = write_sentences(folder / "sentences")
    plain = write_bert(folder / "bert")
    return {"clip_text": clip, "clip_image": clip, "sentence_transformers": sentences, "transformer": plain}


def write_images(folder: Path, n_images: int = 5) -> list[str]:
    from PIL import Image

    generator = np.random.default_rng(0)
    paths = []
    for number in range(n_images):
        pixels = generator.integers(0, 256, size=(20 + 9 * number, 31, 3), dtype=np.uint8)
        paths.append(str(folder / f"{number}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


def alone(kind: str, folder: Path, given: str) -> np.ndarray:
    """The library's own documented way for one input, as its users write it."""
    import transformers

    with torch.inference_mode():
        if kind == "sentence_transformers":
            from sentence_transformers import SentenceTransformer

            return SentenceTransformer(str(folder), device="cpu").encode(given)
        if kind == "clip_image":
            from PIL import Image

            pixels = transformers.AutoImageProcessor.from_pretrained(folder)(Image.open(given), return_tensors="pt")
            found = transformers.CLIPModel.from_pretrained(folder).eval().get_image_features(**pixels)
            return getattr(found, "pooler_output", found)[0].numpy()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        longest = 40 if kind == "clip_text" else 20
        tokens = tokenizer(given, return_tensors="pt", truncation=True, max_length=longest)
        if kind == "clip_text":
            found = transformers.CLIPModel.from_pretrained(folder).eval().get_text_features(**tokens)
            return getattr(found, "pooler_output", found)[0].numpy()
        return transformers.AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0].mean(dim=0).numpy()


@pytest.mark.parametrize("kind", ["sentence_transformers", "transformer", "clip_text", "clip_image"])
def test_batches_equal_one_input_at_a_time(models: dict[str, Path], tmp_path: Path, kind: str) -> None:
    inputs = [*write_images(tmp_path), str(tmp_path / "none.png")] if kind == "clip_image" else TEXTS
    encoder = open_encoder(kind, models[kind], 2, "cpu")
    assert isinstance(encoder, Encoder)
    values, reasons = encoder(inputs)
    present = [place for place, reason in enumerate(reasons) if not reason]
    assert len(present) == 5
    expected = np.array([alone(kind, models[kind], inputs[place]) for place in present])
    assert values.dtype == np.float32
    assert np.linalg.norm(expected - expected.mean(axis=0)) > 1e-2  # inputs are told apart
    np.testing.assert_allclose(values[present], expected, atol=2e-6)
    assert not values[[place for place in range(len(inputs)) if place not in present]].any()


def test_nothing_to_encode_has_no_width(models: dict[str, Path]) -> None:
    values, reasons = open_encoder("transformer", models["transformer"], 2, "cpu")(["", " "])
    assert (values.shape, reasons) == ((2, 0), ["no text", "no text"])


def test_bad_images_are_missing_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    whole = Path(write_images(tmp_path, 1)[0])
    (tmp_path / "torn.png").write_bytes(whole.read_bytes()[:-200])
    (tmp_path / "text.jpg").write_text("<html>")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "x.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    reasons = {name: read_image(str(tmp_path / name)) for name in ("torn.png", "text.jpg", "empty.jpg", "x.eps", "no")}
    assert "damaged" in reasons["torn.png"]
    assert "FileNotFoundError" in reasons["no"]
    assert all("no image of JPEG" in reasons[name] for name in ("text.jpg", "empty.jpg", "x.eps"))
    Image.new("1", (10_000, 10_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 2**20
    assert "pixels" in read_image(str(tmp_path / "bomb.png"))
    monkeypatch.setattr(encoders, "MAX_PIXELS", 100)
    assert "more than 100" in read_image(str(whole))
    monkeypatch.undo()
    for mode in ("L", "P", "RGBA", "CMYK", "I;16"):
        Image.new(mode, (8, 8)).save(tmp_path / "other.tiff")
        assert read_image(str(tmp_path / "other.tiff")).mode == "RGB"


def test_a_folder_is_found_beside_the_recipe_and_not_outside(models: dict[str, Path], tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    shutil.copytree(models["transformer"], inside / "my" / "bert")
    recipe = inside / "recipe.toml"
    for name in ("my/bert", "./my/bert", str(inside / "my" / "bert")):
        assert locate_model(recipe, name) == inside / "my" / "bert"
    assert fingerprint_model(inside / "my" / "bert") == fingerprint_model(models["transformer"])
    assert fingerprint_model(inside / "my" / "bert") != fingerprint_model(models["clip_text"])
    with pytest.raises(DataError, match="a folder within"):
        locate_model(inside / "my" / "recipe.toml", "../../elsewhere")
    with pytest.raises(DataError, match="no such folder"):
        locate_model(recipe, "./other")


def test_weights_that_need_unpickling_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models["transformer"], folder)
    (folder / "pytorch_model.bin").write_bytes(b"beside safetensors it is never opened")
    assert locate_model(tmp_path / "recipe.toml", "model") == folder
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=r"only unpickling can read: \['pytorch_model.bin'\]"):
        locate_model(tmp_path / "recipe.toml", "model")
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(DataError, match="no weights"):
        locate_model(tmp_path / "recipe.toml", "model")


def test_code_that_comes_with_a_model_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(models["sentence_transformers"], folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "antigravity.Transformer"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(DataError, match=r"(?s)antigravity.*never run"):
        check_encoder("sentence_transformers", folder)
    (folder / "modules.json").write_text("{")
    with pytest.raises(DataError, match="damaged modules.json"):
        check_encoder("sentence_transformers", folder)
    with pytest.raises(DataError, match="no modules.json"):
        check_encoder("sentence_transformers", models["transformer"])
    shutil.copytree(models["transformer"], tmp_path / "remote")
    config = json.loads((tmp_path / "remote" / "config.json").read_text())
    del config["model_type"]
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (tmp_path / "remote" / "config.json").write_text(json.dumps(config))
    (tmp_path / "remote" / "evil.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    with pytest.raises(DataError, match="cannot be loaded"):
        open_encoder("transformer", tmp_path / "remote", 2, "cpu")
    assert not (tmp_path / "mark").exists()


def test_a_model_of_another_kind_is_not_filled_with_random_weights(models: dict[str, Path]) -> None:
    for kind in ("clip_text", "clip_image"):
        with pytest.raises(DataError, match="cannot be loaded"):
            open_encoder(kind, models["transformer"], 2, "cpu")


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_damaged_weights_are_an_error(models: dict[str, Path], tmp_path: Path, content: bytes) -> None:
    shutil.copytree(models["transformer"], tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="cannot be loaded"):
        open_encoder("transformer", tmp_path / "model", 2, "cpu")


def test_without_network_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"(?s)HF_HUB_OFFLINE is set.*copy its folder beside the recipe"):
        locate_model(tmp_path / "recipe.toml", "somebody/some-model")
    with pytest.raises(DataError, match="nor an id of a model"):
        locate_model(tmp_path / "recipe.toml", "so mebody//x")


def test_a_missing_library_is_named_with_its_extra() -> None:
    probe = """
import sys
from pathlib import Path
sys.modules["transformers"] = sys.modules["sentence_transformers"] = sys.modules["huggingface_hub"] = None
from raymm.errors import DataError
from raymm.launch.encoders import check_encoder, locate_model
for call in (lambda: check_encoder("clip_text", Path()), lambda: locate_model(Path("r.toml"), "a/b"),
             lambda: check_encoder("sentence_transformers", Path())):
    try:
        call()
    except DataError as error:
        assert "pip install 'raymm[encoders]'" in str(error), error
    else:
        raise SystemExit("no error")
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
