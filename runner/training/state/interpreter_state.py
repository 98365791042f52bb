"""The settings of the operating system and of Python that a trial may leave changed."""

import decimal
import faulthandler
import gc
import inspect
import io
import locale
import logging
import multiprocessing
import os
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from runner.training.state.process_setting import ProcessSetting

SIGNALS = [getattr(signal, name) for name in (
    "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGCHLD",
    "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGSEGV", "SIGFPE", "SIGABRT", "SIGCONT", "SIGTSTP",
    "SIGXCPU", "SIGXFSZ", "SIGWINCH", "SIGBUS", "SIGILL", "SIGIO")]  # fmt: skip
LIMITS = sorted({getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")})
TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
STREAMS = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))
WATCHED = ("builtins", "sys", "os", "io", "time", "math", "random", "json", "copy", "warnings",
           "logging", "threading", "numpy", "numpy.random", "torch", "torch.nn",
           "torch.nn.functional", "torch.nn.init", "torch.optim", "torch.utils.data",
           "torch.autograd")  # fmt: skip
OF_DECIMALS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "flags", "traps")
DEBUGGERS = ("bdb", "pdb", "IPython", "pydevd", "_pydevd", "debugpy")  # their modules
LOADERS = "torch.utils.data"  # the only library whose handler may stay, since it is installed once

_handler_of: Callable[[int], Any] = inspect.unwrap(signal.getsignal)  # without the cost of enums


def interpreter_settings() -> list[ProcessSetting]:
    """Returns the settings of Python and of the process. The first are those without which the
    others could not be put back."""
    return [
        ProcessSetting("the trace function", sys.gettrace, sys.settrace, _of_debugger),
        ProcessSetting("the profile function", sys.getprofile, sys.setprofile),
        ProcessSetting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
        *_of_python(),
        *_of_streams(),
        *_of_system(),
    ]


def _of_debugger(before: object, now: object) -> bool:
    """Returns whether a debugger traces the process now, as `breakpoint()` makes it do."""
    return str(getattr(now, "__module__", "")).startswith(DEBUGGERS)


def _of_python() -> Iterator[ProcessSetting]:
    watched = [name for name in WATCHED if name in sys.modules]
    yield ProcessSetting("sys.modules", lambda: [sys.modules.get(name) for name in watched],
                         lambda before: _set_modules(watched, before))  # fmt: skip
    for name in ("path", "argv", "meta_path", "path_hooks"):
        yield _list_of(sys, name)
    for name in ("excepthook", "displayhook", "unraisablehook", "breakpointhook",
                 "dont_write_bytecode", "tracebacklimit"):  # fmt: skip
        yield _attribute(sys, name)
    yield _attribute(threading, "excepthook")
    yield ProcessSetting("tempfile.tempdir", lambda: tempfile.tempdir,
                         partial(setattr, tempfile, "tempdir"), _is_usual_folder)  # fmt: skip
    yield ProcessSetting("threads' trace function", threading.gettrace, threading.settrace)
    yield ProcessSetting("threads' profile function", threading.getprofile, threading.setprofile)
    yield ProcessSetting("the stack size of threads", threading.stack_size, threading.stack_size)
    yield ProcessSetting("the switch interval", sys.getswitchinterval, sys.setswitchinterval)
    yield ProcessSetting("the limit of digits", sys.get_int_max_str_digits,
                         sys.set_int_max_str_digits)  # fmt: skip
    yield ProcessSetting("decimal.DefaultContext", _decimal, _set_decimal)
    yield ProcessSetting("warnings filters", _warnings, _set_warnings)
    yield ProcessSetting("logging", _loggers, _set_loggers, _has_all)
    yield ProcessSetting("garbage collection", _gc, _set_gc)
    yield ProcessSetting("tracing of memory", tracemalloc.is_tracing, _set_tracemalloc)
    yield ProcessSetting("the timer of faulthandler", faulthandler.cancel_dump_traceback_later,
                         lambda none: None)  # fmt: skip
    yield ProcessSetting("the timeout of sockets", socket.getdefaulttimeout,
                         socket.setdefaulttimeout)  # fmt: skip
    yield ProcessSetting("the start method of processes",
                         lambda: multiprocessing.get_start_method(allow_none=True),
                         _set_start_method, lambda before, now: before is None)  # fmt: skip


