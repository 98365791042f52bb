"""A search whose workers, driver, memory and disk are disturbed at random moments, until it ends.

    python benchmarks/chaos.py [--quick] [--json FILE] [--seed N] [--on local|ray]

With `training=local`, and with `training=ray` where Ray is installed. Kills and stops workers and
the driver, which is resumed, loses nodes, and takes memory and disk away for a while. Then counts
trials that were lost or that ended twice, results other than those of an undisturbed trial,
processes that outlived the run, and files that are not whole. Then a long run of trials that do
nothing: the driver's memory, open files and time per trial. Linux only. The disk is filled only
where a small file system can be mounted, as root.
"""

import contextlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import final

from chaos_faults import FAULTS, Victim, fill_disk
from chaos_grounds import GROUNDS, Ground
from chaos_parts import EPOCHS, value
from idle_search import CallMeter, Cost, inline, run
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table

from runner.errors import RunnerError
from runner.results import load
from runner.store import RECORD
from runner.training.leftovers import end_all, marked
from runner.trial import WEIGHTS
from runner.weights import check_weights
from runner.whole_files import PARTIAL

HERE = Path(__file__).resolve().parent
SEARCH = [
    "space=mlp", "strategy=random", "dedup=false", "evaluator=function", "trust=[chaos_parts]",
    "evaluator.fn._target_=chaos_parts.train", "export.keep_weights=null", "export.top=0",
    "report=null", "training.retries=100",
]  # fmt: skip
ENDS = ("finished", "stopped", "failed")
MARK = "RUNNER_CHAOS"  # the variable that all processes of a disturbed run inherit
DISK = "64m"
UNDER_WAY = 4  # events of a session before it is disturbed: one that starts would never go on
LONGEST = 1800.0  # seconds that a disturbed run may take in all


@final
@dataclass(frozen=True)
class Size:
    """How much is run."""

    trials: int
    pause: float  # mean seconds between two faults
    idle: int  # trials of the long run
    faults: int  # at least


FULL, QUICK = Size(200, 0.7, 20_000, 100), Size(12, 0.7, 100, 5)


@final
@dataclass(frozen=True)
class Outcome:
    """What a disturbed run has come to."""

    trials: int
    faults: dict[str, int]
    sessions: int  # of the driver
    failed: int  # for a reason that was recorded, such as lack of memory
    lost: int
    doubled: int
    wrong: int  # with results other than those of an undisturbed trial
    orphans: int
    longest: float  # seconds between two events of the record
    recovery: float  # seconds between a fault and the next event, if no other fault came between
    partial: int  # files that are not whole
    seconds: float


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mounts a small file system there; False if that is impossible."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)]
    try:
        is_there = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        is_there = False
    try:
        yield is_there
    finally:
        if is_there:
            subprocess.run(["umount", "-l", str(folder)], check=False)


def disturbed(ground: str, size: Size, seed: int) -> Outcome:
    """Runs a search to its end, whatever is done to it."""
    mark = f"{MARK}={uuid.uuid4().hex}"
    os.environ[MARK] = mark.partition("=")[2]
    with tempfile.TemporaryDirectory() as name, small_disk(Path(name)) as has_disk:
        folder, begun = Path(name) / "run", time.monotonic()
        with GROUNDS[ground]() as place:
            faults, sessions = _disturb(place, folder, size, random.Random(seed), has_disk)
        orphans = [pid for pid in marked([mark]) if pid != os.getpid()]
        end_all(orphans)
        seconds = time.monotonic() - begun
        return _outcome(folder, size.trials, faults, sessions, len(orphans), seconds)


def _disturb(
    place: Ground, folder: Path, size: Size, rng: random.Random, has_disk: bool
) -> tuple[list[tuple[float, str]], int]:
    """Does so until the run has ended; returns when what was done, and how many drivers it took."""
    faults, sessions, begun = list[tuple[float, str]](), 1, time.monotonic()
    weights = {**FAULTS, **place.faults}
    usable = [fault for fault in weights if has_disk or fault is not fill_disk]
    driver, before = _driver(place, folder, size.trials), 0
    try:
        while driver.poll() != 0:
            if driver.poll() is not None:
                sessions += 1
                driver, before = _driver(place, folder, size.trials), _events(folder)
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that ends is resumed at once
                driver.wait(rng.uniform(0, 2 * size.pause * place.pace))
            if driver.poll() is None and _events(folder) > before + UNDER_WAY:
                fault = rng.choices(usable, [weights[one] for one in usable])[0]
                if fault(Victim(driver.pid, place.workers, folder, rng)):
                    faults.append((time.time(), fault.__name__))
            if time.monotonic() > begun + LONGEST:
                raise SystemExit(f"The run has not ended after {LONGEST:.0f} s.")
    finally:
        driver.kill()
        driver.wait()
    return faults, sessions


