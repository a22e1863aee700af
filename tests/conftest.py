"""What the whole test run shares: one local Ray, and one preparation of the bundled sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
