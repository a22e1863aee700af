"""Run a function in several real gloo processes, for tests of what crosses ranks."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_ranks(function: Callable[..., Any], world_size: int, *arguments: Any) -> list[Any]:
    """Call `function(rank, *arguments)` on each rank of a gloo group; return what each returned, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    queue: Any = mp.get_context("spawn").SimpleQueue()
    mp.spawn(_enter, (world_size, port, queue, function, arguments), nprocs=world_size, join=True)
    results = dict(queue.get() for _ in range(world_size))
    return [results[rank] for rank in range(world_size)]


def _enter(rank: int, world_size: int, port: int, queue: Any, function: Callable[..., Any], arguments: Any) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size))  # as every launcher does
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size)
    try:
        queue.put((rank, function(rank, *arguments)))
    finally:
        dist.destroy_process_group()
