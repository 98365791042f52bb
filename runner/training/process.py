"""The worker process of `local`: reads jobs as JSON lines, writes reports as JSON lines."""

import ctypes
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # Linux: https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html


def main() -> None:
    """Serve jobs until standard input ends, which is also how the end of the driver shows."""
    _die_with_driver()
    reports = int(sys.argv[1])
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stopped: set[int] = set()
    hello = json.loads(sys.stdin.buffer.readline())
    sys.path[:0] = [entry for entry in hello["path"] if entry not in sys.path]
    threading.Thread(target=_listen, args=(inbox, stopped), daemon=True).start()

    import torch

    from runner.trial import Job, Report, Setup
    from runner.worker import Worker, trial_folder

    def send(message: object) -> None:
        rest = json.dumps(message).encode() + b"\n"
        while rest:
            rest = rest[os.write(reports, rest) :]

    torch.set_num_threads(hello["threads"])
    setup = Setup(**{**hello["setup"], "folder": Path(hello["setup"]["folder"])})
    setup = Setup(**{**vars(setup), "search": tuple(setup.search), "trust": tuple(setup.trust)})
    worker = Worker(setup, torch.device(hello["device"]))
    send("ready")
    while True:
        job = Job(**inbox.get())
        log = trial_folder(setup.folder, job.number) / "output.txt"

        def tell(report: Report) -> None:
            send(asdict(report))

        def is_stopped(trials: tuple[int, ...] = tuple(job.trials)) -> bool:
            return stopped.issuperset(trials)

        with _output_to(log):
            worker.run(job, tell, is_stopped)


def _listen(inbox: "queue.SimpleQueue[Any]", stopped: set[int]) -> None:
    """Take messages while the main thread trains; end the process when the driver is gone."""
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if "job" in message:
            inbox.put(message["job"])
        else:
            stopped.add(message["stop"])
    os._exit(0)


def _die_with_driver() -> None:
    """Have Linux kill this process with its parent, also while it is asleep in C."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send what a trial prints to a file of its own; none is left where nothing was printed."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError:  # a full disk: the trial meets it again, and reports it
        log = Path(os.devnull)
    saved = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for fd, copy in enumerate(saved, start=1):
            os.dup2(copy, fd)
            os.close(copy)
        if log.is_file() and log.stat().st_size == 0:
            log.unlink()


if __name__ == "__main__":
    main()
