"""Every model that is trained by gradients, one line each."""

from __future__ import annotations

from raymm.errors import ConfigError
from raymm.models.baselines import bm3, bprmf, freedom, lattice, lightgcn, mgcn, vbpr
from raymm.models.gume import model as gume
from raymm.models.sieoug import config as sieoug
from raymm.models.sieoug.model import Sieoug
from raymm.models.sieoug.structure import build_structure
from raymm.models.spec import ModelSpec

_SPECS = (
    ModelSpec(
        name="sieoug",
        summary="two domains, several modalities, users matched by optimal transport",
        config=sieoug.SieougConfig,
        presets={"default": sieoug.DEFAULT, "paper": sieoug.PAPER},
        n_domains=2,
        structure=build_structure,
        build=Sieoug,
    ),
    gume.SPEC,
    bprmf.SPEC,
    lightgcn.SPEC,
    vbpr.SPEC,
    lattice.SPEC,
    freedom.SPEC,
    bm3.SPEC,
    mgcn.SPEC,
)

MODELS = {spec.name: spec for spec in _SPECS}


def find_model(name: str) -> ModelSpec:
    """Return the spec of the model called `name`.

    Raises:
        ConfigError: There is none.
    """
    if name not in MODELS:
        raise ConfigError(repr(name), "one of " + ", ".join(MODELS), "model", "see `raymm train --help`")
    return MODELS[name]