def _of_streams() -> Iterator[ProcessSetting]:
    for name, fd, mode in STREAMS:
        yield ProcessSetting(f"sys.{name}", _stream_reader(name), _stream_setter(name, fd, mode),
                             _is_reopened)  # fmt: skip


def _of_system() -> Iterator[ProcessSetting]:
    yield ProcessSetting("the environment", _environment, _set_environment)
    yield ProcessSetting("the time zone", lambda: time.tzname, lambda before: time.tzset())
    yield ProcessSetting("the locale", lambda: locale.setlocale(locale.LC_ALL),
                         lambda before: locale.setlocale(locale.LC_ALL, before))  # fmt: skip
    yield ProcessSetting("the working directory", Path.cwd, os.chdir)
    yield ProcessSetting("the umask", _umask, os.umask)
    yield ProcessSetting("a timer", lambda: [any(signal.getitimer(which)) for which in TIMERS],
                         lambda before: [signal.setitimer(n, 0) for n in TIMERS])  # fmt: skip
    yield ProcessSetting("signal handlers", _handlers, _set_handlers, _same_handlers)
    yield ProcessSetting("blocked signals", partial(signal.pthread_sigmask, signal.SIG_BLOCK, ()),
                         partial(signal.pthread_sigmask, signal.SIG_SETMASK))  # fmt: skip
    yield ProcessSetting("resource limits", lambda: [resource.getrlimit(n) for n in LIMITS],
                         _set_limits)  # fmt: skip
    yield ProcessSetting("the priority", lambda: os.getpriority(os.PRIO_PROCESS, 0),
                         lambda before: os.setpriority(os.PRIO_PROCESS, 0, before))  # fmt: skip
    if hasattr(os, "sched_getaffinity"):
        yield ProcessSetting("the cores it may use", lambda: os.sched_getaffinity(0),
                             lambda before: os.sched_setaffinity(0, before))  # fmt: skip
    yield ProcessSetting("the user", lambda: (os.getuid(), os.geteuid(), os.getgid(), os.getegid()),
                         _set_user)  # fmt: skip
    yield ProcessSetting("the session", lambda: (os.getsid(0), os.getpgrp()), lambda before: None)


def _attribute(holder: Any, name: str) -> ProcessSetting:
    missing = object()

    def read() -> Any:
        return getattr(holder, name, missing)

    def restore(before: Any) -> None:
        delattr(holder, name) if before is missing else setattr(holder, name, before)

    return ProcessSetting(f"{holder.__name__}.{name}", read, restore)


def _list_of(holder: Any, name: str) -> ProcessSetting:
    """Returns a list that is restored in place, since others may hold it."""
    held: list[Any] = getattr(holder, name)

    def restore(before: list[Any]) -> None:
        held[:] = before
        setattr(holder, name, held)

    return ProcessSetting(f"{holder.__name__}.{name}", lambda: [*getattr(holder, name)], restore)


def _set_modules(names: Sequence[str], before: Sequence[Any]) -> None:
    sys.modules.update({n: m for n, m in zip(names, before, strict=True) if m is not None})


def _has_all(before: Mapping[Any, Any], now: Mapping[Any, Any]) -> bool:
    """Returns whether only new keys appeared."""
    return all(key in now and now[key] == value for key, value in before.items())


def _decimal() -> Mapping[str, Any]:
    found = {name: getattr(decimal.DefaultContext, name) for name in OF_DECIMALS}
    return {name: {**one} if isinstance(one, Mapping) else one for name, one in found.items()}


def _set_decimal(before: Mapping[str, Any]) -> None:
    for name, value in before.items():
        setattr(decimal.DefaultContext, name, value)


def _warnings() -> tuple[Any, ...]:
    return [*warnings.filters], warnings.filters, warnings.showwarning, warnings.formatwarning


def _set_warnings(before: tuple[Any, ...]) -> None:
    filters, held, warnings.showwarning, warnings.formatwarning = before
    module: Any = warnings
    module.filters = held
    warnings.resetwarnings()  # also tells the C code that the filters changed
    held[:] = filters


