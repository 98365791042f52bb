"""What a trial costs beside its training: CPU milliseconds, memory, and bytes of the record; and
the time of a resume.

    python benchmarks/overhead.py [--quick] [--json FILE]

Runs the whole loop (draw, record, build the model, an evaluator that does nothing, report, record,
observe) over a space of 20 choices with random search, and in turn with it Optuna on the same
choices. Each run has a process of its own; a figure is the median over the rounds. Linux only:
memory and the time of workers are read from /proc.
"""

import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, final

from idle_search import GOALS, Cost, Meter, experiment, inline, local, run
from parts import CANDIDATES, CHOICES
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table

from runner.display.progress import Silent
from runner.space.sample import generator
from runner.store import RECORD, Store, read
from runner.training.service import TrainingService
from runner.training.slurm import Slurm
from runner.trial import Proposal, Setup, trial_seed

SLURM = "runner, jobs as of Slurm, 2 workers"  # where submitit is installed
KEPT = 10  # export.keep_weights as it usually is
PUBLISHED = {
    "NNI 3.0, in-process engine (published)": "4-9",
    "Optuna, SQLite storage (published)": "90+",
}


@final
@dataclass(frozen=True)
class Size:
    """How much is run; a tenth of the trials is the warm-up of what is counted behind it."""

    rounds: int
    trials: int
    sqlite_trials: int  # of Optuna on SQLite, which is slow
    record: int  # trials of the record that is resumed
    own_processes: bool


FULL = Size(rounds=5, trials=1000, sqlite_trials=50, record=10_000, own_processes=True)
QUICK = Size(rounds=1, trials=50, sqlite_trials=10, record=200, own_processes=False)


@final
@dataclass(frozen=True)
class Resume:
    """What going on with a record costs, up to its first new trial. Seconds."""

    trials: int
    cpu: float
    wall: float


@final
@dataclass(frozen=True)
class RecordSize:
    """How large a record is. Bytes."""

    trial: float  # of a trial with one report
    report: float  # of each further one, as after an epoch


