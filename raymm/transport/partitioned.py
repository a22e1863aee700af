"""Transport between populations: one problem on the blocks of the kernel that matter, with common potentials."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch

from raymm.config import check, setting
from raymm.errors import SolverError
from raymm.transport import certificate, support
from raymm.transport.cells import Cells, default_count, joint_cells
from raymm.transport.certificate import Certificate, Lower
from raymm.transport.checkpoint import Checkpoint
from raymm.transport.extension import extend, extend_by_cells
from raymm.transport.fixed_point import Fixed, Observer, Progress, State, iterate
from raymm.transport.problem import Problem
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.streaming import solve_streaming
from raymm.transport.sweep import LocalSweep, RowSweep, Task

_SAMPLE_ERROR = 3e-3  # drawing the sample costs far more than this in the error of the first pass over kept blocks

Runner = Callable[[Problem, Sequence[Task]], RowSweep]


@dataclass(frozen=True)
class PartitionConfig:
    """How a large problem is cut down, and how good its answer must be."""

    target_gap: float = setting(0.01, "Relative gap that is good enough; more work is done until it is reached.", gt=0)
    sample: int = setting(10_000, "Users of each side in the first solve; smaller problems are solved whole.", ge=2)
    cells: int = setting(0, "Clusters of users; 0 takes one for 200 users, 64 to 1024 (4096 from a million).", ge=0)
    missed_mass: float = setting(0.03, "Share of a cell's mass that may fall outside the kept blocks.", ge=0, lt=1)
    exact_above: float = setting(0.5, "Share of kept pairs above which all pairs are computed instead.", gt=0, le=1)
    tolerance: float = setting(5e-3, "Column error at which the bounds are first computed.", gt=0)
    depth: int = setting(5, "Residuals that Anderson acceleration mixes.", ge=0, le=50)
    max_iterations: int = setting(200, "Iterations at most between two certificates.", ge=1)
    max_rounds: int = setting(6, "Certificates at most; each is followed by a wider support or more iterations.", ge=1)
    bound: Literal["deterministic", "sampled"] = setting(
        "deterministic", "Lower bound from one pass over all pairs, or from sampled rows with 99.9 % confidence."
    )
    bound_rows: int = setting(10_000, "Rows drawn for the sampled bound.", ge=2)

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)


@dataclass(frozen=True, eq=False)
class Partition:
    """Which pairs take part.

    Attributes:
        rows: Cells of the source side.
        columns: Cells of the target side.
        kept: (P, Q) bool, blocks that take part.
        mass: (P, Q) float64, the plan's mass by block as far as it is known.
        missed: Budget by which `kept` was chosen.
    """

    rows: Cells
    columns: Cells
    kept: torch.Tensor
    mass: torch.Tensor
    missed: float

    @property
    def share(self) -> float:
        """Share of all pairs that take part."""
        return support.share_of_pairs(self.kept, self.rows, self.columns)

    def tasks(self) -> list[Task]:
        """Return one task per row cell."""
        if bool(self.kept.all()):
            return support.whole_tasks(self.rows)
        return support.tasks_of(self.kept, self.rows, self.columns)


@dataclass(frozen=True, eq=False)
class PartitionedSolution:
    """Potentials of everybody, the kept blocks, and the certificate of the plan that they give.

    Attributes:
        f: (n,) float64 in the order of the problem.
        g: (m,) float64.
        partition: Cells and kept blocks.
        certificate: How far the plan is from the optimum.
        iterations: Passes over the kept blocks.
        reached: The target gap was reached.
        seconds: Wall time by stage.
    """

    f: torch.Tensor
    g: torch.Tensor
    partition: Partition
    certificate: Certificate
    iterations: int
    reached: bool
    seconds: dict[str, float] = field(default_factory=dict)


def solve_partitioned(
    problem: Problem,
    config: PartitionConfig,
    generator: torch.Generator,
    runner: Runner = LocalSweep,
    checkpoint: Checkpoint | None = None,
    observe: Observer | None = None,
    start: torch.Tensor | None = None,
) -> PartitionedSolution:
    """Solve an entropic problem of any size, and say how far the answer is from the optimum.

    A sample is solved exactly; its potentials, extended to everybody, say how much mass each pair of cells holds; the
    fewest blocks with nearly all of it are kept; ONE Sinkhorn iteration with common potentials runs on these blocks;
    then both bounds are computed. Where the gap is above the target the support is widened, or the iteration goes on
    more accurately, in the end on all pairs. The loss against the optimum is about epsilon times the missed mass.

    Args:
        problem: The problem; a soft mask is not supported (take known pairs out instead).
        config: Sizes and targets.
        generator: Draws the sample and the first centres.
        runner: Who holds the rows: this process, or workers elsewhere.
        checkpoint: Where the state is kept after each iteration; a state found there is taken up.
        observe: Called after each iteration.
        start: (m,) float64 potentials g of a problem like this one, as of the same users some epochs ago; it saves
            iterations and decides nothing else. A state found in `checkpoint` goes before it.

    Raises:
        SolverError: No convergence, a soft mask, or a start of another length or that is not finite.
        ArtefactError: The checkpoint is damaged or of another problem.
    """
    if start is not None and not (start.shape == problem.b.shape and bool(torch.isfinite(start).all())):
        raise SolverError(
            f"a start of shape {tuple(start.shape)}", f"finite, {tuple(problem.b.shape)}", "partitioned transport"
        )
    run = _Run(problem, config, generator, checkpoint, observe, start)
    if not run.restore():
        run.prepare()
    return run.finish(runner)


class _Run:
    """The steps of one solve; what they share is the partition, the state of the iteration and the clock."""

    def __init__(
        self,
        problem: Problem,
        config: PartitionConfig,
        generator: torch.Generator,
        checkpoint: Checkpoint | None,
        observe: Observer | None,
        start: torch.Tensor | None,
    ) -> None:
        self.problem, self.config, self.generator = problem, config, generator
        self.checkpoint, self.observe, self.start = checkpoint, observe, start
        self.seconds: dict[str, float] = {}
        self.tolerance, self.round, self.done = config.tolerance, 0, 0
        # Rows of the sampled bound hang on this and the round alone, so that a resumed solve draws the same ones.
        self.bound_seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        self.state = State(torch.zeros_like(problem.b))

    def prepare(self) -> None:
        """Make cells, solve a sample, extend it, and choose the blocks."""
        clock = time.perf_counter()
        cost, config = self.problem.cost, self.config
        count = config.cells or default_count(cost.n, cost.m)
        rows, columns = joint_cells(cost.source, cost.target, count, self.generator)
        self.sorted = self.problem.between(rows.order, columns.order)
        clock = self._lap("cells", clock)
        shape = (rows.count, columns.count)
        every = torch.ones(shape, dtype=torch.bool, device=cost.source.device)
        self.partition = Partition(rows, columns, every, every.double() / every.numel(), 0.0)
        if self.start is not None:
            self.state = State(self.start.double()[columns.order])
        if max(cost.n, cost.m) <= config.sample:
            return
        clock, mass = self._sample_and_extend(clock)
        sums = [
            torch.zeros(side.count, dtype=torch.float64, device=mass.device).index_add_(0, side.of_position, part)
            for side, part in ((rows, self.sorted.a), (columns, self.sorted.b))
        ]
        kept, missed = support.choose(mass, config.missed_mass, sums[0], sums[1], self.problem.balanced)
        self.partition = self._limited(replace(self.partition, kept=kept, mass=mass, missed=missed))
        self._lap("support", clock)

    def finish(self, runner: Runner) -> PartitionedSolution:
        """Iterate and certify until the gap is small enough."""
        sweep = runner(self.sorted, self.partition.tasks())
        while True:
            clock = time.perf_counter()
            end = self._iterate(sweep)
            clock = self._lap("iterations", clock)
            cells = (self.partition.rows, self.partition.columns)
            local = sweep.potentials()
            upper = certificate.upper_bound(self.sorted, sweep, end.g, end.columns, cells)
            clock = self._lap("upper bound", clock)
            lower, mass = self._lower(sweep, end, local)
            self._lap("lower bound", clock)
            found = certificate.certify(self.sorted, upper, lower, self.partition.share)
            self.round, self.done = self.round + 1, self.done + end.iterations
            if found.relative_gap <= self.config.target_gap or self.round >= self.config.max_rounds:
                return self._result(local, end, found)
            self._improve(found, mass, end)
            sweep.retask(self.partition.tasks())

    def restore(self) -> bool:
        """Take up a saved state, if there is one."""
        saved = self.checkpoint.load() if self.checkpoint else None
        if saved is None:
            return False
        facts = saved[1]
        arrays = {name: array.to(self.problem.b.device) for name, array in saved[0].items()}
        rows, columns = (
            Cells(arrays[f"{side}.order"], arrays[f"{side}.edges"], arrays[f"{side}.of_position"])
            for side in ("rows", "columns")
        )
        self.partition = Partition(rows, columns, arrays["kept"], arrays["mass"], facts["missed"])
        mixer = {name.removeprefix("mixer."): array for name, array in arrays.items() if name.startswith("mixer.")}
        self.state = State(arrays["g"], facts["iteration"], mixer, tuple(facts["errors"]))
        self.tolerance, self.round, self.done = facts["tolerance"], facts["round"], facts["done"]
        self.bound_seed = facts["bound_seed"]
        self.sorted = self.problem.between(rows.order, columns.order)
        return True

    def _save(self, state: State) -> None:
        if not self.checkpoint:
            return
        partition = self.partition
        arrays = {"kept": partition.kept, "mass": partition.mass, "g": state.g}
        for side, cells in (("rows", partition.rows), ("columns", partition.columns)):
            arrays |= {f"{side}.order": cells.order, f"{side}.edges": cells.edges}
            arrays[f"{side}.of_position"] = cells.of_position
        arrays |= {f"mixer.{name}": array for name, array in state.mixer.items()}
        facts = {
            "missed": partition.missed,
            "iteration": state.iteration,
            "errors": state.errors,
            "tolerance": self.tolerance,
            "round": self.round,
            "done": self.done,
            "bound_seed": self.bound_seed,
        }
        self.checkpoint.save(arrays, facts)

    def _sample_and_extend(self, clock: float) -> tuple[float, torch.Tensor]:
        problem, (rows, columns) = self.sorted, (self.partition.rows, self.partition.columns)
        chosen = [
            _sample(size, self.config.sample, self.generator, problem.a) for size in (len(problem.a), len(problem.b))
        ]
        config = SolverConfig(tolerance=_SAMPLE_ERROR, accept=1.0, max_iterations=100, depth=self.config.depth)
        drawn = solve_streaming(problem.between(chosen[0], chosen[1]), config, observe=self._named("sample"))
        clock = self._lap("sample", clock)
        every = [torch.arange(size, device=problem.a.device) for size in (len(problem.a), len(problem.b))]
        by_row = problem.between(every[0], chosen[1])
        _, mass = extend_by_cells(
            by_row, drawn.g, support.whole_tasks(rows), columns.of_position[chosen[1]], columns.count
        )
        by_column = problem.between(chosen[0], every[1]).transposed()
        g, turned = extend_by_cells(
            by_column, drawn.f, support.whole_tasks(columns), rows.of_position[chosen[0]], rows.count
        )
        if self.start is None:  # potentials that were accurate for a like problem are nearer than those of a sample
            self.state = State(g)
        return self._lap("extension", clock), 0.5 * (mass / mass.sum() + turned.T / turned.sum())

    def _iterate(self, sweep: RowSweep) -> Fixed:
        config = SolverConfig(
            tolerance=self.tolerance,
            accept=max(1.0, self.tolerance),  # any plan can be rounded and certified; the gap decides
            max_iterations=self.config.max_iterations,
            depth=self.config.depth,
        )
        name = "exact" if bool(self.partition.kept.all()) else "blocks"
        tell = self._named(name)

        def after(progress: Progress) -> None:
            self._save(progress.state)
            if tell:
                tell(progress)

        return iterate(sweep, self.sorted, config, self.state, (name, after))

    def _lower(self, sweep: RowSweep, end: Fixed, local: torch.Tensor) -> tuple[Lower, torch.Tensor | None]:
        problem, partition = self.sorted, self.partition
        if bool(partition.kept.all()):
            return certificate.lower_bound(problem, local, end.g, local), None
        if self.config.bound == "sampled":
            generator = torch.Generator().manual_seed(self.bound_seed + self.round)
            chosen = _sample(len(problem.a), self.config.bound_rows, generator, problem.a)
            every = torch.arange(len(problem.b), device=problem.b.device)
            exact = extend(problem.cost.take(chosen, every), end.g, problem.b, problem.epsilon, problem.rho)
            return certificate.sampled_lower_bound(problem, exact, chosen, end.g, local), None
        sweep.retask(support.whole_tasks(partition.rows))
        mass = sweep.grouped(end.g, partition.columns.of_position, partition.columns.count)
        return certificate.lower_bound(problem, sweep.potentials(), end.g, local), mass

    def _improve(self, found: Certificate, mass: torch.Tensor | None, end: Fixed) -> None:
        """Widen the support if the missed mass makes most of the gap, else iterate more accurately."""
        from_support = self.problem.epsilon * found.missed_mass * found.mass
        self.state = State(end.g)
        if bool(self.partition.kept.all()) or from_support < 0.5 * (found.upper - found.lower):
            self.tolerance = max(1e-6, 0.25 * min(self.tolerance, end.error))
            return
        missed = 0.3 * self.partition.missed * min(1.0, self.config.target_gap / found.relative_gap)
        known = self.partition.mass if mass is None else mass / mass.sum()
        kept = self.partition.kept | support.keep_by_mass(known, missed)
        self.partition = self._limited(replace(self.partition, kept=kept, mass=known, missed=missed))

    def _limited(self, partition: Partition) -> Partition:
        if partition.share <= self.config.exact_above:
            return partition
        return replace(partition, kept=torch.ones_like(partition.kept), missed=0.0)

    def _result(self, f: torch.Tensor, end: Fixed, found: Certificate) -> PartitionedSolution:
        rows, columns = self.partition.rows.order, self.partition.columns.order
        whole_f, whole_g = torch.empty_like(f), torch.empty_like(end.g)
        whole_f[rows], whole_g[columns] = f, end.g
        reached = found.relative_gap <= self.config.target_gap
        if self.checkpoint:
            self.checkpoint.clear()
        return PartitionedSolution(whole_f, whole_g, self.partition, found, self.done, reached, self.seconds)

    def _named(self, stage: str) -> Observer | None:
        observe = self.observe
        return None if observe is None else lambda progress: observe(replace(progress, stage=stage))

    def _lap(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now


def _sample(size: int, wanted: int, generator: torch.Generator, like: torch.Tensor) -> torch.Tensor:
    """Draw positions without replacement, ascending; everybody where `wanted` is enough for all."""
    if size <= wanted:
        return torch.arange(size, device=like.device)
    drawn = torch.randperm(size, generator=generator, device=generator.device)
    return drawn[:wanted].sort().values.to(like.device)
