"""The worker process of `local`: reads jobs and writes reports, as JSON lines."""

import ctypes
import os
import platform
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from runner.training.leftovers import adopt_orphans, die_with_parent
from runner.training.peers import Peer, fork_peers
from runner.training.pipes import Inbox, Outbox, copied

if TYPE_CHECKING:
    from runner.process_care import ProcessCare
    from runner.training.service import Traces
    from runner.worker import Worker

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # Linux: man 3 mallopt


def main(reports: int) -> None:
    """Runs jobs until standard input ends, which also happens when the driver ends. However it
    ends, the process does not wait for threads that a trial has left.

    `reports` is the file descriptor for reports. The process is a new one, or was forked.
    """
    _ending(_serve, reports)


def _ending(serve: Callable[..., object], *given: object) -> NoReturn:
    """Calls what serves until the process ends."""
    try:
        serve(*given)
    except BaseException:  # before the first job; the driver hears of it as of any crash
        with suppress(Exception):
            traceback.print_exc()
            sys.stderr.flush()
    finally:
        os._exit(1)


def _serve(reports: int) -> None:
    die_with_parent(os.getppid())
    adopt_orphans(True)
    outbox, inbox = Outbox(reports), Inbox()
    outbox.send({"pid": os.getpid()})
    hello = dict(inbox.first())
    _settle(hello)
    peers = _forked(hello, inbox) if len(hello["devices"]) > 1 else ()  # there are no threads yet
    if peers:
        outbox.send({"pid": os.getpid(), "peers": [peer.pid for peer in peers]})
    inbox.listen()

    from runner.errors import one_line
    from runner.training.service import Traces
    from runner.trial import ENDS, OUTPUT, Job, Report, trial_folder

    traces: list[Traces] = []
    care = _care(outbox, inbox, traces)
    if peers:
        care = _with_peers(care, peers, outbox, hello["setup"], traces)
    worker = _prepared(hello, 0, care)
    outbox.send("ready")
    with _output_to(Path(os.devnull)):
        worker.load()
    care.keep()
    _close_output()

    def report(one: Report) -> None:
        if one.kind in ENDS:  # its files are complete when the driver hears of it
            _flush()
        outbox.send(asdict(one) | {"at": time.monotonic()})

    def run_next() -> bool:
        job = Job(**inbox.jobs.get())
        with _output_to(trial_folder(worker.setup.folder, job.number) / OUTPUT):
            is_fit = worker.run(job, report, inbox.stopped)
        outbox.send({"left": asdict(sum(traces, Traces()))})
        traces.clear()
        inbox.stopped.difference_update(job.trials)
        return is_fit

    try:
        while run_next():
            pass
    except BaseException as error:  # of a thread or a signal that a trial left
        outbox.send({"late": f"{one_line(error)}, raised after its end"})
    os._exit(0)


def _forked(hello: dict[str, Any], inbox: Inbox) -> Sequence[Peer]:
    """Forks the peers of this process, once it is settled."""
    meeting = Path(hello["setup"]["shared_data"]) / f"replicas-{uuid.uuid4().hex}"
    hello["meeting"] = str(meeting)

    def follow(rank: int, reports: int) -> None:
        inbox.close()
        _ending(_follow, hello, rank, reports)

    return fork_peers(len(hello["devices"]) - 1, follow)


def _follow(hello: Mapping[str, Any], rank: int, reports: int) -> None:
    """Takes part in the jobs of a worker, on a device of its own."""
    adopt_orphans(True)
    outbox, inbox = Outbox(reports), Inbox()
    inbox.listen()

    from runner.training.following import Following
    from runner.training.service import Traces

    following = Following(outbox, rank, len(hello["devices"]))
    traces: list[Traces] = []
    care = replace(_care(outbox, inbox, traces), training=following.training)
    worker = _prepared(hello, rank, care)
    _close_output()  # the worker itself has the same to say
    worker.load()
    care.keep()
    while True:
        job = following.begin(inbox.jobs.get())
        try:
            worker.follow(job)
        except BaseException as error:  # whatever a trial raises, it costs that trial only
            following.fail(error)
        worker.finish()
        outbox.send({"left": asdict(sum(traces, Traces()))})
        traces.clear()