def run_inline(trials: int, keep: int) -> Cost:
    """A search with training=inline."""
    run(inline, max(trials // 10, 10), keep)
    return run(inline, trials, keep)


def run_local(trials: int, keep: int) -> Cost:
    """A search with training=local and two workers."""
    run(inline, max(trials // 10, 10), keep)
    return run(local, trials, keep)


def slurm(setup: Setup) -> TrainingService:
    """Two workers in jobs that are processes of this machine, which are all there."""
    service = Slurm(
        setup, cluster="local", partition=None, account=None, time=60, workers=2,
        trials_per_job=None, gpus=0, cpus=1, memory=None, shell=[], extra=None, device="cpu",
        devices_per_trial=1, threads=1, idle_minutes=1, retries=0, trial_timeout=None,
        stall_timeout=None, max_failures=None, fail_fast=False,
    )  # fmt: skip
    while len(service._workers) < 2:
        service.poll(lambda report: None, 0.1)
    return service


def run_slurm(trials: int) -> Cost:
    """A search with training=slurm and two workers."""
    run(inline, max(trials // 10, 10), 0)
    return run(slurm, trials, 0)


def run_optuna(trials: int, *, on_disk: bool) -> Cost:
    """Optuna alone: it draws and records, and there is no model."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def objective(trial: optuna.Trial) -> float:
        picks = [trial.suggest_categorical(f"c{i}", CANDIDATES) for i in range(CHOICES)]
        return picks[0]

    def study(folder: str) -> optuna.Study:
        storage = f"sqlite:///{folder}/optuna.db" if on_disk else None
        return optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))

    with tempfile.TemporaryDirectory() as folder:
        study(folder).optimize(objective, n_trials=5)
    with tempfile.TemporaryDirectory() as folder:
        made, meter = study(folder), Meter(trials)
        meter.begin()
        made.optimize(objective, n_trials=trials, callbacks=[lambda study, trial: meter.count()])
        return meter.cost()


def run_resume(trials: int) -> Resume:
    """Go on with a record: read its config, open it, replay it, and record the next trial."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_record(folder, trials)
        cpu, wall = time.process_time(), time.perf_counter()
        read(folder)
        with experiment(folder, inline, trials + 1, Silent(), KEPT) as search:
            search.run()
            return Resume(trials, time.process_time() - cpu, time.perf_counter() - wall)


def record_size(trials: int, reports: int = 10) -> RecordSize:
    """The size of a record, by one with a report for each trial and one with several."""
    sizes = []
    for count in (1, reports + 1):
        with tempfile.TemporaryDirectory() as name:
            _write_record(Path(name), trials, count)
            sizes.append((Path(name) / RECORD).stat().st_size / trials)
    return RecordSize(sizes[0], (sizes[1] - sizes[0]) / reports)


def _write_record(folder: Path, trials: int, reports: int = 1) -> None:
    with Store(folder, GOALS) as store:
        store.begin({"objective": vars(GOALS.objectives[0])})
        for number in range(trials):
            rng = generator(1, number)
            sample = {f"c{i}": rng.choice(CANDIDATES) for i in range(CHOICES)}
            store.propose(Proposal(sample), trial_seed(0, number), str(number), None)
            store.record(number, "started", {})
            for _ in range(reports):
                store.record(number, "metrics", {"val/accuracy": rng.random(), "params": 1000.0})
            store.record(number, "finished", {})


def measure(size: Size) -> tuple[dict[str, Cost], Resume]:
    """All runs, in turn, round after round; the median of each figure."""
    runs: dict[str, Callable[[], Cost]] = {
        "runner, inline": partial(run_inline, size.trials, 0),
        "runner, inline, weights saved": partial(run_inline, size.trials, KEPT),
        "runner, local, 2 workers": partial(run_local, size.trials, 0),
        "runner, local, 2 workers, weights saved": partial(run_local, size.trials, KEPT),
        SLURM: partial(run_slurm, size.trials),
        "Optuna, in memory": partial(run_optuna, size.trials, on_disk=False),
        "Optuna, SQLite storage": partial(run_optuna, size.sqlite_trials, on_disk=True),
    }
    if importlib.util.find_spec("submitit") is None:
        runs.pop(SLURM)
    costs: dict[str, list[Cost]] = {name: [] for name in runs}
    resumes = []
    tasks = 1 if size.own_processes else None
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=tasks) as pool:
        for _ in range(size.rounds):
            for name, run in runs.items():
                costs[name].append(pool.submit(run).result())
            resumes.append(pool.submit(run_resume, size.record).result())
    return {name: _median(Cost, found) for name, found in costs.items()}, _median(Resume, resumes)


def _median(kind: type[Any], found: Sequence[Any]) -> Any:
    names = [field.name for field in fields(kind)]
    return kind(*(statistics.median(getattr(one, name) for one in found) for name in names))


def targets(costs: Mapping[str, Cost], resume: Resume) -> Sequence[Target]:
    """What the figures are held to."""
    off, on = costs["runner, inline"], costs["runner, inline, weights saved"]
    return [
        Target("CPU of a trial, inline", off.cpu, 3.0, "ms"),
        Target("CPU of a trial, inline, weights saved", on.cpu, 3.0, "ms"),
        Target("last tenth of the trials / first tenth", off.last / off.first, 1.2, "x"),
        Target("the same, weights saved", on.last / on.first, 1.2, "x"),
        Target("memory growth behind the first tenth", off.growth, 2.0, "MB"),
        Target("the same, weights saved", on.growth, 2.0, "MB"),
        Target(f"resume of {resume.trials:,} trials, CPU", resume.cpu, 2.0, "s"),
        Target(f"resume of {resume.trials:,} trials, wall clock", resume.wall, 2.0, "s"),
    ]


def cost_table(costs: Mapping[str, Cost]) -> Table:
    """One row per run, and the published figures."""
    table = Table(title=f"A trial of {CHOICES} choices beside its training, CPU milliseconds")
    table.add_column("run", no_wrap=True)
    for name in ("trials", "driver", "workers", "first tenth", "last tenth", "growth, MB"):
        table.add_column(name, justify="right")
    for name, cost in costs.items():
        figures = [f"{value:.2f}" for value in (cost.cpu, cost.workers, cost.first, cost.last)]
        if "workers" not in name:
            figures[1] = "-"
        table.add_row(name, f"{cost.trials:,}", *figures, f"{cost.growth:.1f}")
    for name, text in PUBLISHED.items():
        table.add_row(name, "", text, "", "", "", "", style="dim")
    return table


def main() -> None:
    """Measure, print the tables, and write the figures where asked to."""
    given = options(__doc__, "few trials").parse_args()
    size = QUICK if given.quick else FULL
    costs, resume = measure(size)
    found = targets(costs, resume)
    console().print(cost_table(costs), target_table(found))
    record = record_size(size.record)
    console().print(
        f"The record has {record.trial:.0f} bytes per trial, and {record.report:.0f} for each "
        "report after the first."
    )
    figures = {
        "size": asdict(size),
        "costs": {name: asdict(cost) for name, cost in costs.items()},
        "resume": asdict(resume),
        "record": asdict(record),
        "published": PUBLISHED,
        "targets": as_figures(found),
    }
    write(given.json, ("torch", "optuna"), figures)


if __name__ == "__main__":
    main()
