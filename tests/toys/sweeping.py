"""Sweeps in this process or in a fork of it, which may be killed (-9) at any of its writes."""

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner import __main__ as program
from runner.store import Store, read
from runner.sweeps.sweep_folder import SweepFolder

TOY = ["trust=[toy]", "space._target_=toy.Net", "evaluator._target_=toy.Arithmetic",
       "evaluator.epochs=1", "evaluator.lr=0.5", "+evaluator.sleep=0.0",
       "data._target_=toy.Nothing", "data.shape=[1]", "data.classes=2",
       "training.device=cpu", "training=inline", "strategy=random", "budget.trials=2",
       "export.top=0", "report=null"]  # fmt: skip


def sweep(*arguments: str) -> SimpleNamespace:
    """Runs the program in this process; its exit code, and what it said."""
    program.exit_code.set(0)
    out, err = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with streams[0], streams[1], pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "wants_traceback", False)
        patch.setattr(sys, "argv", ["runner", *arguments])
        with pytest.raises(SystemExit) as end:
            program.main()
    return SimpleNamespace(code=end.value.code, out=out.getvalue(), err=err.getvalue())


def killed(*arguments: str, after: int) -> bool:
    """Runs the program in a fork, which is killed after so many writes about members and their
    trials; whether it was, and did not end before."""
    if child := os.fork():
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status)
    try:  # here is the child
        left = after

        def dying(write: Callable[..., object]) -> Callable[..., object]:
            def written(*given: object, **more: object) -> object:
                nonlocal left
                found = write(*given, **more)
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return found

            return written

        SweepFolder.write = dying(SweepFolder.write)
        Store._append = dying(Store._append)
        sweep(*arguments)
    finally:
        os._exit(0)


def members(folder: Path) -> list[dict[str, object]]:
    """What is recorded of the members of a sweep."""
    paths = sorted((folder / ".sweep").glob("[0-9]*.json"), key=lambda path: int(path.stem))
    return [json.loads(path.read_text()) for path in paths]


def trials(folder: Path) -> list[object]:
    """The trials of all runs of a sweep, without their times."""
    runs = sorted(path.parent for path in folder.glob("*/run.db"))
    return [(run.name, t.number, json.dumps(t.sample, sort_keys=True), t.seed, t.state, t.scores)
            for run in runs for t in read(run).trials]  # fmt: skip
