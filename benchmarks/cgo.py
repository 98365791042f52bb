"""What fusing brings: steps of several models as one, over the same steps one after another.

    python benchmarks/cgo.py [--quick] [--json FILE] [--filter REGEX] [--device cuda] [--search]

Times are of one thread, process CPU time on a CPU and wall clock on a GPU, in milliseconds for a
step of all models of a group on batches of 64. The ways take turns in short blocks of steps:

    loop    one model after another, with torch's default optimizer and memory format
    best    one model after another as engine=py trains them: fused AdamW, channels last
    cgo     the group as engine=cgo trains it, once it has chosen its way
    +plan   the same, with all that comes before spread over the 144 steps of a short training

A ratio is the median over the turns. On a GPU a second table has groups of several sizes against a
CUDA graph for each model and against several processes. --search times whole searches instead.
"""

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

import torch
from cgo_cases import CASES, STEPS, Candidates, Case, Plain
from cgo_search import Search, search_table, searches
from cgo_sweep import Sweep, sweep, sweep_table
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table
from torch import nn

from runner.data.data import Batch
from runner.evaluators.group import Group
from runner.evaluators.race import ROUNDS
from runner.fusion.fuse import fuse
from runner.fusion.packing.packed_parameters import Parameters
from runner.fusion.packing.random_streams import Streams
from runner.fusion.program.program import Programs
from runner.training.process import keep_memory
from runner.trial import Gain

BLOCK = 18  # steps that a way takes before it is another's turn, as many as in an epoch of digits;
TURN = 0.15  # fewer where `best` takes longer than these seconds, but at least two
WARM_UP = 2 * (ROUNDS + 1) + 2  # steps after which a group has chosen its way
SWEPT = ("tiny MLP, 16 rates", "small CNN", "cell, same")
SPEEDUP = 2.0  # of a whole search


@final
@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    least: int  # turns of each way
    most: int
    seconds: float  # of a case, from which no turn is added to the least


FULL = Amount(least=7, most=60, seconds=8.0)
QUICK = Amount(least=2, most=2, seconds=0.0)


@final
@dataclass(frozen=True)
class Figures:
    """What a step of all models costs each way, milliseconds, and what fusing brought."""

    models: int
    turns: int
    loop: float
    best: float
    cgo: float
    over_loop: float
    over_best: float
    plan: float  # all that comes before, once for a group
    over_best_with_plan: float
    launches: int
    operations: int
    copies: int
    gain: Gain


Clock = Callable[[], float]


def clock_of(device: torch.device) -> Clock:
    """CPU seconds of this process; on a GPU, seconds after all that was started there."""
    if device.type == "cpu":
        return time.process_time

    def now() -> float:
        torch.accelerator.synchronize(device)
        return time.perf_counter()

    return now


@final
class Ways:
    """The same models, ready to be trained in each way."""

    def __init__(self, case: Case, device: torch.device) -> None:
        now = self._now = clock_of(device)
        candidates = Candidates(case)
        candidates.warm_up()
        start = now()
        candidates.plan()
        self.plan = now() - start
        self.models = candidates.models()
        self.programs = candidates.programs()
        self._batches = candidates.batches(device, 8)
        pairs = zip(self.models, candidates.pieces(), strict=True)
        self._plain = [Plain(model, own, device) for model, own in pairs]
        self._members = candidates.members(self.models, device)
        self._group = Group(candidates.members(self.models, device), self.programs)

    def begin(self) -> None:
        """Take the steps that are not counted; those of the group until it has chosen its way are
        part of its plan."""
        self.loop(2)
        for member in self._members:
            member.begin(0)
        self.best(2)
        start = self._now()
        self._group.begin(0)
        self.cgo(WARM_UP)
        self.plan += self._now() - start

    def loop(self, steps: int) -> None:
        for model in self._plain:
            for batch in self._some(steps):
                model.step(batch)

    def best(self, steps: int) -> None:
        for member in self._members:
            for at, batch in enumerate(self._some(steps)):
                member.step(batch, at + 10, STEPS)

    def cgo(self, steps: int) -> None:
        for at, batch in enumerate(self._some(steps)):
            self._group.step(batch, at + 10, STEPS)

    def _some(self, steps: int) -> Iterator[Batch]:
        for at in range(steps):
            yield self._batches[at % len(self._batches)]

    def turns(self, amount: Amount) -> list[dict[str, float]]:
        """Milliseconds of a step each way, turn by turn."""
        ways = {"loop": self.loop, "best": self.best, "cgo": self.cgo}
        start = self._now()
        self.best(2)
        steps = max(2, min(BLOCK, int(2 * TURN / (self._now() - start))))
        found: list[dict[str, float]] = []
        spent = 0.0
        while len(found) < amount.least or (len(found) < amount.most and spent < amount.seconds):
            turn = {}
            for name, way in ways.items():
                start = self._now()
                way(steps)
                turn[name] = 1e3 * (self._now() - start) / steps
            spent += steps * sum(turn.values()) / 1e3
            found.append(turn)
        return found

    def end(self) -> Gain:
        """What the group says of itself."""
        start = self._now()
        gain = self._group.end()
        self.plan += self._now() - start
        return gain