def _events(folder: Path) -> int:
    """How many there are in the record of a run."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_opened(folder)) as database:
        return int(database.execute("select count(*) from events").fetchone()[0])
    return 0


def _opened(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{folder / RECORD}?mode=ro", uri=True)


def _driver(place: Ground, folder: Path, trials: int) -> subprocess.Popen[bytes]:
    """Starts the search, or goes on with it."""
    has_begun = (folder / RECORD).exists()
    new = [*SEARCH, *place.overrides, f"budget.trials={trials}", f"hydra.run.dir={folder}"]
    words = [f"resume={folder}", "trust=[chaos_parts]"] if has_begun else new
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    with (folder.parent / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "runner", *words], stdout=output, stderr=output, cwd=HERE,
            env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip


def _outcome(
    folder: Path, count: int, faults: Sequence[tuple[float, str]], sessions: int, orphans: int,
    seconds: float,
) -> Outcome:  # fmt: skip
    trials = load(folder, ["chaos_parts"]).trials
    with contextlib.closing(_opened(folder)) as database:
        events = database.execute("select time, kind, trial from events order by id").fetchall()
    ends = Counter(trial for _, kind, trial in events if kind in ENDS)
    times = [time for time, _, _ in events]
    finished = [trial for trial in trials if trial.scored]
    return Outcome(
        trials=len(trials),
        faults=dict(Counter(name for _, name in faults)),
        sessions=sessions,
        failed=sum(trial.failed for trial in trials),
        lost=count - len(trials) + sum(trial.running for trial in trials),
        doubled=sum(number > 1 for number in ends.values()),
        wrong=sum(
            trial.step != EPOCHS or trial.score != value(trial.seed, EPOCHS - 1)
            for trial in finished
        ),
        orphans=orphans,
        longest=max(after - before for before, after in pairwise(times)),
        recovery=max(_behind([at for at, _ in faults], *pause) for pause in pairwise(times)),
        partial=sum(map(_is_partial, folder.rglob("*"))),
        seconds=seconds,
    )


def _behind(faults: Sequence[float], begin: float, end: float) -> float:
    """The seconds of a pause without events that lie behind the last fault in it."""
    return end - max([begin, *(at for at in faults if begin < at < end)])


def _is_partial(path: Path) -> bool:
    """Whether a file was not written to its end."""
    if path.suffix == PARTIAL:
        return True
    if path.name == WEIGHTS:
        try:
            check_weights(path)
        except RunnerError:
            return True
    return False


def long_run(trials: int) -> tuple[Cost, int]:
    """Trials that do nothing, and by how many the driver's open files grew."""
    run(inline, max(trials // 100, 20), 0)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    cost = run(inline, trials, 0, CallMeter)
    return cost, len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208


def targets(name: str, found: Outcome, size: Size) -> Sequence[Target]:
    """What the figures of a disturbed run are held to."""
    return [
        Target(f"{name}: trials lost", found.lost, 0, ""),
        Target(f"{name}: trials that ended twice", found.doubled, 0, ""),
        Target(f"{name}: wrong results", found.wrong, 0, ""),
        Target(f"{name}: processes that outlived the run", found.orphans, 0, ""),
        Target(f"{name}: longest time without an event", found.longest, 10.0, "s"),
        Target(f"{name}: the same, behind the last fault", found.recovery, 10.0, "s"),
        Target(f"{name}: files not whole", found.partial, 0, ""),
        Target(f"{name}: faults", sum(found.faults.values()), size.faults, "", at_least=True),
    ]


def targets_of_long_run(cost: Cost, files: int) -> Sequence[Target]:
    """What a long run is held to."""
    growth = 1e3 * cost.growth / cost.trials
    return [
        Target("memory growth of the driver per 1,000 trials", growth, 1.0, "MB"),
        Target("open files more than before", files, 0, ""),
        Target(
            "CPU time of the last tenth of the trials / first tenth",
            cost.last / cost.first,
            1.2,
            "x",
        ),
        Target(
            "calls of functions for a trial, likewise", cost.calls[1] / cost.calls[0], 1.02, "x"
        ),
    ]


def table(name: str, found: Outcome) -> Table:
    """What was done, and what came of it."""
    made = Table(title=f"{name}: {found.trials} trials in {found.seconds:.0f} s, disturbed")
    made.add_column("", no_wrap=True)
    made.add_column("times", justify="right")
    for fault, number in sorted(found.faults.items()):
        made.add_row(fault.replace("_", " "), str(number))
    made.add_row("sessions of the driver", str(found.sessions))
    made.add_row("trials that failed, with their reason", str(found.failed))
    return made


def main() -> None:
    """Disturb, print the tables, and write the figures where asked to."""
    parser = options(__doc__, "few trials")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments and faults")
    parser.add_argument("--on", choices=[*GROUNDS], action="append", help="which services; all")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    outcomes = {name: disturbed(name, size, given.seed) for name in given.on or GROUNDS}
    cost, files = long_run(size.idle)
    held = [one for name, found in outcomes.items() for one in targets(name, found, size)]
    held += targets_of_long_run(cost, files)
    console().print(*(table(*one) for one in outcomes.items()), target_table(held))
    figures = {
        "size": asdict(size),
        "seed": given.seed,
        "outcomes": {name: asdict(found) for name, found in outcomes.items()},
        "long run": asdict(cost),
        "targets": as_figures(held),
    }
    write(given.json, ("torch",), figures)


if __name__ == "__main__":
    main()
