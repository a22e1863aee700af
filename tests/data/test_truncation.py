"""Truncated histories against a plain loop, and draws that hang on ids alone."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from raymm.data.split import TEST, TRAIN, TRUNCATED, VALIDATION
from raymm.data.truncation import Truncation, truncated, truncation_disagreements
from raymm.errors import ConfigError

IDS = pa.array([f"u{number}" for number in range(600)])
LENGTHS = np.random.default_rng(0).integers(2, 12, len(IDS))
USERS = np.repeat(np.arange(len(IDS)), LENGTHS)
LABELS = np.concatenate([np.array([TRAIN] * (length - 2) + [VALIDATION, TEST], dtype=np.int8) for length in LENGTHS])


def test_the_latest_training_interactions_stay_and_what_is_held_out_too():
    cut = truncated(LABELS, USERS, IDS, Truncation(share=0.5, lengths=(0, 1, 2, 5)))
    left = {}
    for user in range(len(IDS)):
        before, after = LABELS[user == USERS], cut[user == USERS]
        np.testing.assert_array_equal(after[before != TRAIN], before[before != TRAIN])
        kept = np.flatnonzero(after == TRAIN)
        assert kept.tolist() == list(range(int((before == TRAIN).sum()) - len(kept), int((before == TRAIN).sum())))
        assert set(after[before == TRAIN]) <= {TRAIN, TRUNCATED}
        if (after == TRUNCATED).any():
            left[len(kept)] = left.get(len(kept), 0) + 1
    assert set(left) == {0, 1, 2, 5}
    whole = [user for user in range(len(IDS)) if LENGTHS[user] >= 8 and not (cut[user == USERS] == TRUNCATED).any()]
    assert len(whole) / (LENGTHS >= 8).sum() == pytest.approx(0.5, abs=0.1)


def test_draws_are_nested_and_do_not_hang_on_who_else_is_there():
    small, large = (truncated(LABELS, USERS, IDS, Truncation(share=share)) for share in (0.2, 0.6))
    assert (small == TRUNCATED).sum() > 50
    assert (large[small == TRUNCATED] == TRUNCATED).all()
    half = USERS < 300
    np.testing.assert_array_equal(truncated(LABELS[half], USERS[half], IDS[:300], Truncation(share=0.6)), large[half])
    other = truncated(LABELS, USERS, IDS, Truncation(share=0.2, seed=1))
    assert ((other == TRUNCATED) != (small == TRUNCATED)).any()


def test_nothing_is_cut_by_default_and_all_by_a_share_of_one():
    assert truncated(LABELS, USERS, IDS, Truncation()) is LABELS
    assert (truncated(LABELS, USERS, IDS, Truncation(share=1, lengths=(0,))) != TRAIN).all()


def test_what_does_not_fit_is_said():
    assert not truncation_disagreements(Truncation(domain="a", share=0.5), ("a", "b"))
    assert len(truncation_disagreements(Truncation(domain="c", share=0.5, lengths=()), ("a", "b"))) == 2
    with pytest.raises(ConfigError):
        Truncation(share=1.5)
    with pytest.raises(ConfigError):
        dataclasses.replace(Truncation(), lengths=(-1,))
