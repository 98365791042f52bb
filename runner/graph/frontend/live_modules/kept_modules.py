"""Modules to keep as they are although they can be converted."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import final

from torch import nn

from runner.graph.frontend.live_modules.parametrizations import plain_class


@final
@dataclass(frozen=True)
class Kept:
    """The reason why a module is kept as it is; `whole` if its children are kept, too."""

    reason: str
    whole: bool = False


@final
class Keep:
    """A growing set of modules to keep. They are identified `by` an attribute of a module: their
    `id` or, if a model is built repeatedly, their `class_name`."""

    def __init__(self, by: Callable[[nn.Module], Hashable] = id) -> None:
        self._by = by
        self._kept: dict[Hashable, Kept] = {}

    @classmethod
    def classes(cls, names: Iterable[str], reason: str) -> "Keep":
        """Returns a set with all modules of classes of these names, see `class_name`."""
        keep = cls(class_name)
        keep._kept = dict.fromkeys(names, Kept(reason))
        return keep

    def __call__(self, module: nn.Module) -> Kept | None:
        """Returns why a module is kept; None if it is not."""
        return self._kept.get(self._by(module))

    def add(self, module: nn.Module, kept: Kept) -> bool:
        """Adds a module; returns whether the set changed."""
        known = self(module)
        if known is not None and (known.whole or not kept.whole):
            return False
        self._kept[self._by(module)] = kept
        return True


def class_name(module: nn.Module) -> str:
    """Returns the name of a module's class, which is stable if a function makes the class anew."""
    cls = plain_class(module)
    return f"{cls.__module__}:{cls.__qualname__}"
