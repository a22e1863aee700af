"""Recommend: a model and users to ranked items, as Parquet shards that survive an interruption."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raymm import artefacts
from raymm.errors import ArtefactError, ConfigError, DataError
from raymm.tracking.batch import (
    BatchWish,
    Shard,
    ShardRecord,
    collect_shards,
    finished_shard,
    peak_memory_bytes,
    plan_shards,
    write_shard,
)
from raymm.tracking.recommender import Recommender
from raymm.tracking.served import read_served
from raymm.tracking.store import Tracking
from raymm.verbs.id_lists import read_items, read_users

KIND, SCHEMA = "recommendations", 1
SHARD_USERS = 5_000

Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class RecommendRequest:
    """What is wanted.

    Attributes:
        model: `models:/<name>@<alias>`, `models:/<name>/<version>`, or the folder of a pulled model.
        output: Folder to write; with several machines it must be on storage that all of them see.
        users: File of users, see `read_users`; None for all users that the model knows, each in his domains.
        k: Length of the rankings.
        domains: Domains to rank in; empty for all.
        exclude: File of items to leave out.
        candidates: File of the only items to rank.
        workers: Ray workers; 0 ranks in this process.
        address: Ray cluster, as `connect` takes it.
        shard_users: Users of a shard, at most: what an interruption loses, for each worker.
        force: Replace what stands at `output`.
    """

    model: str
    output: Path
    users: Path | None = None
    k: int = 20
    domains: tuple[str, ...] = ()
    exclude: Path | None = None
    candidates: Path | None = None
    workers: int = 2
    address: str | None = None
    shard_users: int = SHARD_USERS
    force: bool = False


@dataclass(frozen=True, eq=False)
class Recommendations:
    """Rankings on disk.

    Attributes:
        folder: Where they stand: `<domain>/part-*.parquet` with user, domain, rank, item, score and known.
        facts: Counts, seconds, rate and memory, as in the manifest.
        reused: They were there already, of the same model, users and wishes.
    """

    folder: Path
    facts: Mapping[str, Any]
    reused: bool = False


@dataclass(frozen=True, eq=False)
class _Work:
    """What is to be done: the model's folder, the wish, the users of each domain, and where shards are kept."""

    model: Path
    wish: BatchWish
    users: dict[str, np.ndarray]
    shards: list[Shard]
    folder: Path


def recommend(
    request: RecommendRequest, tracking: Tracking | None, progress: Progress = lambda *_: None
) -> Recommendations:
    """Rank the k best items for every user and write them as Parquet.

    Rankings are exact, and those that the served model gives: items that a user is known to have are left out, equal
    scores are ranked by internal index, and users whom the model does not know get what is popular, marked by `known`.

    Finished shards are kept in `.recommending` beside the output, each with its hash; the same request goes on from
    there after an interruption. An output of the same request is not made again.

    Args:
        request: What is wanted.
        tracking: Store and registry, for a model that is not a folder.
        progress: Told the stage, users done, users in all, and more words.

    Raises:
        ConfigError: k, workers or the size of a shard is out of range, or there is no registry to ask.
        DataError: A file cannot be used, or names unknown domains or candidates.
        ArtefactError: The model is damaged, something else stands at the output, or another process writes it.
        TrackingError: No such model.
        ClusterError: Ray cannot be reached, or has not the CPUs.
    """
    if request.k < 1 or request.workers < 0 or request.shard_users < 1:
        found = f"k {request.k}, workers {request.workers}, users a shard {request.shard_users}"
        raise ConfigError(found, "at least 1, 0 and 1", "command line")
    base = request.output.absolute().parent / ".recommending" / request.output.name
    with _alone(base):
        model = _model(request, tracking, base)
        recommender = Recommender(read_served(model))
        wish = BatchWish(request.k, _items(request.exclude), _items(request.candidates))
        users = _users(request, recommender)
        inputs = {
            "model": artefacts.hash_file(model / artefacts.MANIFEST),
            "users": artefacts.fingerprint([[name, list(ids)] for name, ids in users.items()]),
        }
        settings = {
            "k": wish.k,
            "exclude": list(wish.exclude),
            "candidates": list(wish.candidates),
            "shard_users": request.shard_users,
        }
        mark = artefacts.fingerprint(KIND, SCHEMA, inputs, settings)
        if _stands(request, mark):
            manifest = artefacts.read_manifest(request.output, KIND, SCHEMA)
            artefacts.verify(request.output, manifest)
            shutil.rmtree(base)
            return Recommendations(request.output, manifest.facts, reused=True)
        recommender.check(wish.candidates, list(users))
        longest = min(wish.k, max(len(recommender.ids(name)[1]) for name in users))
        shards = plan_shards({name: len(ids) for name, ids in users.items()}, request.shard_users, longest)
        work = _Work(model, wish, users, shards, base / mark)
        in_process = recommender if not request.workers else None
        del recommender
        facts = _written(request, work, in_process, progress, (inputs, settings))
        shutil.rmtree(base)
    return Recommendations(request.output, facts)


