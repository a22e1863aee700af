"""The few ways a finished model scores, stored without pickle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from raymm.artefacts import hash_file
from raymm.contracts import Scorer
from raymm.errors import ArtefactError, DataError
from raymm.products import AT_ONCE, Csr, check_array, check_csr, known_ids, products, read_from_rows, voted

ARRAYS = "scorer.safetensors"
LABEL = "scorer.json"
SCHEMA = 1


@dataclass(frozen=True, eq=False)
class DotScorer:
    """Score by the inner product of a user's and an item's embedding.

    Products are summed in float64 and rounded to float32 once. A float32 matrix product depends in its last digits on
    the shape of the block, the number of threads and the device (TF32), and near ties would change places with them;
    with float64 sums the same pair has the same score in a block of a thousand users, in a request of one, and in
    `pairs`.

    Attributes:
        users: (U, D) float32.
        items: (I, D) float32, on the same device.
    """

    users: torch.Tensor
    items: torch.Tensor

    def __post_init__(self) -> None:
        """Check shapes and types."""
        check_array("users", self.users, torch.float32, dimensions=2)
        check_array("items", self.items, torch.float32, dimensions=2)
        if self.users.shape[1] != self.items.shape[1]:
            raise DataError(
                f"users of width {self.users.shape[1]}, items of width {self.items.shape[1]}", "one width", "DotScorer"
            )

    @property
    def n_users(self) -> int:
        """Number of users U."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(self.items)

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        """Score all items for `users` (B,) int64: a new (B, I) float32 tensor."""
        with torch.no_grad():
            rows = self.users[known_ids("users", users, self.n_users, self.users.device)].double()
            return products(rows, self.items, torch.float32)

    def pairs(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Score pairs, both (B,) int64: (B,) float32."""
        with torch.no_grad():
            rows = self.users[known_ids("users", users, self.n_users, self.users.device)].double()
            columns = self.items[known_ids("items", items, self.n_items, self.items.device)].double()
            return (rows * columns).sum(dim=1).float()

    def arrays(self) -> dict[str, torch.Tensor]:
        """Return `users` and `items`."""
        return {"users": self.users, "items": self.items}


@dataclass(frozen=True, eq=False)
class ItemScorer:
    """Score items alike for every user: popularity, and whatever else knows no persons.

    Attributes:
        item_scores: (I,) float32.
        n_users: Number of users that it answers for.
    """

    item_scores: torch.Tensor
    n_users: int

    def __post_init__(self) -> None:
        """Check shapes and types."""
        check_array("item_scores", self.item_scores, torch.float32, dimensions=1)
        if self.n_users < 1:
            raise DataError(f"{self.n_users} users", "at least one", "ItemScorer")

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(self.item_scores)

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        """Score all items for `users` (B,) int64: a new (B, I) float32 tensor."""
        known_ids("users", users, self.n_users, users.device)
        return self.item_scores.detach().repeat(len(users), 1)

    def pairs(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Score pairs, both (B,) int64: (B,) float32."""
        known_ids("users", users, self.n_users, users.device)
        return self.item_scores.detach()[known_ids("items", items, self.n_items, self.item_scores.device)]

    def arrays(self) -> dict[str, torch.Tensor]:
        """Return `item_scores`, and `n_users` as a tensor of one number."""
        return {"item_scores": self.item_scores, "n_users": torch.tensor(self.n_users)}


@dataclass(frozen=True, eq=False)
class SparseItemScorer:
    """Score by a user's history times a sparse item-item matrix, as item k-NN and EASE do.

    The score of item j for user u is the sum over the items i of the user's history of `history[u, i] * weights[i, j]`,
    summed in float64 and rounded to float32 once (see `DotScorer`).

    Attributes:
        history_starts: (U + 1,) int64, row starts of the users' histories (CSR).
        history_items: (N,) int64, the items of each history.
        history_values: (N,) float32, what each counts.
        weight_starts: (I + 1,) int64, row starts of the item-item matrix (CSR).
        weight_items: (E,) int64, column of each entry.
        weight_values: (E,) float32.
    """

    history_starts: torch.Tensor
    history_items: torch.Tensor
    history_values: torch.Tensor
    weight_starts: torch.Tensor
    weight_items: torch.Tensor
    weight_values: torch.Tensor

    def __post_init__(self) -> None:
        """Check both matrices."""
        check_csr("history", self.history_starts, self.history_items, self.history_values, self.n_items)
        check_csr("weight", self.weight_starts, self.weight_items, self.weight_values, self.n_items)

    @property
    def n_users(self) -> int:
        """Number of users U."""
        return len(self.history_starts) - 1

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(self.weight_starts) - 1

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        """Score all items for `users` (B,) int64: a new (B, I) float32 tensor."""
        with torch.no_grad():
            users = known_ids("users", users, self.n_users, self.history_starts.device)
            sums = torch.zeros(len(users), self.n_items, dtype=torch.float64, device=users.device)
            return voted(*_matrices(self), users, sums)

    def pairs(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Score pairs, both (B,) int64: (B,) float32."""
        return read_from_rows(self.scores, self.n_items, users, items)

    def arrays(self) -> dict[str, torch.Tensor]:
        """Return both matrices' arrays."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclass(frozen=True, eq=False)
class VotedScorer:
    """Score by the inner product of embeddings, and by a history times sparse weights beside it.

    The score of item j for user u is `<users_u, items_j> + sum_i history[u, i] * weights[i, j]`, summed in float64 and
    rounded to float32 once. Voters i may be more than the items that are scored: those of another domain, for one.

    Attributes:
        users, items: (U, D) and (I, D) float32.
        history_starts, history_items, history_values: (U, V) as `SparseItemScorer` has it, of V voters.
        weight_starts, weight_items, weight_values: (V, I), likewise.
    """

    users: torch.Tensor
    items: torch.Tensor
    history_starts: torch.Tensor
    history_items: torch.Tensor
    history_values: torch.Tensor
    weight_starts: torch.Tensor
    weight_items: torch.Tensor
    weight_values: torch.Tensor

    def __post_init__(self) -> None:
        """Check the embeddings and both matrices."""
        DotScorer(self.users, self.items)
        histories, weights = _matrices(self)
        check_csr("history", *histories, len(self.weight_starts) - 1)
        check_csr("weight", *weights, self.n_items)
        if len(self.history_starts) != self.n_users + 1:
            raise DataError(f"{len(self.history_starts) - 1} histories", f"{self.n_users}, one a user", "VotedScorer")

    @property
    def n_users(self) -> int:
        """Number of users U."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(self.items)

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        """Score all items for `users` (B,) int64: a new (B, I) float32 tensor."""
        with torch.no_grad():
            users = known_ids("users", users, self.n_users, self.users.device)
            return voted(*_matrices(self), users, products(self.users[users].double(), self.items))

    def pairs(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Score pairs, both (B,) int64: (B,) float32."""
        return read_from_rows(self.scores, self.n_items, users, items)

    def arrays(self) -> dict[str, torch.Tensor]:
        """Return all arrays."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


@dataclass(frozen=True, eq=False)
class InterestScorer:
    """Score by several interests of a user, of which the item picks: what MIMNet ends as.

    The score of item i for user u is `<base_u, base_i> + sum_q share_iq sum_k a_uikq <values_ukq, vectors_i>`, with
    `a_uikq = softmax_k <queries_iq, keys_ukq>`; Q queries an item (itself, its prototype), K interests a user. Sums are
    taken in float64, see `DotScorer`.

    Attributes:
        base_users: (U, E) float32.
        base_items: (I, E) float32.
        keys: (U, Q, K, D) float32.
        values: (U, Q, K, D) float32.
        queries: (I, Q, D) float32.
        shares: (I, Q) float32.
        vectors: (I, D) float32.
    """

    base_users: torch.Tensor
    base_items: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    queries: torch.Tensor
    shares: torch.Tensor
    vectors: torch.Tensor

    def __post_init__(self) -> None:
        """Check shapes and types."""
        expected = {"base_users": 2, "base_items": 2, "keys": 4, "values": 4, "queries": 3, "shares": 2, "vectors": 2}
        for name, dimensions in expected.items():
            check_array(name, getattr(self, name), torch.float32, dimensions)
        (users, queries, _, width), base = self.keys.shape, self.base_users.shape[1]
        wanted = {
            "base_users": (users, base),
            "base_items": (self.n_items, base),
            "values": tuple(self.keys.shape),
            "queries": (self.n_items, queries, width),
            "shares": (self.n_items, queries),
        }
        for name, shape in wanted.items():
            if tuple(getattr(self, name).shape) != shape:
                raise DataError(f"{name} of shape {tuple(getattr(self, name).shape)}", f"{shape}", "InterestScorer")

    @property
    def n_users(self) -> int:
        """Number of users U."""
        return len(self.keys)

    @property
    def n_items(self) -> int:
        """Number of items I."""
        return len(self.vectors)

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        """Score all items for `users` (B,) int64: a new (B, I) float32 tensor."""
        with torch.no_grad():
            rows = known_ids("users", users, self.n_users, self.keys.device)
            keys, values, base = self.keys[rows].double(), self.values[rows].double(), self.base_users[rows].double()
            result = torch.empty(len(rows), self.n_items, dtype=torch.float32, device=rows.device)
            size = max(1, AT_ONCE // max(1, len(rows) * keys.shape[1] * keys.shape[2]))
            for start in range(0, self.n_items, size):
                part = slice(start, start + size)
                agreed = torch.einsum("iqd,bqkd->biqk", self.queries[part].double(), keys).softmax(dim=3)
                spoken = torch.einsum("id,bqkd->biqk", self.vectors[part].double(), values)
                own = ((agreed * spoken).sum(dim=3) * self.shares[part].double()).sum(dim=2)
                result[:, part] = (own + base @ self.base_items[part].double().T).float()
        return result

    def pairs(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Score pairs, both (B,) int64: (B,) float32."""
        with torch.no_grad():
            rows = known_ids("users", users, self.n_users, self.keys.device)
            columns = known_ids("items", items, self.n_items, self.keys.device)
            agreed = self.picked(rows, columns)
            spoken = torch.einsum("bd,bqkd->bqk", self.vectors[columns].double(), self.values[rows].double())
            own = ((agreed * spoken).sum(dim=2) * self.shares[columns].double()).sum(dim=1)
            return (own + (self.base_users[rows].double() * self.base_items[columns].double()).sum(dim=1)).float()

    def picked(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Return how much each interest counts for pairs (B,): (B, Q, K) float64, summing to 1 over interests."""
        return torch.einsum("bqd,bqkd->bqk", self.queries[items].double(), self.keys[users].double()).softmax(dim=2)

    def arrays(self) -> dict[str, torch.Tensor]:
        """Return all arrays."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def save_scorer(scorer: Scorer, folder: Path) -> None:
    """Write a scorer as `scorer.safetensors` and a small JSON label that names its kind.

    Args:
        scorer: One of this module's scorers.
        folder: Where to write; made if it is not there.

    Raises:
        ArtefactError: The scorer is of another class, which `load_scorer` could not build again.
    """
    kind = next((kind for kind, (cls, _) in _KINDS.items() if type(scorer) is cls), None)
    if kind is None:
        known = ", ".join(cls.__name__ for cls, _ in _KINDS.values())
        raise ArtefactError(f"a {type(scorer).__name__}", f"one of {known}", str(folder), "convert it before storing")
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: array.detach().cpu().contiguous().clone() for name, array in scorer.arrays().items()}
    safetensors.torch.save_file(arrays, folder / ARRAYS)
    label = {"kind": kind, "schema": SCHEMA, "n_users": scorer.n_users, "n_items": scorer.n_items}
    label["sha256"] = hash_file(folder / ARRAYS)
    (folder / LABEL).write_text(json.dumps(label, indent=1, sort_keys=True) + "\n")


def load_scorer(folder: Path, device: str = "cpu") -> Scorer:
    """Read a scorer that `save_scorer` wrote; every array equals the stored one bit for bit.

    Nothing in the files is executed: the label is JSON, the arrays are plain numbers.

    Args:
        folder: The folder that was written.
        device: Where its arrays shall live.

    Raises:
        ArtefactError: A file is missing, truncated, changed, or was not written by `save_scorer`.
    """
    label = _read_label(folder / LABEL)
    path = folder / ARRAYS
    remedy = "write the scorer again, or restore the folder from a copy"
    if not path.is_file():
        raise ArtefactError("no such file", "the scorer's arrays", str(path), remedy)
    if hash_file(path) != label["sha256"]:
        raise ArtefactError("bytes that differ from those written", "the arrays its label names", str(path), remedy)
    try:
        arrays = safetensors.torch.load_file(path, device=device)
        _, make = _KINDS[label["kind"]]
        scorer = make(arrays)
    except (safetensors.SafetensorError, DataError, KeyError, ValueError, TypeError) as error:
        raise ArtefactError(f"no {label['kind']} scorer: {error}", "the arrays of one", str(path), remedy) from error
    if (scorer.n_users, scorer.n_items) != (label["n_users"], label["n_items"]):
        raise ArtefactError(
            f"{scorer.n_users} users, {scorer.n_items} items",
            f"{label['n_users']} users, {label['n_items']} items",
            str(path),
            remedy,
        )
    return scorer


def _read_label(path: Path) -> dict[str, Any]:
    expected = f"a label with kind ({', '.join(_KINDS)}), schema {SCHEMA}, n_users, n_items and sha256"
    remedy = "check the path; a scorer's folder is written by `save_scorer`"
    try:
        label = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtefactError("no such file", expected, str(path), remedy) from error
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"an unreadable label: {error}", expected, str(path), remedy) from error
    if not isinstance(label, dict) or not {"kind", "schema", "n_users", "n_items", "sha256"} <= set(label):
        raise ArtefactError("another file", expected, str(path), remedy)
    if label["kind"] not in list(_KINDS) or label["schema"] != SCHEMA:
        found = f"kind {label['kind']!r}, schema {label['schema']!r}"
        raise ArtefactError(found, expected, str(path), "read it with the version of raymm that wrote it")
    return label


def _matrices(of: SparseItemScorer | VotedScorer) -> tuple[Csr, Csr]:
    histories = (of.history_starts, of.history_items, of.history_values)
    return histories, (of.weight_starts, of.weight_items, of.weight_values)


_KINDS: dict[str, tuple[type, Callable[[dict[str, torch.Tensor]], Scorer]]] = {
    "dot": (DotScorer, lambda arrays: DotScorer(**arrays)),
    "item": (ItemScorer, lambda arrays: ItemScorer(arrays["item_scores"], int(arrays["n_users"]))),
    "interest": (InterestScorer, lambda arrays: InterestScorer(**arrays)),
    "sparse_item": (SparseItemScorer, lambda arrays: SparseItemScorer(**arrays)),
    "voted": (VotedScorer, lambda arrays: VotedScorer(**arrays)),
}
