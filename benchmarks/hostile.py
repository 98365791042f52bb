"""What a hostile config does, and what a mistaken one is told.

    python benchmarks/hostile.py

Each attempt is a call of the program in an empty folder beside a module of somebody else, whose
import makes a marker file. An attack counts as refused if the program ends with exit code 2 and no
marker. A mistake counts as told if the program ends with exit code 2 and at most three lines, no
traceback, and names the key; and if nothing is left in the folder.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import final

from hostile_inputs import EVIL, MARK, Attempt, attempts, mistakes, write
from report import Target, as_figures, console, options, target_table
from report import write as write_figures
from rich.console import Console
from rich.progress import track
from rich.table import Table
from shim import import_torchvision

from runner import __main__ as program

SHARE = 20  # with --quick, one of so many attempts


@final
@dataclass
class Outcome:
    """How many attempts of a kind were made, and how they ended."""

    tried: int = 0
    refused: int = 0  # exit code 2, at most three lines, no traceback, nothing left
    markers: int = 0
    others: list[str] = field(default_factory=list)  # what else happened, one line each


def run(attempt: Attempt) -> tuple[object, str, set[str]]:
    """Calls the program; returns its exit code, what it says, and what it leaves."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "evil.py").write_text(EVIL)
        write(attempt.files, folder)
        before = {path.name for path in folder.iterdir()}
        code: object = None
        out, err = io.StringIO(), io.StringIO()
        arguments, home = sys.argv, Path.cwd()
        os.chdir(folder)
        sys.path.insert(0, name)
        program.exit_code.set(0)
        try:
            sys.argv = ["runner", *attempt.arguments]
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                program.main()
        except SystemExit as end:
            code = end.code
        except BaseException as error:
            code = f"{type(error).__name__}: {error}"
        finally:
            sys.argv = arguments
            sys.path.remove(name)
            os.chdir(home)
            sys.modules.pop("evil", None)
        left = {path.name for path in folder.iterdir()} - before
        return code, err.getvalue(), left - {"__pycache__"}


def judge(attempt: Attempt, outcome: Outcome) -> None:
    """Makes an attempt, and counts how it ended."""
    code, said, left = run(attempt)
    lines = said.splitlines()
    outcome.tried += 1
    outcome.markers += MARK in left
    told = any(_names(said, argument) for argument in attempt.arguments)
    if attempt.kind.startswith(("hydra", "trust")):  # by the check, not by chance
        told = any(word in said for word in ("hydra.", "hydra/", "trust", "--experimental-rerun"))
    if code == 2 and len(lines) <= 3 and "Traceback" not in said and not left and told:
        outcome.refused += 1
        return
    shown, heard = " ".join(attempt.arguments), " ".join(lines)[:300]
    outcome.others.append(f"{shown} -> {code}, {len(lines)} lines, left {sorted(left)}: {heard}")


def _names(said: str, argument: str) -> bool:
    """Returns whether a message names a key, or the value, of an override."""
    words = re.findall(r"[a-z_]{3,}", argument.lower())
    return any(word in said.lower() for word in words)


def table(title: str, found: dict[str, Outcome]) -> Table:
    """One row per kind of attempt."""
    made = Table(title=title)
    made.add_column("kind", no_wrap=True)
    for name in ("tried", "refused", "markers"):
        made.add_column(name, justify="right")
    for kind, outcome in found.items():
        made.add_row(kind, *map(str, (outcome.tried, outcome.refused, outcome.markers)))
    return made


def tried(given: Sequence[Attempt]) -> dict[str, Outcome]:
    """Makes all attempts; returns the outcome by kind."""
    found: dict[str, Outcome] = defaultdict(Outcome)
    for attempt in track(given, "attempts", console=Console(stderr=True), transient=True):
        judge(attempt, found[attempt.kind])
    return found


def main() -> None:
    parser = options(__doc__ or "", f"one attempt of {SHARE}")
    given = parser.parse_args()
    import_torchvision()
    every = SHARE if given.quick else 1
    attacks, words = tried(attempts()[::every]), tried(mistakes()[::every])
    total = [sum(o.tried for o in found.values()) for found in (attacks, words)]
    refused = [sum(o.refused for o in found.values()) for found in (attacks, words)]
    markers = sum(o.markers for found in (attacks, words) for o in found.values())
    targets = [
        Target("marker files", markers, 0, "files"),
        Target("attacks refused", 100 * refused[0] / total[0], 100, "%", at_least=True),
        Target("mistakes told", 100 * refused[1] / total[1], 100, "%", at_least=True),
    ]
    shown = console()
    shown.print(table("Attacks", attacks), table("Mistakes", words), target_table(targets))
    for found in (attacks, words):
        for outcome in found.values():
            for line in outcome.others:
                shown.print(line, markup=False, highlight=False, soft_wrap=True)
    figures = {
        "attacks": {kind: asdict(outcome) for kind, outcome in attacks.items()},
        "mistakes": {kind: asdict(outcome) for kind, outcome in words.items()},
        "targets": as_figures(targets),
    }
    write_figures(given.json, ("hydra-core", "omegaconf"), figures)


if __name__ == "__main__":
    main()
