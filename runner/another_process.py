"""Runs a module of this package in another process, where the package need not be installed."""

import sys
from pathlib import Path

_HOME = str(Path(__file__).resolve().parents[1])  # of this package
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from {} import main; sys.path.pop(0); main({!r})"
)


def starting(module: str, argument: int | str) -> list[str]:
    """Returns the command that runs `main(argument)` of a module in another process."""
    return [sys.executable, "-P", "-c", _START.format(module, argument), _HOME]


def search_path() -> list[str]:
    """Returns where this process finds modules, for another one, which looks nowhere else."""
    return [entry or str(Path.cwd()) for entry in sys.path]
