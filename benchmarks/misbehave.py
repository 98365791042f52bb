"""Misbehaving trials between honest ones: what the honest ones notice, and what is left.

    python benchmarks/misbehave.py [--quick] [--json FILE]

Runs honest trials in two workers, then the same ones with misbehaving trials between them, of every
kind in `tests/toys/misbehaving.py`. Metrics of the honest trials have to be equal bit by bit; they
contain a sum over the settings of the process, too. Linux only: orphans are looked for in /proc.
"""

import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from report import Target, as_figures, console, options, target_table, write
from rich.table import Table

from runner.training.leftovers import descendants, marked, process_status

TOYS = Path(__file__).resolve().parents[1] / "tests" / "toys"
sys.path.insert(0, str(TOYS))

import misbehaving  # noqa: E402 - the toys of the tests are on the path only now
from among import Ended, run_kinds  # noqa: E402

SEEDS = 25  # different honest trials
GROUPS: Mapping[str, Mapping[str, Any]] = {
    "changes the process": misbehaving.PUT_BACK,
    "leaves what cannot be undone": misbehaving.REPLACED,
    "raises, or reports nonsense": misbehaving.FAILS,
    "ends its worker": misbehaving.ENDS,
    "is fine": misbehaving.FINE,
}
COSTLY = (*misbehaving.REPLACED, *misbehaving.ENDS)  # each costs the start of a worker
STRIDE = 37  # between kinds that follow each other, so that few trials are of all groups
LASTING = "3600"  # in the command of each process that a misbehaving trial starts


@final
@dataclass(frozen=True)
class Size:
    """How many misbehaving trials there are, and how many of each kind that ends its worker."""

    trials: int
    costly: int


FULL, QUICK = Size(trials=1000, costly=3), Size(trials=30, costly=0)


@final
@dataclass(frozen=True)
class Outcome:
    """What became of the misbehaving trials of a group, and of the honest ones after them."""

    kinds: int
    trials: int
    ended: int  # with a result or a failure, rather than never
    failed: int
    changed: int  # honest trials behind them with other metrics


def kinds(size: Size) -> list[str]:
    """The misbehaving trials, in the order in which they run."""
    cheap = [kind for kind in misbehaving.WAYS if kind not in COSTLY]
    costly = [kind for _ in range(size.costly) for kind in COSTLY]
    rest = size.trials - len(costly)
    found = [cheap[i * STRIDE % len(cheap)] for i in range(rest)]
    step = max(1, rest // (len(costly) or 1))
    for place, kind in enumerate(costly):
        found.insert(place * (step + 1), kind)
    return found


def honest(folder: Path) -> dict[int, Any]:
    """The metrics of honest trials among themselves, by their seeds."""
    trials, _ = run_kinds("local", folder, ["honest"] * SEEDS, range(SEEDS), workers=2, retries=0)
    return {trial.seed: trial.metrics for trial in trials}


def between(folder: Path, wrong: Sequence[str]) -> tuple[list[Ended], Sequence[str]]:
    """Every other trial misbehaves; also what the service says in the end."""
    order = [kind for one in wrong for kind in (one, "honest")]
    seeds = [i // 2 % SEEDS for i in range(len(order))]
    trials, service = run_kinds("local", folder, order, seeds, workers=2, retries=0)
    return trials, service.notes()


def outcomes(trials: Sequence[Ended], expected: Mapping[int, Any]) -> dict[str, Outcome]:
    """Misbehaving trials by group; an honest trial belongs to the one before it."""
    pairs = [*zip(trials[::2], trials[1::2], strict=True)]
    found = {}
    for name, group in GROUPS.items():
        mine = [(wrong, after) for wrong, after in pairs if wrong.kind in group]
        found[name] = Outcome(
            kinds=len({wrong.kind for wrong, _ in mine}),
            trials=len(mine),
            ended=sum(wrong.end != "" for wrong, _ in mine),
            failed=sum(wrong.end == "failed" for wrong, _ in mine),
            changed=sum(after.metrics != expected[after.seed] for _, after in mine),
        )
    return found


def orphans(mark: str, before: set[int]) -> list[int]:
    """The processes of the run that are still there."""
    lasting = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline")
               if LASTING in _text(path)]  # fmt: skip
    found = {*marked([mark]), *descendants(os.getpid()), *lasting} - before - {os.getpid()}
    return [pid for pid in found if process_status(pid) not in ("", "Z")]


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def table(found: Mapping[str, Outcome]) -> Table:
    """One row per group."""
    made = Table(title="Misbehaving trials, each followed by an honest one")
    made.add_column("a trial that", no_wrap=True)
    for name in ("kinds", "trials", "ended", "failed", "honest ones changed"):
        made.add_column(name, justify="right")
    for name, one in found.items():
        made.add_row(name, *(f"{value:,}" for value in asdict(one).values()))
    return made


def main() -> None:
    """Measure, print the tables, and write the figures where asked to."""
    given = options(__doc__, "few trials").parse_args()
    size = QUICK if given.quick else FULL
    before = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
    mark = f"RUNNER_MISBEHAVE={uuid.uuid4().hex}"
    os.environ.update([mark.split("=")])
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        expected = honest(Path(name) / "honest")
        trials, notes = between(Path(name) / "between", kinds(size))
    seconds = time.perf_counter() - begun
    left = orphans(mark, before)
    found = outcomes(trials, expected)
    hangs = sum(trial.end == "" for trial in trials)
    replaced = sum(one.kind in COSTLY for one in trials)
    changed = sum(one.changed for one in found.values())
    targets = [
        Target("honest trials with other metrics", changed, 0, ""),
        Target("trials that hang", hangs, 0, ""),
        Target("orphans", len(left), 0, ""),
    ]
    console().print(table(found), target_table(targets))
    console().print(
        f"{seconds:.0f} s; at least {replaced} workers were replaced.", *notes, sep="\n"
    )
    figures = {
        "size": asdict(size),
        "groups": {name: asdict(one) for name, one in found.items()},
        "failures": Counter(one.reason for one in trials if one.end == "failed"),
        "replaced": replaced,
        "seconds": seconds,
        "targets": as_figures(targets),
    }
    write(given.json, ("torch",), figures)


if __name__ == "__main__":
    main()
