from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from raymm.data import layout
from raymm.data.prepared import open_prepared
from raymm.data.raw import Lines
from raymm.data.recipe import Recipe
from raymm.data.rows import item_schema
from raymm.errors import DataError
from raymm.launch.catalogue import Catalogue, build_catalogue
from raymm.launch.encoders import fingerprint_model, open_encoder
from raymm.launch.feature_sources import FeatureSources, find_feature_sources
from raymm.launch.features import encode_batch, fit_modality, write_features
from raymm.launch.prepare import prepare
from tests.data.recipes import item_table, recipe
from tests.launch.models import write_bert, write_clip
from tests.launch.test_catalogue import FEATURES, WORDS, catalogues, toy

POSTERS = Path(__file__).parents[3] / "shared" / "data" / "ml100k_posters" / "posters"
ARTS = Path(__file__).parents[3] / "shared" / "data" / "arts_mmrec"
NO_SOURCES = FeatureSources(Path("recipe.toml"), Path("work"), {}, {}, {})


def nothing(*_: object) -> None:
    """No progress is shown."""


@pytest.mark.ray
def test_features_stand_where_their_item_does(ray_cluster: object, tmp_path: Path) -> None:
    settings, late, early = toy()
    both = catalogues(settings, [ray.put(late), ray.put(early)])
    made = write_features(tmp_path, settings, both, NO_SOURCES, nothing)
    assert [(entry.modality, entry.domain, entry.columns, entry.missing) for entry in made] == [
        ("words", "a", 3, 1),
        ("words", "b", 3, 0),
        ("names", "a", 2, 1),
        ("names", "b", 2, 0),
    ]
    for catalogue in both:
        values, present = (np.load(path) for path in layout.feature_files(tmp_path, catalogue.domain, "words"))
        assert values.shape == (5, 3)
        assert present.tolist() == [name != "unheard" for name in catalogue.item_ids.to_pylist()]
    # a0 and b0, a2 and b2 have equal texts: one encoder serves both domains.
    first, second = (np.load(layout.feature_files(tmp_path, domain, "words")[0]) for domain in ("a", "b"))
    np.testing.assert_array_equal(first[:2], second[[0, 2]])
    np.testing.assert_allclose(first[4], first[:4].mean(axis=0), rtol=1e-6)


@pytest.mark.ray
def test_modality_that_most_items_lack_is_an_error(ray_cluster: object, tmp_path: Path) -> None:
    settings, late, early = toy()
    blocks = [ray.put(late), ray.put(early)]
    sparse = build_catalogue(blocks, settings, 0, pa.array(["a0", "a1", "a2", "a3", *[f"x{n}" for n in range(9)]]))
    with pytest.raises(DataError, match=r"9 of 13 items without 'words', for example \['x0'"):
        write_features(tmp_path, settings, [sparse, catalogues(settings, blocks)[1]], NO_SOURCES, nothing)


@pytest.mark.ray
def test_batch_holds_every_modality(ray_cluster: object) -> None:
    settings, _, early = toy()
    texts = early.select(["text of words", "text of names"])
    encoders = [ray.put(fit_modality(texts, settings, number)) for number in range(2)]
    batch = encode_batch(texts.append_column("place", pa.array(range(8))), ["words", "names"], encoders)
    shapes = {name: array.shape for name, array in batch.items()}
    assert shapes == {
        "place": (8,),
        "values of words": (8, 3),
        "presence of words": (8,),
        "values of names": (8, 2),
        "presence of names": (8,),
    }


def bare(settings: Recipe, domain: str, ids: list[str]) -> Catalogue:
    """Items that no item file has."""
    rows = pa.Table.from_pylist([{}] * len(ids), schema=item_schema(settings))
    return Catalogue(domain, pa.array(ids), rows, len(ids), 0)


def vectors(**settings: object) -> Recipe:
    entry = {"name": "image", "encoder": "vectors", "path": "{domain}.npy", "max_missing": 0.5, **settings}
    return recipe(features=[entry])


