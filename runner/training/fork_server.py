"""A fork server: a process that imports once what workers need, and then forks them.

To fork a worker takes milliseconds, to start one takes the import of torch. Linux only: elsewhere
forks are not safe, or a process cannot be waited for by another than its parent.
"""

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, final

from runner.another_process import search_path, starting
from runner.training.leftovers import process_status

USER = "runner.training.local.Local"  # the service that forks its workers
PATIENCE = 5.0  # seconds that the server may take to answer, or to end
CHECK = 1.0  # seconds between two looks at the status of the server
KILLED = -signal.SIGKILL


def environment(threads: int) -> dict[str, str]:
    """Returns the variables of a worker, of which libraries read some when they are imported."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


@final
class ForkServer:
    """The server as its driver sees it. It ends with the driver, and its workers end with it."""

    def __init__(
        self, threads: int, modules: Sequence[str] = (), *, wakes_parent: bool = False
    ) -> None:
        """Starts a server for workers of so many threads, which imports `modules`, too.

        With `wakes_parent`, this process goes on soon if it is stopped; otherwise Ctrl-Z holds.
        """
        self.threads = threads
        self._numbers = itertools.count()
        self.has_forked = False  # whether there has been a worker, as far as is known
        self._checked = 0.0
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(PATIENCE)
        with theirs:
            self._process = subprocess.Popen(
                starting(f"{__package__}.fork_server_process", theirs.fileno()),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # so that Ctrl-C reaches the driver only
                env=environment(threads),
            )
        self._send({"path": search_path(), "modules": [*modules], "wakes": wakes_parent})

    @staticmethod
    def is_possible() -> bool:
        """Returns whether this system has what a fork server needs."""
        try:
            os.close(os.pidfd_open(os.getpid()))
        except (AttributeError, OSError):  # no Linux, or an old one
            return False
        return True

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, jobs: int, reports: int) -> "Forked":
        """Forks a worker, as soon as the imports are done, with the ends of two pipes."""
        number = next(self._numbers)
        with contextlib.ExitStack() as opened:
            fds = [jobs, reports, *(_output(fd, opened) for fd in (1, 2))]
            self._send({"fork": number}, fds)
        return Forked(self, number)

    def code(self, number: int) -> int | None:
        """Returns the exit code of a worker; None if it is alive."""
        self._wake()
        self._send({"code": number})
        try:
            while answer := json.loads(self._socket.recv(1 << 10) or b"null"):
                if answer["of"] == number:
                    return answer["code"]  # type: ignore[no-any-return]
        except OSError:  # a timeout is one, too
            self._kill()
        return KILLED  # it ends with the server

    def release(self, number: int) -> None:
        """Ends a worker with all that it has left behind."""
        self._send({"release": number})

    def look(self, now: float) -> None:
        """Looks at the server from time to time: one that a trial stopped goes on."""
        if now >= self._checked + CHECK:
            self._checked = now
            self._wake()

    def _wake(self) -> None:
        if process_status(self._process.pid) == "T":
            self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends the server with all that its workers have left behind. May be called twice."""
        self._socket.close()
        if self.has_forked:
            self._wake()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
        self._kill()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _send(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        with contextlib.suppress(OSError):  # it has ended, which is noticed when it is looked at
            socket.send_fds(self._socket, [json.dumps(message).encode()], fds)


def _output(fd: int, opened: contextlib.ExitStack) -> int:
    """Returns a file descriptor, or one of nothing if it is closed."""
    try:
        os.fstat(fd)
    except OSError:
        return opened.enter_context(Path(os.devnull).open("wb")).fileno()
    return fd


@final
class Forked:
    """A worker that was forked, with the methods of `subprocess.Popen` that a driver needs."""

    def __init__(self, server: ForkServer, number: int) -> None:
        self.pid: int | None = None  # None: not known yet
        self._server = server
        self._number = number
        self._code: int | None = None
        self._fd: int | None = None  # readable once the process has ended

    @property
    def origin(self) -> object:
        """What has ended if this process has: the whole server, or the process alone."""
        return self if self._server.is_alive else self._server

    def found(self, pid: int) -> None:
        """Takes the number of the process, which it tells itself."""
        if self.pid is None:
            self.pid = pid
            self._server.has_forked = True
            with contextlib.suppress(OSError):  # the server has died, and nobody waits for it
                self._fd = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Returns the exit code; None if the process is alive, or is to be forked."""
        if self._code is None:
            if not self._server.is_alive:
                self._code = KILLED
            elif self._has_ended(0):
                self._code = self._server.code(self._number)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end, and returns the exit code. Raises TimeoutExpired."""
        if self._fd is None and self._server.is_alive:
            self._code = self._server.code(self._number)
        elif self._code is None:
            self._has_ended(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        return code

    def _has_ended(self, timeout: float | None) -> bool:
        if self._fd is None:
            return False
        waiting = select.poll()
        waiting.register(self._fd, select.POLLIN)
        return bool(waiting.poll(None if timeout is None else 1000 * timeout))

    def close(self) -> None:
        """Ends the process, if it has not ended, with all that it left behind."""
        self._server.release(self._number)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


ahead: ContextVar[ForkServer | None] = ContextVar("ahead", default=None)  # see `head_start`


@contextlib.contextmanager
def head_start(training: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Starts the server of the training service that the block will make, if it is one that
    forks its workers: its imports take as long as those of the driver, and run beside them.

    `training` is the config node of the service, and `nodes` are those whose targets the workers
    need. Nothing was checked, so only modules of this package are imported.
    """
    threads: Any = training.get("threads")
    is_wanted = training["_target_"] == USER and isinstance(threads, int)
    if not is_wanted or not ForkServer.is_possible():
        yield
        return
    server = ForkServer(threads, modules_of(nodes))
    token = ahead.set(server)
    try:
        yield
    finally:
        ahead.reset(token)
        server.close()


def modules_of(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the modules of this package that config nodes name."""
    targets = [str(node["_target_"]) for node in nodes]
    return [name.rpartition(".")[0] for name in targets if name.startswith("runner.")]