def _prepared(hello: Mapping[str, Any], rank: int, care: "ProcessCare") -> "Worker":
    """Returns the worker of this process, with all that it needs imported. If there are several
    processes, they have met, and trained something."""
    import torch

    from runner.trial import Setup
    from runner.worker import Worker

    torch.set_num_threads(hello["threads"])
    devices = hello["devices"]
    worker = Worker(Setup.from_json(hello["setup"]), torch.device(devices[rank]), care)
    worker.prepare()
    if len(devices) > 1:
        from runner.evaluators.data_parallel import meet

        with _output_to(Path(os.devnull)):
            meet(Path(hello["meeting"]), rank, len(devices), worker.device)
    return worker


def _with_peers(
    care: "ProcessCare",
    peers: Sequence[Peer],
    outbox: Outbox,
    setup: Mapping[str, Any],
    traces: "list[Traces]",
) -> "ProcessCare":
    """Returns what this process does between trials, if peers take part in them."""
    from runner.training.leading import Leading

    leading = Leading(peers, outbox, Path(setup["folder"]), Path(setup["shared_data"]))

    def finish() -> bool:
        traces.append(leading.finish())
        return care.finish()

    return replace(care, finish=finish, training=leading.training)


def _care(outbox: Outbox, inbox: Inbox, traces: "list[Traces]") -> "ProcessCare":
    """Returns what this process does between trials; adds what they left to `traces`."""
    from runner.process_care import ProcessCare
    from runner.training.process_state import ProcessState
    from runner.training.service import Traces

    with _output_to(Path(os.devnull)):
        state = ProcessState()

    def finish() -> bool:
        traces.append(state.finish())
        if not (inbox.is_open() and outbox.is_open()):
            traces.append(Traces(remaining=("closed pipes",)))
        return not any(found.remaining for found in traces)

    def late(what: str) -> bool:
        traces.append(Traces(remaining=(what,)))
        return False

    return ProcessCare(
        keep=state.keep,
        restore=lambda: traces.append(state.restore()),
        renewed=lambda what: traces.append(Traces((what,))),
        finish=finish,
        late=late,
        loading=lambda begins: outbox.send({"loading": begins}),
    )


def _settle(hello: Mapping[str, Any]) -> None:
    """Takes over the folder, the environment and the search path of the driver."""
    keep_memory()
    with suppress(OSError):  # it was deleted
        os.chdir(hello["folder"])
    os.environ.clear()
    os.environ.update(hello["environment"])
    sys.path[:0] = [entry for entry in hello["path"] if entry not in sys.path]


def _close_output() -> None:
    """Sends what is written between jobs nowhere: nothing but what a trial left writes there."""
    with Path(os.devnull).open("wb") as nothing:
        for fd in (1, 2):
            os.dup2(nothing.fileno(), fd)


def keep_memory() -> None:
    """Makes the C library keep freed memory for the next step. Otherwise large tensors are mapped
    and unmapped in each step, and page faults dominate: 371 instead of 164 ms for four fused
    networks of 64 channels on images of 32 x 32."""
    if platform.libc_ver()[0] == "glibc":
        wanted = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}
        for parameter, value in wanted.items():
            ctypes.CDLL(None).mallopt(parameter, value)


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Redirects the output of a trial to a file, which is removed if it stays empty."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
    except OSError:  # a full disk, which the trial will report
        log = Path(os.devnull)
    saved = [copied(fd) for fd in range(3)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        _flush()
        for fd, copy in enumerate(saved):
            with suppress(OSError):  # a trial closed all files
                os.dup2(copy, fd)
                os.close(copy)
        with suppress(OSError):
            if log.is_file() and log.stat().st_size == 0:
                log.unlink()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # a trial closed its file
            stream.flush()