def measure(case: Case, amount: Amount, device: torch.device) -> Figures:
    """The figures of a case."""
    ways = Ways(case, device)
    ways.begin()
    turns = ways.turns(amount)
    gain = ways.end()
    loop, best, cgo = (statistics.median(turn[way] for turn in turns) for way in turns[0])
    plan = 1e3 * ways.plan - WARM_UP * cgo
    launches, operations, copies = _counts(ways.models, ways.programs)
    return Figures(
        models=case.size,
        turns=len(turns),
        loop=loop,
        best=best,
        cgo=cgo,
        over_loop=statistics.median(turn["loop"] / turn["cgo"] for turn in turns),
        over_best=statistics.median(turn["best"] / turn["cgo"] for turn in turns),
        plan=plan,
        over_best_with_plan=best / (cgo + plan / STEPS),
        launches=launches,
        operations=operations,
        copies=copies,
        gain=gain,
    )


def _counts(models: Sequence[nn.Module], programs: Sequence[Programs]) -> tuple[int, int, int]:
    """Launches, the operations they stand for, and copies of the models as one in training."""
    parameters, streams = Parameters(), Streams([0] * len(models), torch.device("cpu"))
    for model in models:
        model.train()
    try:
        fused = fuse(models, [own.train for own in programs], parameters, streams)
    finally:
        parameters.unpack()
    return fused.launches, fused.operations, fused.copies


def targets(found: Mapping[str, Figures], searched: Sequence[Search]) -> list[Target]:
    """What was promised, beside what was measured."""
    limits = {case.name: case.limit for case in CASES}
    speedups = [
        Target(f"{name}, {figures.models} models: best / cgo", figures.over_best, limits[name], "x",
               at_least=True)
        for name, figures in found.items()
    ]  # fmt: skip
    for search in searched:
        name = f"{search.trials} trials of {search.epochs} epochs, {search.name}: py / cgo"
        speedups.append(Target(name, search.speedup, SPEEDUP, "x", at_least=True))
    return speedups


def figures_table(found: Mapping[str, Figures]) -> Table:
    """One row for each case."""
    table = Table(title="A step of all models, milliseconds, medians")
    table.add_column("case", no_wrap=True)
    names = ("K", "loop", "best", "cgo", "loop/cgo", "best/cgo", "+plan", "plan, ms", "calls", "of",
             "copies", "race")  # fmt: skip
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in found.items():
        ratios = (row.over_loop, row.over_best, row.over_best_with_plan)
        table.add_row(
            name, str(row.models), *(f"{ms:.2f}" for ms in (row.loop, row.best, row.cgo)),
            *(f"{ratio:.2f}" for ratio in ratios), f"{row.plan:.0f}", str(row.launches),
            str(row.operations), str(row.copies), _verdict(row.gain),
        )  # fmt: skip
    return table


def _verdict(gain: Gain) -> str:
    """What the group's own race said."""
    if not gain.why:
        return f"{gain.speedup:.2f}"
    return f"{gain.speedup:.2f}, alone" if gain.launches else "none"


def arguments() -> argparse.Namespace:
    """The flags."""
    parser = options(__doc__, "a few turns")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only the cases it is in")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--search", action="store_true", help="time whole searches instead")
    parser.add_argument("--trials", type=int, default=200, help="of each search")
    return parser.parse_args()


def main() -> None:
    """Measure, print the tables, and write the figures where asked to."""
    given = arguments()
    torch.set_num_threads(1)
    keep_memory()  # as workers do
    shown, device = console(140), torch.device(given.device)
    if device.type != "cpu" and not torch.accelerator.is_available():
        shown.print(f"There is no device {given.device!r} here; nothing was measured.")
        return
    cases = [case for case in CASES if re.search(given.filter, case.name)]
    found: dict[str, Figures] = {}
    swept: list[Sweep] = []
    searched: list[Search] = []
    if given.search:
        with tempfile.TemporaryDirectory() as folder:
            searched = searches(Path(folder), given.trials, 1 if given.quick else 3)
        shown.print(search_table(searched))
    else:
        found = {c.name: measure(c, QUICK if given.quick else FULL, device) for c in cases}
        shown.print(figures_table(found))
    if device.type == "cuda" and not given.search:
        sizes = (1, 4) if given.quick else (1, 4, 16, 64)
        swept = [sweep(c, k, device) for c in cases if c.name in SWEPT for k in sizes]
        shown.print(sweep_table(swept))
    shown.print(target_table(verdicts := targets(found, searched)))
    figures: dict[str, Any] = {
        "cases": {name: asdict(row) for name, row in found.items()},
        "sweep": [asdict(row) for row in swept],
        "searches": [asdict(search) for search in searched],
        "targets": as_figures(verdicts),
    }
    write(given.json, ("torch",), figures)


if __name__ == "__main__":
    main()
