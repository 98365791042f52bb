"""Modules that are to be kept as they are, although TorchScript reads them."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import final

from torch import nn

from runner.graph.frontend.parametrizations import plain_class


@final
@dataclass(frozen=True)
class Kept:
    """Why a module is to be kept as it is; `whole` if its children are, too."""

    reason: str
    whole: bool = False


@final
class Keep:
    """A growing set of modules to keep. They are told apart `by` what they are (`id`), or, where a
    model is built again and again, by the name of their class (`class_name`)."""

    def __init__(self, by: Callable[[nn.Module], Hashable] = id) -> None:
        self._by = by
        self._kept: dict[Hashable, Kept] = {}

    @classmethod
    def classes(cls, names: Iterable[str], reason: str) -> "Keep":
        """Keeps the modules of all classes of these names, as `class_name` gives them."""
        keep = cls(class_name)
        keep._kept = dict.fromkeys(names, Kept(reason))
        return keep

    def __call__(self, module: nn.Module) -> Kept | None:
        """Why a module is to be kept; None if it is not."""
        return self._kept.get(self._by(module))

    def add(self, module: nn.Module, kept: Kept) -> bool:
        """Have a module kept; returns whether that is new."""
        known = self(module)
        if known is not None and (known.whole or not kept.whole):
            return False
        self._kept[self._by(module)] = kept
        return True


def class_name(module: nn.Module) -> str:
    """The name of a module's class, which stays when a function makes the class anew."""
    cls = plain_class(module)
    return f"{cls.__module__}:{cls.__qualname__}"
