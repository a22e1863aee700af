"""The prepared set: opened in an instant, read piece by piece, and without a way to the test interactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raymm import artefacts
from raymm.artefacts import Manifest
from raymm.contracts import Domain, Feature, Holdout, RatingHoldout, TrainData
from raymm.data import layout
from raymm.data.graph_files import GraphLayout, open_graph
from raymm.data.holdout import Pairs, build_holdout, build_rating_holdout, positive_pairs
from raymm.data.modality import check_file_name
from raymm.data.overlap import shuffled
from raymm.errors import ArtefactError, ConfigError, DataError

KnownPairs = Literal["drawn", "none", "true", "shuffled"]


@dataclass(frozen=True)
class DomainFacts:
    """What the manifest says of one domain, known without opening a table.

    Attributes:
        name: The domain's name.
        n_users: Number of users U.
        n_items: Number of items I.
        n_train: Number of training interactions.
        n_validation: Number of validation interactions.
        n_test: Number of test interactions.
        has_ratings: Every interaction has a rating.
        has_times: Every interaction has a time.
        modalities: Names of the features.
    """

    name: str
    n_users: int
    n_items: int
    n_train: int
    n_validation: int
    n_test: int
    has_ratings: bool
    has_times: bool
    modalities: tuple[str, ...]


@dataclass(frozen=True)
class SplitFacts:
    """What the manifest says of the split.

    Attributes:
        kind: The kind of split, as the recipe names it.
        target: The domain in which users are cold, in a split of kind `cold_start`; None for others.
        positive_rating: Least rating of what a ranking should find; None where everything held out is.
    """

    kind: str
    target: str | None
    positive_rating: float | None


@dataclass(frozen=True)
class PreparedSet:
    """A prepared folder whose manifest was checked; each method reads what it returns.

    Attributes:
        folder: Where it stands.
        manifest: What it says of itself.
        domains: Counts of each domain, in the recipe's order.
        split: How it was split.
    """

    folder: Path
    manifest: Manifest
    domains: tuple[DomainFacts, ...]
    split: SplitFacts

    @property
    def fingerprint(self) -> str:
        """Hash of sources and recipe."""
        return self.manifest.fingerprint

    def only(self, domain: str) -> PreparedSet:
        """Return the set as one who sees a single domain of it; the fingerprint stays, as the folder does.

        Raises:
            DataError: There is no such domain.
        """
        return replace(self, domains=(self.facts(domain),))

    def knowing(self, modalities: Sequence[str]) -> PreparedSet:
        """Return the set as one who knows some of its modalities; the fingerprint stays, as the folder does.

        Raises:
            DataError: No domain has one of them.
        """
        there = sorted({name for facts in self.domains for name in facts.modalities})
        missing = [name for name in modalities if name not in there]
        if missing:
            raise DataError(
                f"modality {missing[0]!r}",
                f"one of {', '.join(there) or 'none'}",
                str(self.folder),
                "choose among these",
            )
        kept = [
            replace(facts, modalities=tuple(name for name in facts.modalities if name in modalities))
            for facts in self.domains
        ]
        return replace(self, domains=tuple(kept))

    def train_data(self, known_pairs: KnownPairs = "drawn") -> TrainData:
        """Open all that training may see; matrices and features stay on disk and are mapped into memory, read-only.

        Args:
            known_pairs: Which users of two domains are known to be one person. `drawn`: the recipe's draw, the honest
                setting. `none`: nobody. `true`: everybody active in both domains, an oracle. `shuffled`: as many as
                drawn, each with somebody else, to see what the pairs are worth.

        Returns:
            The data; the fingerprint is the set's own for `drawn`, and one of its own for each other choice.

        Raises:
            DataError: There is no such choice.
            ArtefactError: A file is missing or damaged.
        """
        if known_pairs not in get_args(KnownPairs):
            raise DataError(
                f"known pairs {known_pairs!r}",
                "one of " + ", ".join(map(repr, get_args(KnownPairs))),
                str(self.folder),
                "choose one that is there",
            )
        own = known_pairs == "drawn"
        mark = self.fingerprint if own else artefacts.fingerprint(self.fingerprint, known_pairs)
        return TrainData(tuple(self._domain(facts) for facts in self.domains), self._pairs(known_pairs), mark)

    def validation(self) -> tuple[Holdout, ...]:
        """Read what selection looks for in a ranking; training interactions are hidden.

        Returns:
            One holdout a domain, in order; domains in which nothing is held out are left out.

        Raises:
            DataError: Nothing is held out that counts as positive.
        """
        return tuple(
            build_holdout(
                facts.name,
                facts.n_items,
                positive_pairs(self._validation_table(facts.name), self.split.positive_rating),
                [self.train_pairs(facts.name)],
            )
            for facts in with_rows(self.folder, self.domains, "n_validation")
        )

    def rating_validation(self) -> tuple[RatingHoldout, ...]:
        """Read the ratings that selection predicts, low ones too.

        Returns:
            One holdout a domain, in order; domains in which nothing is held out are left out.

        Raises:
            DataError: Nothing is held out, or not every held-out interaction has a rating.
        """
        return tuple(
            build_rating_holdout(facts.name, self._validation_table(facts.name))
            for facts in with_rows(self.folder, self.domains, "n_validation")
        )

    def train_pairs(self, domain: str) -> Pairs:
        """Read the users and items of all training interactions, in canonical order."""
        self.facts(domain)
        table = pq.read_table(layout.train_folder(self.folder, domain), columns=["user", "item"])
        return table["user"].to_numpy(), table["item"].to_numpy()

    def validation_pairs(self, domain: str) -> Pairs:
        """Read the users and items of the validation interactions."""
        self.facts(domain)
        table = self._validation_table(domain)
        return table["user"].to_numpy(), table["item"].to_numpy()

    def user_ids(self, domain: str) -> np.ndarray:
        """Read the external ids of users: (U,) strings, at the place of their index."""
        self.facts(domain)
        return _strings(layout.users_file(self.folder, domain), "user_id")

    def item_ids(self, domain: str) -> np.ndarray:
        """Read the external ids of items: (I,) strings, at the place of their index."""
        self.facts(domain)
        return _strings(layout.items_file(self.folder, domain), "item_id")

    def titles(self, domain: str) -> np.ndarray:
        """Read the titles of items: (I,) strings, empty where there is none."""
        self.facts(domain)
        return _strings(layout.items_file(self.folder, domain), "title")

    def train_files(self, domain: str) -> tuple[Path, ...]:
        """Name the Parquet shards of training interactions; in this order their rows are in canonical order."""
        self.facts(domain)
        return tuple(sorted(layout.train_folder(self.folder, domain).glob("part-*.parquet")))

    def facts(self, domain: str) -> DomainFacts:
        """Return the counts of one domain.

        Raises:
            DataError: There is no such domain.
        """
        for facts in self.domains:
            if facts.name == domain:
                return facts
        known = ", ".join(repr(facts.name) for facts in self.domains)
        raise DataError(f"domain {domain!r}", f"one of {known}", str(self.folder), "choose one that is there")

    def _validation_table(self, domain: str) -> pa.Table:
        return pq.read_table(layout.validation_file(self.folder, domain))

    def _domain(self, facts: DomainFacts) -> Domain:
        shape = GraphLayout(facts.n_users, facts.n_items, facts.n_train, facts.has_ratings, facts.has_times)
        matrix, ratings, times = open_graph(self.folder, facts.name, shape)
        features = {modality: self._feature(facts.name, modality) for modality in facts.modalities}
        return Domain(facts.name, matrix, features, ratings, times)

    def _feature(self, domain: str, modality: str) -> Feature:
        values, present = layout.feature_files(self.folder, domain, modality)
        for path in (values, present):
            if not path.is_file():
                raise ArtefactError("no such file", f"feature {modality!r}", str(path), "prepare the data set anew")
        stored = np.load(values, mmap_mode="r")
        # Half-precision files are widened, which costs a copy; full ones stay on disk.
        learned = {entry["name"] for entry in self.manifest.settings["features"] if entry.get("fill") == "learned"}
        return Feature(stored.astype(np.float32, copy=False), np.load(present), modality in learned)

    def _pairs(self, known_pairs: KnownPairs) -> np.ndarray:
        if known_pairs == "none" or len(self.domains) < 2:
            return np.empty((0, 2), dtype=np.int64)
        true = known_pairs == "true"
        table = pq.read_table(layout.true_pairs_file(self.folder) if true else layout.shared_file(self.folder))
        pairs = np.column_stack((table["first"].to_numpy(), table["second"].to_numpy()))
        if known_pairs == "shuffled":
            return shuffled(pairs, np.random.default_rng(int(self.fingerprint, 16)))
        return pairs


def open_prepared(folder: Path) -> PreparedSet:
    """Open a prepared folder; only its manifest is read.

    Raises:
        ArtefactError: The folder is missing, is none of a preparation, or is of another schema.
    """
    manifest = artefacts.read_manifest(folder, layout.KIND, layout.SCHEMA)
    try:
        domains = tuple(
            DomainFacts(**{**values, "modalities": tuple(values["modalities"])}) for values in manifest.facts["domains"]
        )
        split = SplitFacts(**manifest.facts["split"])
        for facts in domains:
            for name in (facts.name, *facts.modalities):
                check_file_name("domains", name)
    except (KeyError, TypeError) as error:
        raise ArtefactError(
            f"facts without {error}", "counts of each domain, and the split", str(folder), "prepare the data set anew"
        ) from error
    except ConfigError as error:
        remedy = "do not use this copy: such a name can lead out of the folder"
        raise ArtefactError(error.found, "names as preparations give them", str(folder), remedy) from error
    return PreparedSet(folder, manifest, domains, split)


def with_rows(
    folder: Path, domains: tuple[DomainFacts, ...], count: Literal["n_validation", "n_test"]
) -> tuple[DomainFacts, ...]:
    """Pick the domains in which something is held out.

    Raises:
        DataError: There is none.
    """
    some = tuple(facts for facts in domains if getattr(facts, count))
    if not some:
        part = count.removeprefix("n_")
        raise DataError(f"no interaction for {part}", "at least one", str(folder), "change the split of the recipe")
    return some


def _strings(path: Path, column: str) -> np.ndarray:
    return np.asarray(pq.read_table(path, columns=[column])[column].to_pylist(), dtype=object)
