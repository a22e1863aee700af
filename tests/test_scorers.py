"""Scorers against dense matrices, and their storage against damage."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import sparse

from raymm import products, scorers
from raymm.contracts import Scorer
from raymm.errors import ArtefactError, DataError
from raymm.scorers import DotScorer, ItemScorer, SparseItemScorer, VotedScorer, load_scorer, save_scorer


def _random_csr(rows: int, columns: int, generator: np.random.Generator) -> sparse.csr_array:
    matrix = sparse.random_array((rows, columns), density=0.2, rng=generator, dtype=np.float32).tocsr()
    matrix.sort_indices()
    return matrix


def _parts(matrix: sparse.csr_array) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data),
    )


def _cases() -> dict[str, tuple[Scorer, np.ndarray]]:
    """Each kind of scorer with the dense float64 scores it stands for."""
    generator = np.random.default_rng(3)
    users, items = generator.normal(size=(7, 5)), generator.normal(size=(11, 5))
    users, items = users.astype(np.float32), items.astype(np.float32)
    popularity = generator.normal(size=11).astype(np.float32)
    history, weights = _random_csr(7, 11, generator), _random_csr(11, 11, generator)
    voting, votes = _random_csr(7, 16, generator), _random_csr(16, 11, generator)
    return {
        "dot": (
            DotScorer(torch.from_numpy(users), torch.from_numpy(items)),
            users.astype(np.float64) @ items.T.astype(np.float64),
        ),
        "item": (ItemScorer(torch.from_numpy(popularity), 7), np.tile(popularity, (7, 1)).astype(np.float64)),
        "sparse_item": (
            SparseItemScorer(*_parts(history), *_parts(weights)),
            history.toarray().astype(np.float64) @ weights.toarray().astype(np.float64),
        ),
        "voted": (
            VotedScorer(torch.from_numpy(users), torch.from_numpy(items), *_parts(voting), *_parts(votes)),
            users.astype(np.float64) @ items.T.astype(np.float64)
            + voting.toarray().astype(np.float64) @ votes.toarray().astype(np.float64),
        ),
    }


CASES = _cases()


@pytest.mark.parametrize("kind", CASES)
def test_scores_equal_the_dense_product_rounded_once(kind: str) -> None:
    scorer, dense = CASES[kind]
    users = torch.tensor([6, 0, 3, 3])
    scores = scorer.scores(users)
    assert isinstance(scorer, Scorer)
    assert (scorer.n_users, scorer.n_items) == dense.shape
    assert scores.dtype == torch.float32
    np.testing.assert_array_equal(scores.numpy(), dense[users.numpy()].astype(np.float32))


@pytest.mark.parametrize("kind", CASES)
def test_pairs_are_entries_of_the_scores(kind: str) -> None:
    scorer, dense = CASES[kind]
    users, items = (torch.from_numpy(axis.ravel()) for axis in np.indices(dense.shape))
    everything = scorer.scores(torch.arange(scorer.n_users))
    assert len(users) == 77
    assert torch.equal(scorer.pairs(users, items), everything[users, items])


@pytest.mark.parametrize("kind", CASES)
def test_writing_into_the_scores_leaves_the_scorer_alone(kind: str) -> None:
    scorer, _ = CASES[kind]
    users = torch.arange(3)
    before = scorer.scores(users).clone()
    scorer.scores(users).fill_(-1.0)
    scorer.scores(users[:1]).fill_(-1.0)
    assert torch.equal(scorer.scores(users), before)


def test_dot_scores_do_not_depend_on_the_block() -> None:
    generator = torch.Generator().manual_seed(1)
    scorer = DotScorer(
        torch.randn(300, 96, generator=generator), torch.randn(products._ITEM_CHUNK + 777, 96, generator=generator)
    )
    whole = scorer.scores(torch.arange(300))
    single = torch.cat([scorer.scores(torch.tensor([user])) for user in range(0, 300, 7)])
    assert torch.equal(single, whole[::7])
    ragged = torch.cat([scorer.scores(block) for block in torch.arange(300).split(37)])
    assert torch.equal(ragged, whole)


def test_a_voted_score_wants_one_history_a_user_and_voters_that_have_weights() -> None:
    scorer, _ = CASES["voted"]
    arrays = scorer.arrays()
    with pytest.raises(DataError, match="7 histories"):
        VotedScorer(**{**arrays, "users": arrays["users"][:5]})
    with pytest.raises(DataError, match="column of history out of range"):
        VotedScorer(**{**arrays, "history_items": arrays["history_items"] + 16})


def test_gradients_do_not_flow_out_of_a_scorer() -> None:
    table = torch.nn.Parameter(torch.randn(4, 3))
    scorer = DotScorer(table, table)
    assert not scorer.scores(torch.arange(2)).requires_grad
    assert not scorer.pairs(torch.arange(2), torch.arange(2)).requires_grad


@pytest.mark.parametrize("kind", CASES)
def test_a_stored_scorer_equals_the_original_bit_for_bit(kind: str, tmp_path) -> None:
    scorer, _ = CASES[kind]
    save_scorer(scorer, tmp_path / "scorer")
    loaded = load_scorer(tmp_path / "scorer")
    assert type(loaded) is type(scorer)
    assert sorted(path.name for path in (tmp_path / "scorer").iterdir()) == ["scorer.json", "scorer.safetensors"]
    assert set(loaded.arrays()) == set(scorer.arrays())
    for name, array in scorer.arrays().items():
        assert torch.equal(loaded.arrays()[name], array), name
    users = torch.arange(scorer.n_users)
    assert torch.equal(loaded.scores(users), scorer.scores(users))


def test_storing_twice_writes_the_same_bytes(tmp_path) -> None:
    scorer, _ = CASES["dot"]
    for name in ("one", "two"):
        save_scorer(scorer, tmp_path / name)
    for name in (scorers.ARRAYS, scorers.LABEL):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_odd_memory_layouts_are_stored(tmp_path) -> None:
    table = torch.randn(6, 4)
    scorer = DotScorer(table.T.contiguous().T, table)  # not contiguous, and one memory for both
    save_scorer(DotScorer(scorer.users, scorer.users), tmp_path)
    assert torch.equal(load_scorer(tmp_path).arrays()["items"], table)


def _damage_truncated(folder) -> None:
    path = folder / scorers.ARRAYS
    path.write_bytes(path.read_bytes()[:-5])


def _damage_bit(folder) -> None:
    path = folder / scorers.ARRAYS
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def _damage_pickle(folder) -> None:
    torch.save({"users": torch.zeros(2, 2)}, folder / scorers.ARRAYS)
    label = json.loads((folder / scorers.LABEL).read_text())
    label["sha256"] = scorers.hash_file(folder / scorers.ARRAYS)
    (folder / scorers.LABEL).write_text(json.dumps(label))


def _damage_other_arrays(folder) -> None:
    import safetensors.torch

    safetensors.torch.save_file({"weight": torch.zeros(2, 2)}, folder / scorers.ARRAYS)
    label = json.loads((folder / scorers.LABEL).read_text())
    label["sha256"] = scorers.hash_file(folder / scorers.ARRAYS)
    (folder / scorers.LABEL).write_text(json.dumps(label))


def _relabel(**changes):
    def damage(folder) -> None:
        label = json.loads((folder / scorers.LABEL).read_text()) | changes
        (folder / scorers.LABEL).write_text(json.dumps(label))

    return damage


DAMAGES = {
    "truncated arrays": _damage_truncated,
    "a flipped bit": _damage_bit,
    "a pickle": _damage_pickle,
    "other arrays": _damage_other_arrays,
    "another kind's label": _relabel(kind="item"),
    "an unknown kind": _relabel(kind="os.system"),
    "a kind that is a list": _relabel(kind=["dot"]),
    "another schema": _relabel(schema=99),
    "other counts": _relabel(n_users=8),
    "no arrays": lambda folder: (folder / scorers.ARRAYS).unlink(),
    "no label": lambda folder: (folder / scorers.LABEL).unlink(),
    "an empty label": lambda folder: (folder / scorers.LABEL).write_text(""),
    "a label of bytes": lambda folder: (folder / scorers.LABEL).write_bytes(b"\xff\xfe\x00"),
    "a label that is a list": lambda folder: (folder / scorers.LABEL).write_text("[]"),
    "a label nested too deep": lambda folder: (folder / scorers.LABEL).write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_folder_is_refused(damage: str, tmp_path) -> None:
    save_scorer(CASES["dot"][0], tmp_path)
    DAMAGES[damage](tmp_path)
    with pytest.raises(ArtefactError) as error:
        load_scorer(tmp_path)
    assert str(tmp_path) in error.value.where
    assert error.value.found
    assert error.value.expected
    assert error.value.remedy


def test_a_scorer_that_could_not_be_read_again_is_not_written(tmp_path) -> None:
    class Other:
        n_users = n_items = 1

        def scores(self, users):
            return torch.zeros(len(users), 1)

        def pairs(self, users, items):
            return torch.zeros(len(users))

        def arrays(self):
            return {}

    with pytest.raises(ArtefactError, match="Other"):
        save_scorer(Other(), tmp_path / "scorer")
    assert not (tmp_path / "scorer").exists()


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("wrong", [-1, 7])
def test_unknown_users_are_refused(kind: str, wrong: int) -> None:
    scorer, _ = CASES[kind]
    with pytest.raises(DataError, match="0 to 6"):
        scorer.scores(torch.tensor([0, wrong]))
    with pytest.raises(DataError, match="0 to 6"):
        scorer.pairs(torch.tensor([0, wrong]), torch.tensor([0, 0]))


@pytest.mark.parametrize("kind", CASES)
def test_unknown_items_are_refused(kind: str) -> None:
    scorer, _ = CASES[kind]
    with pytest.raises(DataError, match="0 to 10"):
        scorer.pairs(torch.tensor([0]), torch.tensor([-1]))


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="width 3"):
        DotScorer(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(DataError, match="float64"):
        DotScorer(torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 3))
    with pytest.raises(DataError, match="not empty"):
        DotScorer(torch.zeros(0, 3), torch.zeros(2, 3))
    with pytest.raises(DataError, match="at least one"):
        ItemScorer(torch.zeros(3), 0)
    starts, none = torch.tensor([0, 1]), torch.zeros(0)
    with pytest.raises(DataError, match="no CSR"):
        SparseItemScorer(starts, none.long(), none, starts, torch.tensor([0]), torch.ones(1))
    with pytest.raises(DataError, match="out of range"):
        SparseItemScorer(starts, torch.tensor([4]), torch.ones(1), starts, torch.tensor([0]), torch.ones(1))


@pytest.mark.parametrize("at_once", [1, 7])
@pytest.mark.parametrize("kind", ["sparse_item", "voted"])
def test_sparse_products_do_not_depend_on_their_parts(kind: str, at_once: int, monkeypatch) -> None:
    scorer, dense = CASES[kind]
    monkeypatch.setattr(products, "AT_ONCE", at_once)
    np.testing.assert_array_equal(scorer.scores(torch.arange(7)).numpy(), dense.astype(np.float32))


def test_a_user_without_history_scores_zero() -> None:
    weights = _parts(_random_csr(4, 4, np.random.default_rng(1)))
    scorer = SparseItemScorer(torch.tensor([0, 0, 1]), torch.tensor([2]), torch.ones(1), *weights)
    assert scorer.scores(torch.tensor([0])).tolist() == [[0, 0, 0, 0]]
    assert scorer.scores(torch.zeros(0, dtype=torch.int64)).shape == (0, 4)
    assert scorer.pairs(torch.tensor([0]), torch.tensor([3])).tolist() == [0]
