"""What users like items to be about: planted, it is found and carried over; else it is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.contracts import Feature
from raymm.ratings.content import Content, ContentConfig, fit_content
from raymm.ratings.descriptions import describe
from raymm.ratings.styles import fit_floor_plus
from raymm.ratings.table import ColdStart
from raymm.ratings.transfer import source_residuals
from tests.ratings.toys import planted


def _fitted(problem: ColdStart, config: ContentConfig) -> Content | None:
    base = fit_floor_plus(problem, np.random.default_rng(0))
    rows = problem.target.rows(problem.shared_rows)
    people = problem.source_of[rows.users]
    missed = rows.ratings - base.predict(people, base.floor.items.values[rows.items])
    return fit_content(problem, base, missed, people, rows.items, config)


def test_users_are_a_kernel_regression_from_item_to_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raymm.ratings.transfer._USERS", 100)
    problem, _, _ = planted()
    content = _fitted(problem, ContentConfig(ridges=(3.0,)))
    assert content is not None
    found = describe(*problem.features, 32)
    assert found is not None
    base = fit_floor_plus(problem, np.random.default_rng(0))
    residuals = source_residuals(problem.source, base.floor)
    for user in (0, 7, 239):
        own = problem.source.users == user
        rated = found[0][problem.source.items[own]]
        weights = np.linalg.solve(rated @ rated.T + 3.0 * np.eye(own.sum()), residuals[own])
        wanted = content.gain.share * found[1] @ rated.T @ weights
        items = np.arange(problem.target.n_items)
        assert content.part(np.full(len(items), user), items) == pytest.approx(wanted, abs=1e-8)


def test_what_is_carried_over_explains_cold_users() -> None:
    problem, _, test = planted()
    content = _fitted(problem, ContentConfig())
    assert content is not None
    base = fit_floor_plus(problem, np.random.default_rng(0))
    people = problem.source_of[test.users]
    missed = test.ratings - base.predict(people, base.floor.items.values[test.items])
    rest = missed - content.part(people, test.items)
    assert np.mean(rest**2) < 0.4 * np.mean(missed**2)


def test_without_taste_or_a_common_modality_nothing_is_added() -> None:
    assert _fitted(planted(taste=0.0)[0], ContentConfig(gate=2.0)) is None
    problem, _, _ = planted()
    first, second = problem.features
    other = {"image": Feature(second["text"].values, second["text"].present)}
    assert _fitted(replace(problem, features=(first, other)), ContentConfig(gate=0.0)) is None
    assert _fitted(problem, ContentConfig(width=0)) is None
