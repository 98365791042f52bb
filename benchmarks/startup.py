"""What starting up costs: whole processes, from the command line to the exit code.

    python benchmarks/startup.py [--quick] [--json FILE] [--before FOLDER]

One trial beside a script that does the same by hand; the part of the default search in which no
trial runs; `engine=cgo` beside `engine=base`; and what only prints. The commands take turns, and a
ratio is the median over the rounds. `--before` is another checkout, whose commands take turns with
those of this one. CPU seconds are those of all processes of a command; on a busy machine they tell
more than wall clock, of which the targets are.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import final

from report import Target, as_figures, console, options, target_table, write
from rich.table import Table

from runner.store import read

ROOT = Path(__file__).resolve().parents[1]
MLPS = ("space=mlp", "strategy=random", "training.device=cpu")
SIXTEEN = (*MLPS, "budget.trials=16", "evaluator.epochs=4", "seed=1")
BARE, TRIAL, DEFAULT = "bare script", "one trial", "default search"
BASE, CGO = "16 MLPs, engine=base", "16 MLPs, engine=cgo"
HELP, CONFIG = "--help", "--cfg job"
COMMANDS: Mapping[str, Sequence[str]] = {
    TRIAL: (*MLPS, "budget.trials=1", "evaluator.epochs=1"),
    BASE: ("engine=base", *SIXTEEN),
    CGO: ("engine=cgo", *SIXTEEN),
    DEFAULT: ("training.device=cpu",),
    HELP: ("--help",),
    CONFIG: ("--cfg", "job"),
}
PAIRS = ((TRIAL, BARE, 1.15), (CGO, BASE, 1.05))
OUTSIDE = 15.0  # percent of the default search
LIKE_BEFORE = 1.05
BEFORE = " (before)"


@final
@dataclass(frozen=True)
class Size:
    """How much is run."""

    rounds: int
    searches: int  # rounds of the default search, which takes longer
    overrides: Sequence[str]  # of all searches


FULL = Size(rounds=7, searches=1, overrides=())
QUICK = Size(rounds=1, searches=1, overrides=("budget.trials=2", "evaluator.epochs=1"))


@final
@dataclass(frozen=True)
class Process:
    """What one command cost. Seconds."""

    wall: float
    cpu: float
    training: float = 0.0  # from the start of the first trial to the end of the last


def run(command: Sequence[str | Path], root: Path, folder: Path | None = None) -> Process:
    """Runs a command in a checkout; `folder` is that of its search, if it is one."""
    start, used = time.perf_counter(), _cpu()
    done = subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    wall, cpu = time.perf_counter() - start, _cpu() - used
    if done.returncode:
        raise RuntimeError(f"{command} failed: {done.stderr[-2000:]}")
    if folder is None:
        return Process(wall, cpu)
    trials = read(folder).trials
    ends = [trial.ended_at for trial in trials if trial.ended_at is not None]
    begins = [trial.started_at for trial in trials if trial.started_at is not None]
    return Process(wall, cpu, max(ends) - min(begins))


def _cpu() -> float:
    """CPU seconds of all processes that this one has waited for, and that they have."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(size: Size, folder: Path, before: Path | None) -> dict[str, list[Process]]:
    """Returns the processes of each command, round by round."""
    trees = {"": ROOT} | ({} if before is None else {BEFORE: before})
    found: dict[str, list[Process]] = {}
    for i in range(size.rounds):
        bare = run([ROOT / "benchmarks" / "startup_bare.py"], ROOT)
        found.setdefault(BARE, []).append(bare)
        for name, overrides in COMMANDS.items():
            if name == DEFAULT and i >= size.searches:
                continue
            for suffix, root in trees.items():
                words, place = ["-m", "runner", *overrides], None
                if name not in (HELP, CONFIG):
                    place = folder / f"{len(found)}-{i}{name}{suffix}".replace(" ", "-")
                    words += [f"hydra.run.dir='{place}'", *size.overrides]
                found.setdefault(name + suffix, []).append(run(words, root, place))
    return found


def ratio(
    found: Mapping[str, Sequence[Process]], name: str, other: str, clock: str = "wall"
) -> float:
    """Returns the time of a command over that of another: the median over the rounds."""
    pairs = zip(found[name], found[other], strict=True)
    return statistics.median(getattr(one, clock) / getattr(two, clock) for one, two in pairs)


def outside(processes: Sequence[Process]) -> float:
    """Returns the percentage of the wall clock in which no trial ran."""
    return statistics.median(100 * (1 - one.training / one.wall) for one in processes)


def targets(found: Mapping[str, Sequence[Process]]) -> list[Target]:
    """Returns the targets with what was measured."""
    held = [Target(f"{one}, of {two}", ratio(found, one, two), most, "x")
            for one, two, most in PAIRS]  # fmt: skip
    held.insert(
        1, Target("default search, outside training", outside(found[DEFAULT]), OUTSIDE, "%")
    )
    for name in (HELP, CONFIG):
        if name + BEFORE in found:
            most = ratio(found, name, name + BEFORE)
            held.append(Target(f"{name}, of before", most, LIKE_BEFORE, "x"))
    return held


def table(found: Mapping[str, Sequence[Process]]) -> Table:
    """One row per command; medians over the rounds."""
    shown = Table(title="Whole processes")
    shown.add_column("command", no_wrap=True)
    for name in ("wall, s", "least", "CPU, s", "least", "outside training"):
        shown.add_column(name, justify="right")
    for name, processes in found.items():
        walls, cpus = [p.wall for p in processes], [p.cpu for p in processes]
        figures = [f"{take(times):.2f}" for times in (walls, cpus)
                   for take in (statistics.median, min)]  # fmt: skip
        share = f"{outside(processes):.0f} %" if processes[0].training else ""
        shown.add_row(name, *figures, share)
    return shown


def ratio_table(found: Mapping[str, Sequence[Process]]) -> Table:
    """One row per pair of commands, and per command and the same one before."""
    shown = Table(title="Ratios")
    for name in ("command", "relative to", "wall", "CPU"):
        shown.add_column(name, justify="left" if name in ("command", "relative to") else "right")
    pairs = [(one, two) for one, two, _ in PAIRS]
    pairs += [(name, name + BEFORE) for name in found if name + BEFORE in found]
    for one, two in pairs:
        clocks = (f"{ratio(found, one, two, clock):.2f}" for clock in ("wall", "cpu"))
        shown.add_row(one, two, *clocks)
    return shown


def main() -> None:
    """Measures, prints the tables, and writes the figures."""
    parser = options(__doc__ or "", "one round, and a short search")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout to compare with")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        found = measure(size, Path(folder), given.before)
    held = targets(found)
    console().print(table(found), ratio_table(found), target_table(held))
    processes = {name: [asdict(each) for each in ours] for name, ours in found.items()}
    figures = {"size": asdict(size), "targets": as_figures(held), "processes": processes}
    write(given.json, ["torch", "scikit-learn", "hydra-core"], figures)


if __name__ == "__main__":
    main()
