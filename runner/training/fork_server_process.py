"""The process of a fork server: imports what workers need, then does what the driver asks."""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any, Final, final

from runner.training.leftovers import (
    adopt_orphans,
    children,
    die_with_parent,
    end_all,
    process_status,
)
from runner.training.process import main as work

LONGEST = 1 << 20  # bytes of a message
CHECK = 1.0  # seconds between two looks at the parent
OFTEN = 10  # rounds of killing what a worker left: a process may start another while it is killed
NEEDED: Final = ("torch", "runner.worker", "runner.training.process_state")


def main(fd: int) -> None:
    """Forks workers until the driver ends, or closes its socket. Computes nothing itself: threads,
    and the state of a GPU, would not survive a fork."""
    gc.disable()  # imports make many objects, and no garbage
    parent = os.getppid()
    die_with_parent(parent)
    adopt_orphans(True)
    driver = socket.socket(fileno=fd)
    hello = json.loads(driver.recv(LONGEST))
    sys.path[:0] = [entry for entry in hello["path"] if entry not in sys.path]
    for name in NEEDED:
        importlib.import_module(name)
    for name in hello["modules"]:
        with contextlib.suppress(Exception, SystemExit):  # the driver will find out, and report it
            importlib.import_module(name)
    gc.freeze()  # so that collections in workers do not touch, and copy, the memory they share
    gc.enable()
    Workers(driver, parent if hello["wakes"] else None).serve()


@final
class Workers:
    """The workers of a driver, by the number that it gave them."""

    def __init__(self, driver: socket.socket, parent: int | None) -> None:
        """`parent` is the process that goes on if it is stopped; None: none does."""
        self._driver = driver
        self._parent = parent
        self._pids: dict[int, int] = {}
        self._codes: dict[int, int] = {}

    def serve(self) -> None:
        """Answers the driver until it ends; then ends all workers."""
        with contextlib.suppress(ConnectionError):
            while True:
                self._await_message()
                text, fds, *_ = socket.recv_fds(self._driver, LONGEST, 4)
                if not text:
                    break
                self._answer(json.loads(text), fds)
        for number in [*self._pids]:
            self._release(number)
        os._exit(0)

    def _await_message(self) -> None:
        if self._parent is None:
            return
        while not select.select([self._driver], [], [], CHECK)[0]:
            if process_status(self._parent) == "T":
                os.kill(self._parent, signal.SIGCONT)

    def _answer(self, message: dict[str, Any], fds: list[int]) -> None:
        if "fork" in message:
            self._fork(message["fork"], fds)
        elif "code" in message:
            number = message["code"]
            reply = {"of": number, "code": self._code(number)}
            self._driver.send(json.dumps(reply).encode())
        else:
            self._release(message["release"])

    def _fork(self, number: int, fds: list[int]) -> None:
        """Forks a worker with its standard input, its pipe for reports, and its output."""
        me = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # too many processes; the driver hears of it as of any crash
            self._codes[number] = 1
            pid = -1
        if pid == 0:
            _be_worker(me, self._driver, fds)
        for fd in fds:
            os.close(fd)
        if pid > 0:
            self._pids[number] = pid

    def _code(self, number: int) -> int | None:
        """Returns the exit code of a worker; None if it is alive. It stays a zombie, so that its
        number is not given to another process, until it is released."""
        if number not in self._codes and number in self._pids:
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            found = os.waitid(os.P_PID, self._pids[number], how)
            if found is None:
                return None
            is_code = found.si_code == os.CLD_EXITED
            self._codes[number] = found.si_status if is_code else -found.si_status
        return self._codes.get(number, 1)

    def _release(self, number: int) -> None:
        """Ends a worker with its group, and all that it and other dead ones have left behind."""
        pid = self._pids.pop(number, None)
        self._codes.pop(number, None)
        if pid is not None:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):  # it may not have made its own group yet
                os.kill(pid, signal.SIGKILL)
            _wait(pid)
        for _ in range(OFTEN):
            strays = [one for one in children() if one not in self._pids.values()]
            if not strays:
                return
            end_all(strays)
            for stray in strays:
                _wait(stray)


def _wait(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.waitpid(pid, 0)


def _be_worker(parent: int, driver: socket.socket, fds: list[int]) -> None:
    """Turns a forked process into a worker, with its own session, and runs it to its end."""
    try:
        os.setsid()
        die_with_parent(parent)
        driver.close()
        jobs, reports, *outputs = fds
        for fd, copy in zip((0, 1, 2), (jobs, *outputs), strict=True):
            os.dup2(copy, fd)
            os.close(copy)
        work(reports)
    finally:
        os._exit(1)
