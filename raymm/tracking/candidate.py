"""A finished run as what is to be registered: scorers with ids and known items, lineage, and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import sparse

from raymm.artefacts import MANIFEST, RUN_KIND, RUN_SCHEMA, Manifest, fingerprint, hash_file, read_manifest, verify
from raymm.data.prepared import PreparedSet, open_prepared
from raymm.errors import ArtefactError
from raymm.ratings.biases import fit_item_bias
from raymm.ratings.table import table_of
from raymm.scorers import load_scorer
from raymm.tracking.card import (
    CARD_DATA,
    CARD_TEXT,
    MOST_CHARACTERS,
    Card,
    CardDomain,
    SliceResult,
    card_json,
    card_markdown,
)
from raymm.tracking.newcomers import load_newcomers
from raymm.tracking.served import ServedDomain, write_served
from raymm.tracking.served_rater import ServedRater

PREPARED = "prepared"
CONTENT, DIGEST, METRICS = "raymm.content", "raymm.manifest_sha256", "raymm.metrics"
DATA_FINGERPRINT, COMPARISON = "raymm.prepared_fingerprint", "raymm.comparison"

RANKERS, NEWCOMERS = "rankers", "newcomers"
"""Folders of a run of ratings: what ranks, and what reads newcomers."""
_SCORERS = "scorers"


@dataclass(frozen=True)
class Candidate:
    """What is to be registered, and what was measured of it.

    Attributes:
        run_id: The MLflow run that training was tracked as.
        run_folder: Artefact of kind `run`, with `scorers/<domain>/`.
        prepared_folder: The prepared set that the run was trained on.
        metrics: What was measured on the test set, by raymm's names (`test.arts.ndcg@10`).
        slices: The same by parts of the test set.
        comparison: How it stood against the champion, in a line; empty where there was none.
    """

    run_id: str
    run_folder: Path
    prepared_folder: Path
    metrics: Mapping[str, float] = field(default_factory=dict)
    slices: Sequence[SliceResult] = ()
    comparison: str = ""


@dataclass(frozen=True)
class Written:
    """What `write_candidate` left: the card, the version's tags, and a user's id for MLflow's input example."""

    card: Card
    tags: Mapping[str, str]
    example_user: str


def write_candidate(candidate: Candidate, name: str, commit: str, folder: Path) -> Written:
    """Write the served model of a run, with its card.

    Args:
        candidate: The run.
        name: Name in the registry, for the card.
        commit: Commit of the code that trained; empty if unknown.
        folder: A folder that is not there yet, or empty.

    Raises:
        ArtefactError: A folder is missing or damaged, or the run was trained on another prepared set.
    """
    run = read_manifest(candidate.run_folder, RUN_KIND, RUN_SCHEMA)
    verify(candidate.run_folder, run)
    prepared = open_prepared(candidate.prepared_folder)
    verify(candidate.prepared_folder, prepared.manifest)
    trained_on = run.inputs.get(PREPARED)
    if trained_on != prepared.fingerprint:
        raise ArtefactError(
            f"prepared set {prepared.fingerprint}",
            f"{trained_on}, the one that the run was trained on",
            str(candidate.prepared_folder),
            "give the folder that the run was trained on",
        )
    domains = served_domains(candidate.run_folder, prepared)
    card = _card(candidate, name, commit, (run, prepared, domains))
    inputs = {RUN_KIND: run.fingerprint, PREPARED: prepared.fingerprint}
    texts = {CARD_TEXT: card_markdown(card), CARD_DATA: card_json(card)}
    served = write_served(folder, domains, inputs, run.settings, texts)
    tags = {
        "raymm.run_fingerprint": run.fingerprint,
        DATA_FINGERPRINT: prepared.fingerprint,
        "raymm.raw_files": _short_table(prepared.manifest.inputs),
        "raymm.config_hash": fingerprint(dict(run.settings)),
        "raymm.version": run.code_version,
        # The card says more from time to time; what the model answers is decided by the other files.
        CONTENT: fingerprint({file: digest for file, digest in served.files.items() if file not in texts}),
        DIGEST: hash_file(folder / MANIFEST),
        METRICS: _short_table({key: float(value) for key, value in candidate.metrics.items()}),
    }
    tags |= {"mlflow.source.git.commit": commit} if commit else {}
    tags |= {COMPARISON: candidate.comparison} if candidate.comparison else {}
    return Written(card, tags, str(domains[0].user_ids[0]))


