"""The state of a process that runs trials: kept before a trial, and put back after it."""

import contextlib
import os
import sys
from typing import Any, final

from torch import nn

from runner.data.held import HeldData
from runner.training.leftovers import Leftovers
from runner.training.service import Traces
from runner.training.state.interpreter_state import interpreter_settings
from runner.training.state.patches import Namespaces
from runner.training.state.process_setting import UNREADABLE
from runner.training.state.torch_state import torch_settings
from runner.training.state.watched import ModuleOwner, owner_of

# What the import of a library in a trial also changes, which is nothing to tell a user about.
BY_IMPORTS = {"tempfile.tempdir", "warnings filters", "the environment", "signal handlers"}


@final
class ProcessState:
    """Keeps the state of this process, and puts it back after a trial changed it.

    The settings are tables: `interpreter_state.py` and `torch_state.py`. What was replaced in
    modules is in `patches.py`, and threads, children and files are in `leftovers.py`.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._namespaces = Namespaces()
        found = [*interpreter_settings(), *torch_settings()]
        self._settings = [one for one in found if one.value() is not UNREADABLE]
        self._reads = [one.read for one in self._settings]
        self._values: list[Any] = []
        self._modules = 0  # how many are imported
        self._leftovers = Leftovers()
        self._held: dict[str, HeldData] = {}  # by the modules of users
        self.keep()

    def keep(self) -> None:
        """Takes the state of now for the one to be restored."""
        self._namespaces.keep()
        self._values = [one.value() for one in self._settings]
        self._modules = len(sys.modules)
        self._leftovers.keep()
        users = self._namespaces.users
        if [*self._held] != users or self._edited():
            self._held = {name: _held_by(name) for name in users}

    def restore(self) -> Traces:
        """Puts back what has changed. Ends a process that a trial forked and that came back."""
        if os.getpid() != self._process:
            os._exit(1)
        restored = self._namespaces.put_back()
        remaining: list[str] = []
        if not self._is_as_kept():
            self._put_back(restored, remaining)
        remaining += self._changed_tensors()
        with contextlib.suppress(OSError):
            restored += self._leftovers.end_children()
        if len(sys.modules) > self._modules:
            self._modules = len(sys.modules)
            restored = [name for name in restored if name not in BY_IMPORTS]
        return Traces((*restored,), (*remaining,))

    def _is_as_kept(self) -> bool:
        """Returns whether no setting has changed; fast, since that is how most trials end."""
        try:
            return [read() for read in self._reads] == self._values
        except Exception:  # a setting that cannot be read any more
            return False

    def _put_back(self, restored: list[str], remaining: list[str]) -> None:
        """Puts the settings back one by one, and adds their names to one of the lists."""
        for i, (one, before) in enumerate(zip(self._settings, self._values, strict=True)):
            now = one.value()
            if one.is_kept(before, now):
                self._values[i] = now  # such as another module that was imported
                continue
            back = one.put_back(before)
            (restored if back else remaining).append(one.name)

    def _changed_tensors(self) -> list[str]:
        """Returns the modules of users whose tensors or arrays a trial edited. The new values are
        the former ones of the next trial, if this process is to run it."""
        edited = self._edited()
        self._held |= {name: _held_by(name) for name in edited}
        return [f"edited tensors in {name}" for name in edited]

    def _edited(self) -> list[str]:
        return [name for name, one in self._held.items() if not one.contents_are_unchanged()]

    def finish(self) -> Traces:
        """Looks for threads and open files at the end of a job, whose state was restored."""
        return Traces(remaining=(*self._leftovers.remaining(),))


def _held_by(name: str) -> HeldData:
    """Returns what a user's module holds: in containers, in models, and in objects of users."""
    return HeldData(vars(sys.modules[name]), is_open=_is_of_user)


def _is_of_user(one: object) -> bool:
    return isinstance(one, nn.Module) or owner_of(type(one).__module__) is ModuleOwner.USER
