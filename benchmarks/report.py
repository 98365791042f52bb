"""What benchmarks share: targets, their table, the machine, and the file of figures."""

import argparse
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from figures import Target, as_figures
from rich.console import Console
from rich.table import Table

__all__ = ["Target", "as_figures", "console", "options", "target_table", "write"]


def target_table(found: Sequence[Target]) -> Table:
    """One row per target, with its verdict."""
    table = Table(title="Targets")
    table.add_column("target", no_wrap=True)
    for name in ("limit", "measured", "verdict"):
        table.add_column(name, justify="right")
    for target in found:
        verdict = "met" if target.met else "missed"
        row = target.bound, f"{target.figure:.2f} {target.unit}", verdict
        table.add_row(target.name, *row, style="" if target.met else "red")
    return table


def options(description: str, quick: str) -> argparse.ArgumentParser:
    """The flags that every benchmark takes; `quick` says what --quick leaves."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help=f"{quick}, to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    return parser


def console(width: int = 110) -> Console:
    """Where tables go; wide enough for them also where the output is a file."""
    return Console(width=max(Console().width, width))


def write(file: Path | None, packages: Sequence[str], figures: Mapping[str, Any]) -> None:
    """Write figures and what they were measured on to a file, if one was asked for."""
    if file is None:
        return
    versions = {name: version(name) for name in packages}
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), **versions}
    file.write_text(json.dumps({"machine": machine, **figures}, indent=2) + "\n")
