"""Containers of units whose children a function calls or reads one by one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from runner.graph.ir.function import Function

# From a child inwards: for each step the function that takes it, and its second argument
ChildSteps = tuple[tuple[str, str | int], ...]
Mentions = Mapping[str, Mapping[str, Sequence[str]]]


@final
@dataclass(frozen=True, slots=True)
class IteratedContainer:
    """A container of a unit whose children a loop may iterate over: all, in order.

    `inner` are paths inside a child, with the steps that lead there from any child.
    """

    path: str
    is_dict: bool
    names: tuple[str, ...]
    inner: tuple[tuple[str, ChildSteps], ...] = ()


def mentions(function: Function) -> Mentions:
    """Returns the containers of several children that a function calls or reads, by path, each with
    the names of the children in order, and the paths inside these."""
    found: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for node in function.block.walk():
        if node.op in ("call_module", "get_attr") and node.path:
            steps = node.path.split(".")
            for depth, name in enumerate(steps):
                found[".".join(steps[:depth])][name][".".join(steps[depth + 1 :])] = None
    return {
        path: {name: [*inner] for name, inner in children.items()}
        for path, children in found.items()
        if len(children) > 1
    }