def _loggers() -> dict[str, tuple[Any, ...]]:
    found = {"": logging.root, **logging.root.manager.loggerDict}
    states = {
        name: (one, one.level, [*one.handlers], one.propagate, one.disabled, [*one.filters])
        for name, one in found.items()
        if "." not in name and isinstance(one, logging.Logger)
    }
    return {**states, "disable": (logging.root.manager.disable, logging.raiseExceptions)}


def _set_loggers(before: Mapping[str, tuple[Any, ...]]) -> None:
    for name, state in before.items():
        if name == "disable":
            disable, logging.raiseExceptions = state
            logging.disable(disable)
            continue
        one, level, handlers, one.propagate, one.disabled, filters = state
        one.setLevel(level)
        one.handlers[:], one.filters[:] = handlers, filters
        if name:
            logging.root.manager.loggerDict[name] = one


def _gc() -> tuple[Any, ...]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug(), [*gc.callbacks]


def _set_gc(before: tuple[Any, ...]) -> None:
    enabled, threshold, debug, callbacks = before
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*threshold)
    gc.set_debug(debug)
    gc.callbacks[:] = callbacks


def _set_tracemalloc(before: bool) -> None:
    (tracemalloc.start if before else tracemalloc.stop)()


def _set_start_method(before: str) -> None:
    multiprocessing.set_start_method(before, force=True)


def _stream_reader(name: str) -> Callable[[], Any]:
    def read() -> tuple[Any, bool]:
        stream = getattr(sys, name)
        return stream, stream is not None and stream.closed

    return read


def _stream_setter(name: str, fd: int, mode: str) -> Callable[[Any], None]:
    def restore(before: tuple[Any, bool]) -> None:
        stream, was_closed = before
        if stream is not None and stream.closed and not was_closed:
            stream = open(fd, mode, closefd=False)  # noqa: SIM115 - for the whole process
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, stream)

    return restore


def _environment() -> dict[bytes, bytes]:
    """Returns what `os.environ` holds, without the cost of decoding it."""
    return dict(vars(os.environ)["_data"])


def _is_reopened(before: tuple[Any, bool], now: tuple[Any, bool]) -> bool:
    """Returns whether a stream stands in for one that a trial closed."""
    (old, was_closed), (new, is_closed) = before, now
    return not was_closed and old is not None and old.closed and new is not None and not is_closed


def _is_usual_folder(before: str | None, now: str | None) -> bool:
    """Returns whether tempfile looked its folder up, which it does when it is first used."""
    return before is None and now in (os.environ.get("TMPDIR"), "/tmp")


def _set_environment(before: Mapping[bytes, bytes]) -> None:
    for name in os.environb.keys() - before.keys():
        del os.environb[name]
    os.environb.update(before)


def _umask() -> int:
    """Returns the umask, which only setting another one tells."""
    found = os.umask(0o077)
    os.umask(found)
    return found


def _handlers() -> list[Any]:
    return [_handler_of(number) for number in SIGNALS]


def _same_handlers(before: Sequence[Any], now: Sequence[Any]) -> bool:
    pairs = zip(before, now, strict=True)
    return all(old == new or _of_loaders(new) for old, new in pairs)


def _of_loaders(handler: object) -> bool:
    return str(getattr(handler, "__globals__", {}).get("__name__")).startswith(LOADERS)


def _set_handlers(before: Sequence[Any]) -> None:
    for number, handler in zip(SIGNALS, before, strict=True):
        if handler is not None and _handler_of(number) != handler:
            signal.signal(number, handler)


def _set_limits(before: Sequence[tuple[int, int]]) -> None:
    for which, limits in zip(LIMITS, before, strict=True):
        if resource.getrlimit(which) != limits:
            resource.setrlimit(which, limits)


def _set_user(before: tuple[int, int, int, int]) -> None:
    user, effective_user, group, effective_group = before
    os.seteuid(effective_user)
    os.setegid(effective_group)
    os.setreuid(user, effective_user)
    os.setregid(group, effective_group)
