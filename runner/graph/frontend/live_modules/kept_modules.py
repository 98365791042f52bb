"""Modules to keep as they are although they can be converted, and readings of modules that are
distrusted."""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
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
    """A growing set of modules to keep, and of front ends whose readings of a module compute
    something else. Modules are identified `by` an attribute of a module: their `id` or, if a model
    is built repeatedly, their `class_name`."""

    def __init__(self, by: Callable[[nn.Module], Hashable] = id) -> None:
        self._by = by
        self._kept: dict[Hashable, Kept] = {}
        self._distrusted: dict[Hashable, dict[str, str]] = defaultdict(dict)

    @classmethod
    def classes(cls, found: Iterable[tuple[str, Collection[str]]], reason: str) -> "Keep":
        """Returns a set by the names of classes, see `class_name`, each with the front ends that
        are distrusted; none means to keep modules of the class."""
        keep = cls(class_name)
        for name, frontends in found:
            if frontends:
                keep._distrusted[name] |= dict.fromkeys(frontends, reason)
            else:
                keep._kept[name] = Kept(reason)
        return keep

    def __call__(self, module: nn.Module) -> Kept | None:
        """Returns why a module is kept; None if it is not."""
        return self._kept.get(self._by(module))

    def distrusted(self, module: nn.Module) -> Mapping[str, str]:
        """Returns what is wrong with readings of a module, by front end."""
        return self._distrusted.get(self._by(module), {})

    def distrust(self, module: nn.Module, frontend: str, problem: str) -> bool:
        """Adds what is wrong with a reading of a module; returns whether the set changed."""
        known = self._distrusted[self._by(module)]
        if frontend in known:
            return False
        known[frontend] = problem
        return True

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
