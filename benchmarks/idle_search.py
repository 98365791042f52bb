"""A search whose trials do nothing, and what it costs: shared by benchmarks of the loop.

Linux only: memory and the time of workers are read from /proc.
"""

import cProfile
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import final

from runner.display.progress import Progress
from runner.engines.py import PyEngine
from runner.experiment import Budget, Experiment
from runner.goals import Goals, Objective
from runner.stoppers.none import Never
from runner.store import Store
from runner.strategies.random import Random
from runner.training.inline import Inline
from runner.training.leftovers import descendants
from runner.training.local import Local
from runner.training.service import TrainingService
from runner.trial import Report, Setup, Trial
from runner.weight_keeper import WeightKeeper

Service = Callable[[Setup], TrainingService]
GOALS = Goals((Objective("val/accuracy", "max"),))


@final
@dataclass(frozen=True)
class Cost:
    """What a run cost. CPU milliseconds per trial of this process and of its workers."""

    trials: int
    cpu: float
    workers: float  # behind the first tenth of the trials
    first: float  # in the first tenth of the trials
    last: float  # in the last tenth
    growth: float  # of the resident memory behind the first tenth, MB
    wall: float = 0.0  # seconds in all
    calls: tuple[float, float] = (0.0, 0.0)  # of functions per trial, in the first and last tenth


class Meter(Progress):
    """Reads the clocks at the start, and after each tenth of the trials."""

    def __init__(self, trials: int) -> None:
        self.tenth = trials // 10
        self._ended = 0
        self._marks = [_clocks()]

    def begin(self) -> None:
        self._marks = [_clocks()]

    def show(self, trial: Trial) -> None:
        if not trial.running:
            self.count()

    def note(self, text: str) -> None:
        raise AssertionError(text)

    def end(self) -> None:
        return

    def count(self) -> None:
        """Another trial has ended."""
        self._ended += 1
        if self._ended % self.tenth == 0:
            self._marks.append(_clocks())

    def cost(self) -> Cost:
        """What the trials cost that have ended."""
        cpu, children, memory, wall = zip(*self._marks, strict=True)
        tenths = len(self._marks) - 1
        return Cost(
            trials=self._ended,
            cpu=1e3 * (cpu[-1] - cpu[0]) / (tenths * self.tenth),
            workers=1e3 * (children[-1] - children[1]) / ((tenths - 1) * self.tenth),
            first=1e3 * (cpu[1] - cpu[0]) / self.tenth,
            last=1e3 * (cpu[-1] - cpu[-2]) / self.tenth,
            growth=memory[-1] - memory[1],
            wall=wall[-1] - wall[0],
        )


@final
class CallMeter(Meter):
    """Also counts how many functions are called for a trial, at the beginning and at the end, which
    depends on no clock."""

    def __init__(self, trials: int) -> None:
        super().__init__(trials)
        self._few = max(1, trials // 100)
        self._profiles = {
            self.tenth - self._few: cProfile.Profile(),
            trials - self._few - 1: cProfile.Profile(),
        }

    def count(self) -> None:
        super().count()
        for begin, profile in self._profiles.items():
            if self._ended == begin:
                profile.enable()
            elif self._ended == begin + self._few:
                profile.disable()

    def cost(self) -> Cost:
        calls = [
            sum(entry.callcount for entry in profile.getstats()) / self._few
            for profile in self._profiles.values()
        ]
        return replace(super().cost(), calls=(calls[0], calls[-1]))


def _clocks() -> tuple[float, float, float, float]:
    """CPU seconds of this process, of its children, its resident memory in MB, and the time."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    children = sum(map(_cpu_of, descendants(os.getpid())))
    return time.process_time(), children, memory, time.perf_counter()


def _cpu_of(process: int) -> float:
    """CPU seconds of all threads of a process: utime and stime in man 5 proc."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def experiment(
    folder: Path, service: Service, trials: int, progress: Progress, keep: int
) -> Iterator[Experiment]:
    """A search in a folder, as the task `search` puts it together, its workers started."""
    engine = PyEngine(space={"_target_": "parts.Twenty"}, trust=["parts"])
    data = {"_target_": "parts.NoData", "shape": [1], "classes": 2}
    setup = Setup(
        engine="runner.engines.py.PyEngine",
        evaluator={"_target_": "parts.NoTraining"},
        data=data,
        search=(),
        trust=("parts",),
        folder=folder,
        keep_weights=keep > 0,
    )
    with closing(service(setup)) as made, Store(folder, GOALS) as store:
        _warm_up(engine, made)
        yield Experiment(
            space=engine.space,
            strategy=Random(engine.space, seed=0),
            stopper=Never(GOALS),
            engine=engine,
            service=made,
            store=store,
            progress=progress,
            on_end=WeightKeeper(folder, keep).see,
            budget=Budget(trials, None),
            seed=0,
            dedup=True,
        )


def _warm_up(engine: PyEngine, service: TrainingService) -> None:
    """Give each worker a job and wait for its end, so that their start is not counted."""
    ended: list[Report] = []

    def hear(report: Report) -> None:
        if report.kind == "finished":
            ended.append(report)

    sample = engine.space.default()
    count = service.slots
    for job in engine.plan([Trial(number, sample, 0) for number in range(count)]):
        service.submit(job)
    while len(ended) < count:
        service.poll(hear, 1.0)


inline = partial(Inline, device="cpu", threads=1, max_failures=None, fail_fast=False)
local = partial(
    Local, device="cpu", devices_per_trial=1, workers=2, workers_per_device=1, threads=1, retries=0,
    trial_timeout=None, stall_timeout=None, max_failures=None, fail_fast=False,
)  # fmt: skip


def run(
    service: Service, trials: int, keep: int, make_meter: Callable[[int], Meter] = Meter
) -> Cost:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        meter = make_meter(trials)
        with experiment(folder, service, trials, meter, keep) as search:
            search.run()
            return meter.cost()
