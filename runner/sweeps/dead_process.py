"""A process of a launcher that died, from what joblib says of it: "... {SIGKILL(-9)}"."""

import re
from concurrent.futures import BrokenExecutor

from runner.errors import RunFailed, message, one_line
from runner.training.leftovers import ending


def how_it_died(error: BrokenExecutor) -> str:
    """Says how the process ended, for a sentence about it."""
    code = _code(error)
    return f"ended: {one_line(error)}" if code is None else ending(code)


def exit_code(error: BrokenExecutor) -> int:
    """Returns the exit code that a shell would tell; that of a failure if nothing is known."""
    code = _code(error) or RunFailed.exit_code
    return code if code > 0 else 128 - code


def _code(error: BrokenExecutor) -> int | None:
    """Returns the exit code of the process that ended first, negative for a signal."""
    found = re.search(r"\{\w+\((-?\d+)\)", message(error))
    return int(found[1]) if found else None
