"""The Ctrl-C of a user, which counts even where a library makes an error of its own of it."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from runner.errors import Interrupted

_noted: ContextVar[Sequence[int]] = ContextVar("noted", default=())


def stops() -> Sequence[int]:
    """Returns the numbers of the signals by which the user has stopped the program so far."""
    return _noted.get()


@contextmanager
def noting_stops() -> Iterator[None]:
    """Notes each Ctrl-C, which raises Interrupted, as none of a trial's errors does: a library that
    one interrupts may turn it into an error of its own, such as numpy when it is imported."""
    noted: list[int] = []
    _noted.set(noted)
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler or (
        threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(number: int, _: FrameType | None) -> None:
        noted.append(number)
        raise Interrupted(number)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
