"""When the plan between all users is made anew: asked for beside the training, used some epochs later."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch

from raymm.errors import TrainingError
from raymm.models.sieoug.config import TransferConfig
from raymm.models.sieoug.plan import PAIRS, SOURCE, START, TARGET, Plan, plan_of, solve_plan
from raymm.models.spec import Place, Tensors

_CURRENT, _CURRENT_EPOCH = "current.", "current_epoch"
_PENDING, _PENDING_EPOCH = "pending.", "pending_epoch"

Users = Callable[[], tuple[torch.Tensor, torch.Tensor]]


class PlanRefresh:
    """Keeps the plan in use, and has the next one made.

    With n = `refresh_epochs` and w the first epoch after the warm-up: at the start of epoch w a plan is asked for and
    waited for; at w + n, w + 2n, ... one is asked for from the embeddings of that moment, and used from n epochs later
    on. So losses hang on nobody's speed: a plan that is late is waited for, a plan that is early waits. The solve of a
    plan starts from the potentials of the one that is in use when it is asked for.

    Args:
        config: When, and the transport problem.
        pairs: (q, 2) int64 known pairs.
        place: Who solves, and the seed.
        users: Returns the present embeddings of the users of both domains, all columns; collective.
    """

    def __init__(self, config: TransferConfig, pairs: torch.Tensor, place: Place, users: Users) -> None:
        self._every, self._first = config.refresh_epochs, config.warmup_epochs + 1
        self._work = functools.partial(solve_plan, config=config.population, seed=place.seed)
        self._pairs, self._place, self._users = pairs, place, users
        self.current: Plan | None = None
        self._current_epoch = 0
        self._pending: dict[str, torch.Tensor] = {}
        self._pending_epoch: int | None = None
        self._waited_s = 0.0

    def start_epoch(self, epoch: int) -> dict[str, float]:
        """Take up and ask for what is due; collective. What was done before a resume within this epoch stays done.

        Returns:
            Facts of the plan in use and its `age` in epochs; `waited_s` is what this rank waited for it in this epoch,
            and with `solve_s` the only one that is of the clock.

        Raises:
            TrainingError: There is no plan, as training goes on from a checkpoint without one.
            SolverError: A solve failed, here or elsewhere.
        """
        self._waited_s = 0.0
        if epoch == self._first and self.current is None:
            self._submit(epoch)
            self._take()
        elif epoch > self._first and (epoch - self._first) % self._every == 0 and self._pending_epoch != epoch:
            self._take()
            self._submit(epoch)
        if self.current is None:
            raise TrainingError(
                f"no plan between the users at epoch {epoch}",
                f"one since epoch {self._first}",
                "matching of whole populations",
                "go on from a whole checkpoint, or start a run under a new name",
            )
        facts = {f"population.{name}": value for name, value in self.current.facts.items()}
        return facts | {"population.age": float(epoch - self._current_epoch), "population.waited_s": self._waited_s}

    def state(self) -> dict[str, torch.Tensor]:
        """Return the plan in use and what the next one is made from: the next one may still be in the making."""
        if self.current is None:
            return {}
        state = {_CURRENT + name: tensor for name, tensor in self.current.tensors().items()}
        state[_CURRENT_EPOCH] = torch.tensor(self._current_epoch)
        if self._pending_epoch is not None:
            state |= {_PENDING + name: self._pending[name] for name in (SOURCE, TARGET)}
            state[_PENDING_EPOCH] = torch.tensor(self._pending_epoch)
        return state

    def load(self, state: Tensors) -> None:
        """Go on from `state`; the next plan is asked for again, from the same numbers."""
        if not state:
            return
        self.current = plan_of(_below(state, _CURRENT))
        self._current_epoch = int(state[_CURRENT_EPOCH])
        if _PENDING_EPOCH in state:
            source, target = (state[_PENDING + name] for name in (SOURCE, TARGET))
            self._ask(int(state[_PENDING_EPOCH]), source, target)

    def _submit(self, epoch: int) -> None:
        source, target = (users.float().cpu() for users in self._users())
        self._ask(epoch, source, target)

    def _ask(self, epoch: int, source: torch.Tensor, target: torch.Tensor) -> None:
        inputs = {SOURCE: source, TARGET: target, PAIRS: self._pairs}
        if self.current is not None:
            inputs[START] = self.current.g
        self._pending, self._pending_epoch = inputs, epoch
        self._place.background.submit(epoch, self._work, inputs)

    def _take(self) -> None:
        if self._pending_epoch is None:
            return
        clock = time.perf_counter()
        self.current = plan_of(self._place.background.take(self._pending_epoch))
        self._waited_s = time.perf_counter() - clock
        self._current_epoch, self._pending, self._pending_epoch = self._pending_epoch, {}, None


def _below(state: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
