"""External ids to internal numbers, in an order that depends on the ids alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def id_lines(text: str) -> list[str]:
    """Cut a list of ids into its lines, which end with a line feed; nothing else that Unicode calls a line end does.

    Args:
        text: One id a line; a carriage return before the line feed belongs to the line end.
    """
    lines = text.removesuffix("\n").split("\n") if text else []
    return [line.removesuffix("\r") for line in lines]


def rank_hash(ids: Iterable[str], salt: str) -> np.ndarray:
    """Hash strings to numbers that order them at random, but the same on every machine and in every process.

    Args:
        ids: External ids.
        salt: Another salt gives another, unrelated order.

    Returns:
        (n,) uint64.
    """
    key = hashlib.blake2b(salt.encode(), digest_size=16).digest()
    digests = b"".join(hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in ids)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def user_hashes(ids: pa.Array, domain: str) -> np.ndarray:
    """Hash the users of a domain; users are numbered by this hash, then by id.

    The same person has unrelated hashes in two domains, so that a number says nothing about who is whom.

    Args:
        ids: (n,) strings, with repetitions.
        domain: The domain's name.

    Returns:
        (n,) uint64.
    """
    encoded = pc.dictionary_encode(ids)
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    hashes: np.ndarray = rank_hash(encoded.dictionary.to_pylist(), f"user of {domain}")[encoded.indices.to_numpy()]
    return hashes


def shard_of(hashes: np.ndarray, n_shards: int) -> np.ndarray:
    """Cut the range of hashes into `n_shards` equal pieces; shards in order are in order of the hash.

    Args:
        hashes: (n,) uint64.
        n_shards: Number of shards, at most 2**31.

    Returns:
        (n,) int64 in [0, n_shards).
    """
    return ((hashes >> np.uint64(32)) * np.uint64(n_shards) >> np.uint64(32)).astype(np.int64)


def merged(parts: Iterable[pa.Array]) -> pa.Array:
    """Merge arrays of strings into one, each string once, in order of their code points."""
    distinct = pc.unique(pa.chunked_array(list(parts), type=pa.string()))
    return distinct.take(pc.sort_indices(distinct))
