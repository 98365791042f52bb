"""What a trial leaves to happen after its end."""

import _thread
import atexit
import ctypes
import signal
import threading
import time


class LateError(BaseException):
    """Raised by nobody who is there any more."""


def _raise(*_):
    raise LateError("by a trial that has ended")


def _into_main():
    main = ctypes.c_ulong(threading.main_thread().ident)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(main, ctypes.py_object(LateError))


def _soon(action):
    """Runs it in a thread, while the worker looks for threads."""
    threading.Timer(0.2, action).start()


def _signals():
    """A handler raises in the main thread, whatever it does."""
    signal.signal(signal.SIGUSR1, _raise)
    _soon(lambda: signal.raise_signal(signal.SIGINT))


RAISED = {  # what a worker is replaced for
    "an exception of a thread": lambda: _soon(_into_main),
    "an interrupt of a thread": lambda: _soon(_thread.interrupt_main),
    "a signal of a thread": _signals,
}
NOTHING = {  # what does not happen
    "something at exit": lambda: atexit.register(_raise),
    "a wait of a thread": lambda: threading.Thread(target=time.sleep, args=(0.2,)).start(),
}
NEVER = {"an alarm that is near": lambda: (signal.siginterrupt(signal.SIGALRM, True),
                                           signal.signal(signal.SIGALRM, signal.SIG_IGN),
                                           signal.setitimer(signal.ITIMER_REAL, 0.02))}  # fmt: skip
