"""Every model, one line each."""

from __future__ import annotations

from raymm.errors import ConfigError
from raymm.models.baselines import (
    bm3,
    bprmf,
    ease,
    freedom,
    item_knn,
    lattice,
    lightgcn,
    mgcn,
    popularity,
    vbpr,
)
from raymm.models.gume import model as gume
from raymm.models.mimnet import model as mimnet
from raymm.models.rating import cold_rankers, means, published
from raymm.models.sieoug import config as sieoug
from raymm.models.sieoug.model import Sieoug
from raymm.models.sieoug.structure import between_key, build_between, build_structure, structure_key
from raymm.models.spec import Between, ModelSpec, RatingSpec, Spec

_SPECS: tuple[Spec, ...] = (
    ModelSpec(
        name="sieoug",
        summary="two domains, several modalities, users matched by optimal transport",
        config=sieoug.SieougConfig,
        presets={"default": sieoug.DEFAULT, "paper": sieoug.PAPER},
        n_domains=2,
        structure=build_structure,
        build=Sieoug,
        structure_key=structure_key,
        between=Between(build_between, between_key),
    ),
    gume.SPEC,
    bprmf.SPEC,
    lightgcn.SPEC,
    vbpr.SPEC,
    lattice.SPEC,
    freedom.SPEC,
    bm3.SPEC,
    mgcn.SPEC,
    popularity.SPEC,
    item_knn.SPEC,
    ease.SPEC,
    mimnet.SPEC,
    means.FLOOR,
    means.SCALAR_BRIDGE,
    *published.SPECS,
    cold_rankers.RIDGE,
    cold_rankers.CO_OCCURRENCE,
)

MODELS: dict[str, Spec] = {spec.name: spec for spec in _SPECS}

TRAINED: dict[str, ModelSpec] = {spec.name: spec for spec in _SPECS if isinstance(spec, ModelSpec)}
"""Those among them that learn by gradients on a grid of ranks."""

RATING: dict[str, RatingSpec] = {spec.name: spec for spec in _SPECS if isinstance(spec, RatingSpec)}
"""Those that predict ratings for users who are new in a domain."""


def find_model(name: str) -> Spec:
    """Return the spec of the model called `name`.

    Raises:
        ConfigError: There is none.
    """
    if name not in MODELS:
        raise ConfigError(repr(name), "one of " + ", ".join(MODELS), "model", "see `raymm train --help`")
    return MODELS[name]


def find_trained(name: str) -> ModelSpec:
    """Return the spec of the model called `name`, which learns by gradients on a grid of ranks.

    Raises:
        ConfigError: There is no such model, or it is one in closed form, or made in stages.
    """
    spec = find_model(name)
    if not isinstance(spec, ModelSpec):
        raise ConfigError(
            f"{name}, which is made in one process",
            "one of " + ", ".join(TRAINED),
            "model",
            "it needs no workers: `raymm train` makes it",
        )
    return spec
