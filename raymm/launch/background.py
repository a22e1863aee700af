"""Work beside the training as Ray tasks: one rank asks, every rank gets the same result from the object store."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import numpy as np
import ray
import torch

from raymm.launch.session import plain_errors
from raymm.models.spec import Tensors, Work

_KEPT = 2  # results kept: ranks may still be taking the last one when the first rank asks for the next


class Errands:
    """The actor that starts the tasks and tells every rank where the results are.

    It owns them, so that they outlive the rank that asked. Who asks for a result that nobody has asked to be made yet
    waits until somebody does: ranks come here in any order.
    """

    def __init__(self) -> None:
        self._results: dict[int, Any] = {}
        self._there: dict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def start(self, key: int, work: Work, inputs: list[Any]) -> None:
        """Have `work` done with the arrays that the one reference in `inputs` stands for."""
        self._results[key] = _done.remote(work, inputs[0])
        self._there[key].set()
        for old in sorted(self._results)[:-_KEPT]:
            del self._results[old], self._there[old]

    async def result(self, key: int) -> list[Any]:
        """Return the reference of a result, in a list so that Ray does not wait for what it stands for."""
        await self._there[key].wait()
        return [self._results[key]]

    async def clear(self) -> None:
        """Forget everything: workers that were started again ask anew, from numbers that may differ in rounding."""
        for reference in self._results.values():
            ray.cancel(reference)
        self._results.clear()
        self._there.clear()


class OnRay:
    """`models.spec.Background` whose work is done by Ray tasks of one CPU each, on any node.

    Args:
        errands: The actor, from `start_errands`.
        asks: Whether this rank is the one that sends the inputs.
    """

    def __init__(self, errands: Any, asks: bool) -> None:
        self._errands, self._asks = errands, asks

    def submit(self, key: int, work: Work, inputs: Tensors) -> None:
        """Send the inputs and return; see `Background`."""
        if self._asks:
            arrays = {name: tensor.detach().cpu().numpy() for name, tensor in inputs.items()}
            ray.get(self._errands.start.remote(key, work, [ray.put(arrays)]))

    def take(self, key: int) -> dict[str, torch.Tensor]:
        """Wait for the result and fetch it; see `Background`.

        Raises:
            RaymmError: Whatever the work raised, on every rank.
        """
        with plain_errors():
            return _tensors(ray.get(ray.get(self._errands.result.remote(key))[0]))


def start_errands() -> Any:
    """Start the actor; it takes no CPU."""
    return ray.remote(Errands).options(num_cpus=0, scheduling_strategy="DEFAULT").remote()


@ray.remote(num_cpus=1)
def _done(work: Work, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    torch.set_num_threads(1)  # as many as were asked for; and the same sums each time
    return {name: tensor.numpy() for name, tensor in work(_tensors(inputs)).items()}


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    # Arrays from the object store are read-only, which torch knows nothing of.
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
