"""What the whole test run shares: one local Ray, and one preparation of the bundled sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

RATINGS = """\
name = "toy_ratings"
domains = ["books", "films"]

[[interactions]]
path = "ratings.tsv"
columns = { domain = "domain", user = "user", item = "item", rating = "rating", time = "timestamp" }

[[items]]
path = "items.tsv"
columns = { domain = "domain", item = "item", title = "title" }

[cleaning]
core_users = 1
core_items = 1
min_history = 1

[split]
kind = "cold_start"
target = "films"
cold_share = 0.3
validation_share = 0.2
positive_rating = 4.0
"""
SAMPLE = Path(__file__).parents[1] / "raymm" / "data" / "samples" / "arts_office" / "recipe.toml"


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[object]:
    """One local Ray with four CPUs for the whole run; yields what `connect` returned."""
    import ray

    from raymm.launch.session import connect

    session = connect("local", cpus=4)
    yield session
    ray.shutdown()


@pytest.fixture(scope="session")
def prepared_sample(ray_cluster: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled sample, prepared once; read it, do not write into it."""
    from raymm.launch.prepare import prepare

    folder = tmp_path_factory.mktemp("prepared") / "arts_office"
    prepare(SAMPLE, folder)
    return folder


@pytest.fixture(scope="session")
def prepared_ratings(ray_cluster: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ratings of two domains by 80 persons with one taste, prepared once; three in ten are new in `films`."""
    import numpy as np

    from raymm.launch.prepare import prepare

    folder = tmp_path_factory.mktemp("ratings")
    generator = np.random.default_rng(0)
    people, bias = generator.normal(size=(80, 2)), generator.normal(size=80) / 2
    lines = ["domain\tuser\titem\trating\ttimestamp"]
    titles = ["domain\titem\ttitle"]
    for domain in ("books", "films"):
        items = generator.normal(size=(40, 2))
        values = 3.2 + bias[:, None] + people @ items.T + 0.3 * generator.normal(size=(80, 40))
        for user, item in zip(*np.nonzero(generator.random((80, 40)) < 0.5), strict=True):
            stars = int(np.clip(np.round(values[user, item]), 1, 5))
            lines.append(f"{domain}\tu{user}\t{domain[0]}{item}\t{stars}\t{1000 + 7 * item + user}")
        titles += [f"{domain}\t{domain[0]}{item}\tThe <b>{item}</b> of {domain}" for item in range(40)]
    (folder / "ratings.tsv").write_text("\n".join(lines) + "\n")
    (folder / "items.tsv").write_text("\n".join(titles) + "\n")
    (folder / "recipe.toml").write_text(RATINGS)
    prepare(folder / "recipe.toml", folder / "prepared")
    return folder / "prepared"
