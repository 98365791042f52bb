"""Whose a function is: the user's own, which is read, or that of a library, which is called."""

import sys
from functools import cached_property
from importlib import metadata
from typing import Any, final

from torch import nn

from runner.graph.class_source.scopes import KNOWN


def is_standard(function: Any) -> bool:
    """Returns whether the code of a function is in Python's own library, which is not read."""
    home = getattr(function, "__globals__", {}).get("__name__") or ""
    return home.partition(".")[0] in sys.stdlib_module_names


@final
class Packages:
    """The packages whose functions are read: the model's, and those that are not installed."""

    def __init__(self, model: nn.Module) -> None:
        self._own = _top(type(model))

    def is_own(self, function: Any) -> bool:
        """Returns whether a function is read."""
        home = _top(function)
        if home in KNOWN:
            return False
        return home == self._own or not (self._is_in_folder(home) or home in self._installed)

    @staticmethod
    def _is_in_folder(home: str) -> bool:
        """Returns whether a package lies in one of the folders of installed packages."""
        file = getattr(sys.modules.get(home), "__file__", None) or ""
        return "site-packages" in file or "dist-packages" in file

    @cached_property
    def _installed(self) -> frozenset[str]:
        return frozenset(metadata.packages_distributions())


def _top(thing: Any) -> str:
    return (getattr(thing, "__module__", None) or "").partition(".")[0]
