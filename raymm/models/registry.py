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
from raymm.models.sieoug import config as sieoug
from raymm.models.sieoug.model import Sieoug
from raymm.models.sieoug.structure import build_structure, structure_key
from raymm.models.spec import ModelSpec, Spec

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
)

MODELS: dict[str, Spec] = {spec.name: spec for spec in _SPECS}

TRAINED: dict[str, ModelSpec] = {spec.name: spec for spec in _SPECS if isinstance(spec, ModelSpec)}
"""Those among them that learn by gradients."""


def find_model(name: str) -> Spec:
    """Return the spec of the model called `name`.

    Raises:
        ConfigError: There is none.
    """
    if name not in MODELS:
        raise ConfigError(repr(name), "one of " + ", ".join(MODELS), "model", "see `raymm train --help`")
    return MODELS[name]


def find_trained(name: str) -> ModelSpec:
    """Return the spec of the model called `name`, which learns by gradients.

    Raises:
        ConfigError: There is no such model, or it is one in closed form.
    """
    spec = find_model(name)
    if not isinstance(spec, ModelSpec):
        raise ConfigError(
            f"{name}, a model in closed form", "one of " + ", ".join(TRAINED), "model", "it is fitted, not trained"
        )
    return spec