def served_domains(run_folder: Path, prepared: PreparedSet) -> list[ServedDomain]:
    """Join each scorer with the ids and known items of its domain; validation items are known by now too.

    Raises:
        ArtefactError: The run has no scorers, or scorers of domains that the set does not have.
    """
    scorers = run_folder / _SCORERS
    stored = {path.name for path in scorers.iterdir()} if scorers.is_dir() else set()
    names = [facts.name for facts in prepared.domains if facts.name in stored]
    strange = stored - set(names)
    if not names or strange:
        raise ArtefactError(
            f"scorers of {sorted(stored)}",
            "scorers of " + ", ".join(facts.name for facts in prepared.domains),
            str(scorers),
            "finish the training",
        )
    domains = []
    for name in names:
        facts = prepared.facts(name)
        pairs = [prepared.train_pairs(name), prepared.validation_pairs(name)]
        users, items = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        shape = (facts.n_users, facts.n_items)
        known = sparse.csr_array((np.ones(len(users), dtype=np.float32), (users, items)), shape=shape)
        known.data[:] = 1.0
        rater = served_rater(run_folder, prepared, name)
        scorer = load_scorer((scorers if rater is None else _ranking_of(run_folder)) / name)
        domains.append(ServedDomain(name, scorer, prepared.user_ids(name), prepared.item_ids(name), known, rater))
    return domains


def served_rater(run_folder: Path, prepared: PreparedSet, domain: str) -> ServedRater | None:
    """Join the predicted ratings of a run with what it takes to serve them; None of a run that only ranks."""
    facts = read_manifest(run_folder, RUN_KIND, RUN_SCHEMA).facts
    source = facts.get("source", "")
    if not source:
        return None
    data = prepared.train_data("none")
    tables = [table_of(data.domain(name)) for name in (source, domain)]
    items = fit_item_bias(tables[1])
    readers = run_folder / NEWCOMERS / domain
    return ServedRater(
        source=source,
        source_item_ids=prepared.item_ids(source),
        scorer=load_scorer(run_folder / _SCORERS / domain),
        scale=tables[1].scale,
        source_scale=tables[0].scale,
        usual=(items.mean + items.values).astype(np.float32),
        newcomers=load_newcomers(readers) if readers.is_dir() else None,
    )


def _ranking_of(run_folder: Path) -> Path:
    """Return where a run of ratings has what ranks: a scorer of its own, or the ratings themselves."""
    rankers = run_folder / RANKERS
    return rankers if rankers.is_dir() else run_folder / _SCORERS


def _card(
    candidate: Candidate, name: str, commit: str, made_of: tuple[Manifest, PreparedSet, Sequence[ServedDomain]]
) -> Card:
    run, prepared, domains = made_of
    return Card(
        model=name,
        run={"name": candidate.run_folder.name, "fingerprint": run.fingerprint},
        run_id=candidate.run_id,
        created=run.created,
        code_version=run.code_version,
        commit=commit,
        domains=[
            CardDomain(
                domain.name,
                len(domain.user_ids),
                len(domain.item_ids),
                int(domain.known.nnz),
                domain.rater.source if domain.rater is not None else "",
            )
            for domain in domains
        ],
        raw_files=dict(prepared.manifest.inputs),
        prepared=prepared.fingerprint,
        recipe=dict(prepared.manifest.settings),
        settings=dict(run.settings),
        metrics=dict(candidate.metrics),
        slices=candidate.slices,
        comparison=candidate.comparison,
    )


def _short_table(values: Mapping[str, object]) -> str:
    """Write a table as JSON that a tag can hold: its first entries where all are too long; the card has them all."""
    entries, text = dict(sorted(values.items())), ""
    while len(text := json.dumps(entries)) > MOST_CHARACTERS:
        entries.popitem()
    return text