def _written(
    request: RecommendRequest,
    work: _Work,
    recommender: Recommender | None,
    progress: Progress,
    described: tuple[dict[str, str], dict[str, Any]],
) -> dict[str, Any]:
    """Make the shards that are missing, and put all of them together."""
    kept = [record for shard in work.shards if (record := finished_shard(shard, work.folder)) is not None]
    names = {record.file for record in kept}
    missing = [shard for shard in work.shards if shard.file not in names]
    total = sum(shard.stop - shard.start for shard in work.shards)
    done, made, start = sum(record.users for record in kept), list[ShardRecord](), time.perf_counter()
    if kept:
        progress("ranking", done, total, f"{len(kept)} of {len(work.shards)} shards were there already")
    for record in _made(request, work, recommender, missing):
        made.append(record)
        done += record.users
        rate = sum(one.users for one in made) / (time.perf_counter() - start)
        progress("ranking", done, total, f"{rate:,.0f} users/s, {record.peak_bytes / 1e6:,.0f} MB a worker at most")
    seconds = time.perf_counter() - start
    with artefacts.writing(request.output, KIND, SCHEMA, *described, request.force) as (draft, facts):
        progress("writing", 0, 0, "")
        collect_shards([*kept, *made], work.folder, draft)
        facts.update(
            model=request.model,
            users={name: len(ids) for name, ids in work.users.items()},
            unknown=_by_domain([*kept, *made], "unknown"),
            rows=_by_domain([*kept, *made], "rows"),
            shards=len(work.shards),
            kept=len(kept),
            seconds=seconds,
            users_per_second=sum(one.users for one in made) / seconds if made else 0.0,
            worker_peak_bytes=max((one.peak_bytes for one in made), default=0),
            driver_peak_bytes=peak_memory_bytes(),
            workers=request.workers,
        )
        return dict(facts)


def _made(
    request: RecommendRequest, work: _Work, recommender: Recommender | None, missing: list[Shard]
) -> Iterator[ShardRecord]:
    if recommender is None:
        from raymm.launch.recommend import rank_shards
        from raymm.launch.session import connect

        connect(request.address, cpus=request.workers)
        yield from rank_shards(work.model, work.wish, work.users, missing, work.folder, request.workers)
        return
    for shard in missing:
        users = work.users[shard.domain][shard.start : shard.stop]
        yield write_shard(recommender, work.wish, list(users), shard, work.folder)


def _model(request: RecommendRequest, tracking: Tracking | None, base: Path) -> Path:
    """Return the folder of the model; one in the registry is pulled, unless an earlier run did so."""
    if not request.model.startswith("models:/"):
        return Path(request.model)
    if tracking is None:
        raise ConfigError(request.model, "a registry to find it in, or the folder of a pulled model", "command line")
    from raymm.tracking import pulled, registry

    version = registry.resolve(tracking, request.model)
    folder = base / f"model-{version.name}-{version.version}"
    if not (folder / artefacts.MANIFEST).is_file():
        pulled.pull(tracking, version, folder)
    return folder


def _users(request: RecommendRequest, recommender: Recommender) -> dict[str, np.ndarray]:
    """Return the users to rank for in each domain, in the order of the file, else of the model."""
    unknown = sorted(set(request.domains) - set(recommender.domains))
    wanted = [name for name in recommender.domains if not request.domains or name in request.domains]
    if unknown:
        known = ", ".join(map(repr, recommender.domains))
        raise DataError(f"domain {unknown[0]!r}", f"one of {known}", request.model, "mend --domain")
    if request.users is None:
        return {name: recommender.ids(name)[0] for name in wanted}
    table = read_users(request.users)
    strange = sorted(set(table["domain"]) - set(wanted) - {""})
    if strange:
        known = ", ".join(map(repr, wanted))
        raise DataError(f"domain {strange[0]!r}", f"one of {known}, or nothing", str(request.users), "drop these rows")
    chosen = {name: table["user"][table["domain"].isin(["", name])].drop_duplicates() for name in wanted}
    return {name: users.to_numpy(dtype=object) for name, users in chosen.items() if len(users)}


def _items(path: Path | None) -> tuple[str, ...]:
    return () if path is None else read_items(path)


def _stands(request: RecommendRequest, mark: str) -> bool:
    """Say whether these very rankings were made already; refuse whatever else stands there, before any work."""
    folder = request.output
    if request.force or not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / artefacts.MANIFEST).is_file():
        raise ArtefactError("something else", "a new or empty folder", str(folder), "choose another")
    if artefacts.read_manifest(folder, KIND, SCHEMA).fingerprint != mark:
        words = "rankings of another model, other users or other wishes"
        raise ArtefactError(words, "a new or empty folder", str(folder), "choose another, or replace it by --force")
    return True


@contextmanager
def _alone(base: Path) -> Iterator[None]:
    """Hold the folder of an output's unfinished shards; the lock goes with the process, however it ends."""
    base.mkdir(parents=True, exist_ok=True)
    with (base.parent / f".{base.name}.lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            where = str(base)
            raise ArtefactError(
                "another process", "nobody else who writes", where, "wait for it, or stop it"
            ) from error
        yield


def _by_domain(records: list[ShardRecord], name: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for record in records:
        domain = record.file.rpartition("/")[0]
        sums[domain] = sums.get(domain, 0) + getattr(record, name)
    return sums