def test_ready_made_vectors_are_copied_by_id_and_by_row(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float16)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "b.npy", values)
    (tmp_path / "b.ids.txt").write_text("\n".join("uvwxyz"))
    settings = vectors()
    sources = find_feature_sources(tmp_path / "recipe.toml", settings, tmp_path / "out")
    both = [bare(settings, "a", ["5", "0", "3"]), bare(settings, "b", ["z", "nobody", "u"])]
    made = write_features(tmp_path / "out", settings, both, sources, nothing)
    assert [(entry.columns, entry.missing, entry.unused) for entry in made] == [(4, 0, 3), (4, 1, 4)]
    first, second = (np.load(layout.feature_files(tmp_path / "out", domain, "image")[0]) for domain in ("a", "b"))
    np.testing.assert_array_equal(first, values[[5, 0, 3]])
    np.testing.assert_array_equal(second[[0, 2]], values[[5, 0]])
    np.testing.assert_allclose(second[1], values[[5, 0]].astype(np.float32).mean(axis=0), rtol=1e-5)


def test_rows_of_one_file_are_not_items_of_two_domains(tmp_path: Path) -> None:
    np.save(tmp_path / "both.npy", np.ones((3, 2)))
    settings = vectors(path="both.npy")
    sources = find_feature_sources(tmp_path / "recipe.toml", settings, tmp_path / "out")
    both = [bare(settings, domain, ["0", "1"]) for domain in ("a", "b")]
    with pytest.raises(DataError, match=r"(?s)without ids for two domains.*\{domain\}"):
        write_features(tmp_path / "out", settings, both, sources, nothing)
    (tmp_path / "both.ids.txt").write_text("0\n1\n2")  # with ids, an item of both domains is one item
    assert [entry.unused for entry in write_features(tmp_path / "out", settings, both, sources, nothing)] == [1, 1]


