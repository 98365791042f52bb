"""What a trial may leave running or open in a process: threads, child processes, files."""

import _thread
import contextlib
import ctypes
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import final

LIBC = ctypes.CDLL(None)  # what is loaded in this process
PR_SET_PDEATHSIG = 1  # Linux: https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html
PR_SET_CHILD_SUBREAPER = 36  # man 2 prctl
ROUNDS = 10  # of killing: a process may start another while it is killed
PATIENCE = 0.5  # seconds in which threads that are about to end may do so
FILES = 256  # open files that a trial may leave, since libraries open some when they are first used
THREADS_OF_LIBRARIES = ("tqdm", "torch")  # they wait for work, and there is one of them
CHILDREN_OF_LIBRARIES = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver",
                         b"torch/_inductor/compile_worker")  # fmt: skip


@final
class Leftovers:
    """Finds what was not there when `keep` was called, and ends what can be ended."""

    def __init__(self) -> None:
        self._threads: set[threading.Thread] = set()
        self._count = 0
        self._children: set[int] = set()
        self._files = 0
        self.keep()

    def keep(self) -> None:
        """Takes what is there now for what is to be there."""
        self._threads, self._count = {*threading.enumerate()}, _thread._count()
        self._children = set(children()) if _has_children() else set()
        self._files = _open_files()

    def end_children(self) -> list[str]:
        """Kills the processes that a trial started; returns what they are, for the record."""
        alive: set[int] = set()
        for _ in range(ROUNDS):
            left = self._new_children()
            if not left:
                break
            alive.update(pid for pid in left if not _is_dead(pid))
            end_all(left)
            for pid in left:  # also those that ended, and were never asked for
                with contextlib.suppress(OSError):
                    os.waitpid(pid, 0)
        return [_counted(len(alive), "child process", "child processes")] if alive else []

    def _new_children(self) -> list[int]:
        if not _has_children():
            return []
        return [pid for pid in children() if pid not in self._children and not _of_library(pid)]

    def remaining(self) -> list[str]:
        """Returns what cannot be ended: threads, and many open files."""
        found = []
        if _thread._count() > self._count:
            gc.collect()  # a pool that nobody holds ends its threads
            end = time.monotonic() + PATIENCE
            while (names := self._new_threads()) and time.monotonic() < end:
                time.sleep(0.005)
            found += names
        files = _open_files() - self._files
        return found + ([_counted(files, "open file", "open files")] if files > FILES else [])

    def _new_threads(self) -> list[str]:
        """Returns the threads of trials; those that `threading` does not know have no name."""
        new = [one for one in threading.enumerate() if one not in self._threads]
        started = [one for one in new if not isinstance(one, threading._DummyThread)]
        nameless = _thread._count() - self._count - len(started)
        named = [f"the thread {one.name}" for one in started if not _is_of_library(one)]
        return named + ["a thread"] * nameless


def adopt_orphans(adopt: bool) -> None:
    """Makes Linux give this process the children of its children that end, so that none
    escapes."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_CHILD_SUBREAPER, int(adopt))


def die_with_parent(parent: int) -> None:
    """Makes Linux kill this process with its parent, even during a system call."""
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def children(parent: int | str = "self") -> list[int]:
    """Returns the processes that one started and has not waited for; none where Linux's `/proc`
    is missing."""
    tasks = Path(f"/proc/{parent}/task")
    found: list[int] = []
    with contextlib.suppress(OSError):  # it has ended
        for task in tasks.iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
    return found


def descendants(parent: int) -> list[int]:
    """Returns the children of a process, their children, and so on."""
    found = children(parent)
    for child in found:  # which grows
        found += children(child)
    return found


def marked(marks: Collection[str]) -> list[int]:
    """Returns the processes of this user that have one of some texts in their environment."""
    wanted = [mark.encode() for mark in marks]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes()
            if any(mark in environment for mark in wanted):
                found.append(int(folder.name))
    return found


def end_all(processes: Collection[int]) -> None:
    """Kills processes, some of which may have ended."""
    for pid in processes:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except (ChildProcessError, AttributeError):
        return False
    return True


def _is_dead(pid: int) -> bool:
    return process_status(pid) in ("Z", "X", "")


def process_status(pid: int) -> str:
    """Returns the letter of a process's status, as in man 5 proc; "" if it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def ending(code: int) -> str:
    """Returns how a process has ended, by its exit code, for a sentence."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
    why = " (manually, or by the system for lack of memory)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{why}"


def _of_library(pid: int) -> bool:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return any(name in command for name in CHILDREN_OF_LIBRARIES)
    return False


def _is_of_library(thread: threading.Thread) -> bool:
    return type(thread).__module__.partition(".")[0] in THREADS_OF_LIBRARIES


def _open_files() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count, after each trial
    except OSError:
        return 0


def _counted(number: int, one: str, many: str) -> str:
    return f"a {one}" if number == 1 else f"{number} {many}"


def is_same_file(one: int, other: int) -> bool:
    """Returns whether two file descriptors stand for one file; False if one of them is closed."""
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False
