"""Models that are tried one by one, each in a process of its own: what one does harms no other."""

import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

LIMIT = 300  # seconds a model may take, all in all

Attempt = Callable[[str, Any, Any], Any]  # (name, build, inputs) -> something that can be pickled


def in_processes(
    models: Mapping[str, tuple[Any, Any]], jobs: int, attempt: Attempt
) -> Iterator[tuple[str, Any, str]]:
    """(name, what the attempt gave, problem) of each model as it ends, `jobs` at a time; None and
    why where the process died or took too long."""
    context = multiprocessing.get_context("fork")
    todo = list(models.items())
    running: list[tuple[str, Any, Connection, float]] = []
    while todo or running:
        while todo and len(running) < jobs:
            name, (build, inputs) = todo.pop(0)
            inbox, outbox = context.Pipe(duplex=False)
            process = context.Process(target=_send, args=(outbox, attempt, name, build, inputs))
            process.start()
            outbox.close()
            running.append((name, process, inbox, time.monotonic()))
        for entry in [*running]:
            name, process, inbox, begun = entry
            late = time.monotonic() - begun > LIMIT
            if not late and not inbox.poll(0.05):
                continue
            if late:
                os.kill(process.pid, signal.SIGKILL)
            try:
                yield (name, None, "timed out") if late else (name, inbox.recv(), "")
            except EOFError:
                yield name, None, "the process died"
            process.join()
            running.remove(entry)


def _send(outbox: Connection, attempt: Attempt, name: str, build: Any, inputs: Any) -> None:
    warnings.simplefilter("ignore")
    sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - for the whole process
    outbox.send(attempt(name, build, inputs))