@pytest.mark.ray
def test_a_set_of_interactions_and_vectors_alone_is_prepared(ray_cluster: object, tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    pairs = sorted({(int(user), int(item)) for user, item in generator.integers(0, 12, size=(110, 2))})
    (tmp_path / "x.inter").write_text("userID\titemID\n" + "".join(f"{user}\t{item}\n" for user, item in pairs))
    values = generator.normal(size=(12, 5)).astype(np.float16)
    np.save(tmp_path / "text_feat.npy", values)
    (tmp_path / "recipe.toml").write_text(
        """
        name = "tiny"
        domains = ["x"]
        split.by = "line"
        [[interactions]]
        path = "x.inter"
        domain = "x"
        columns = { user = "userID", item = "itemID" }
        [[features]]
        name = "text"
        encoder = "vectors"
        path = "text_feat.npy"
        dtype = "float16"
        """
    )
    summary = prepare(tmp_path / "recipe.toml", tmp_path / "out")
    prepared = open_prepared(tmp_path / "out")
    items = prepared.item_ids("x").astype(int)
    assert len(items) > 8
    feature = prepared.train_data().domains[0].features["text"]
    assert feature.values.dtype == np.float32
    np.testing.assert_array_equal(feature.values, values[items].astype(np.float32))
    assert summary.features[0].unused == 12 - len(items)
    assert "text_feat.npy" in prepared.manifest.inputs
    assert prepare(tmp_path / "recipe.toml", tmp_path / "out").features == summary.features
    values[items[3], 2] = np.nan
    np.save(tmp_path / "text_feat.npy", values)
    with pytest.raises(DataError, match=rf"in 1 vectors: items \['{items[3]}'\]"):
        prepare(tmp_path / "recipe.toml", tmp_path / "out", replace=True)


@pytest.mark.skipif(not ARTS.is_dir(), reason="no copy of a data set in MMRec's layout")
def test_features_in_mmrec_layout_are_taken_as_they_stand(tmp_path: Path) -> None:
    modalities = [{"name": name, "encoder": "vectors", "path": f"{ARTS}/{name}_feat.npy"} for name in ("text", "image")]
    settings = recipe(domains=["arts"], features=modalities)
    sources = find_feature_sources(tmp_path / "recipe.toml", settings, tmp_path / "out")
    order = np.random.default_rng(0).permutation(18_639)
    ids = [str(number) for number in order]
    made = write_features(tmp_path, settings, [bare(settings, "arts", ids)], sources, nothing)
    assert [(entry.columns, entry.missing, entry.unused) for entry in made] == [(384, 0, 0)] * 2
    for name in ("text", "image"):
        found = np.load(layout.feature_files(tmp_path, "arts", name)[0], mmap_mode="r")
        np.testing.assert_array_equal(found, np.load(ARTS / f"{name}_feat.npy")[order])


@pytest.mark.ray
@pytest.mark.skipif(not POSTERS.is_dir(), reason="no copy of the posters of MovieLens-100k")
def test_real_posters_go_through_clip(ray_cluster: object, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip")
    entry = {"name": "poster", "encoder": "clip_image", "model": "clip", "images": f"{POSTERS}/{{item}}.jpg"}
    settings = recipe(domains=["films"], features=[{**entry, "l2": True, "fill": "zero", "shard": 300}])
    sources = find_feature_sources(tmp_path / "recipe.toml", settings, tmp_path / "out")
    films = [str(number) for number in range(1, 1683)]
    made = write_features(tmp_path / "out", settings, [bare(settings, "films", films)], sources, nothing)
    assert (made[0].columns, made[0].missing, made[0].shards, made[0].reused) == (24, 19, 6, 0)
    values, present = (np.load(path) for path in layout.feature_files(tmp_path / "out", "films", "poster"))
    lacking = pq.read_table(layout.missing_file(tmp_path / "out")).to_pylist()
    assert [row["item_id"] for row in lacking] == [films[place] for place in np.flatnonzero(~present)]
    assert {row["reason"] for row in lacking} == {"no such file"}
    assert not values[~present].any()
    encoder = open_encoder("clip_image", clip, 1, "cpu")
    for place in np.flatnonzero(present)[::200]:
        alone = encoder([str(POSTERS / f"{films[place]}.jpg")])[0][0]
        np.testing.assert_allclose(values[place], alone / np.linalg.norm(alone), atol=1e-5)


@pytest.mark.ray
@pytest.mark.slow
def test_texts_go_through_models_beside_the_default(ray_cluster: object, tmp_path: Path) -> None:
    bert = write_bert(tmp_path / "bert")
    deep = {"name": "deep", "encoder": "transformer", "column": "text", "model": "bert", "max_missing": 0.4, "shard": 3}
    settings, names = recipe(features=[FEATURES[0], deep]), ("domain", "item", "title", "text")
    lines = [f"{domain}\t{domain}{place}\t\t{text}" for domain in "ab" for place, text in enumerate(WORDS)]
    block = ray.put(item_table(Lines(0, lines), settings, names))
    ids = [[f"{domain}{place}" for place in (4, 2, 0, 6)] + ["unheard"] for domain in "ab"]
    both = [build_catalogue([block], settings, number, pa.array(ids[number])) for number in range(2)]
    sources = find_feature_sources(tmp_path / "recipe.toml", settings, tmp_path / "out")
    assert sources.marks == {"model bert": fingerprint_model(bert)}
    made = write_features(tmp_path / "out", settings, both, sources, nothing)
    assert [(entry.modality, entry.missing, entry.shards) for entry in made[2:]] == [("deep", 1, 2)] * 2
    expected, _ = open_encoder("transformer", bert, 8, "cpu")([WORDS[place] for place in (4, 2, 0, 6)])
    for domain in "ab":
        values = np.load(layout.feature_files(tmp_path / "out", domain, "deep")[0])
        np.testing.assert_allclose(values[:4], expected, atol=1e-5)
    reasons = pq.read_table(layout.missing_file(tmp_path / "out"))["reason"].to_pylist()
    assert reasons == ["no word that the encoder knows"] * 2 + ["no text"] * 2
