"""Kernel: other kernel sizes of convolutions and pooling layers, with unchanged output sizes."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, final

from runner.errors import ConfigError, GraphError, as_yaml, few
from runner.graph.ir.argument import Argument
from runner.graph.ir.graph import Graph
from runner.graph.ir.signature import argument, signature
from runner.graph.ir.unit import Unit
from runner.graph.transforms.reconstruct import reconstruct_unit
from runner.mutators.selection import Match, Selective, check_listed

NAMED = 4  # modules without a kernel in an error message


@final
class Kernel(Selective):
    """A mutator that changes the kernel size of modules: an integer, or one for each dimension.

    Applies to all modules that are constructed with a `kernel_size`; other matches are ignored. The
    padding changes by half of the difference times the dilation, so that output sizes stay the
    same. A padding that is not a number ("same", None), or that a class computes itself
    (Conv2dSame), is kept.
    """

    def __init__(
        self, on: str = "", cls: str = "", op: str = "", *, kernel: Any, tie: bool = False
    ) -> None:
        super().__init__(on, cls, op, tie=tie)
        check_listed(kernel, self.word, _check)
        self.kernel = kernel

    def matches(self, graph: Graph) -> list[Match]:
        """Returns the places that have a kernel. Raises GraphError, naming some of them, if none
        has."""
        found = super().matches(graph)
        having = [match for match in found if _has_kernel(match.unit)]
        if found and not having:
            names = [f"{match.path} ({match.unit.name})" for match in found]
            verb, it = ("has", "it takes") if len(names) == 1 else ("have", "they take")
            raise GraphError(f"{few(names, NAMED)} {verb} no kernel: {it} no kernel_size.")
        return having

    def change(self, graph: Graph, match: Match) -> None:
        unit, path = match.unit, match.path
        assert unit.call is not None
        old = argument(unit.call, "kernel_size")
        new = self.decide(self.kernel, match)
        new = tuple(new) if isinstance(new, list | tuple) else new
        if _short(old) != _short(new):
            reconstruct_unit(graph, path, changes(path, unit, old, new))


def _has_kernel(unit: Unit) -> bool:
    return unit.call is not None and "kernel_size" in signature(unit.call.target).parameters


def _check(kernel: Any) -> None:
    sizes = kernel if isinstance(kernel, list | tuple) else [kernel]
    if not sizes or not all(type(size) is int and size > 0 for size in sizes):
        raise ConfigError(
            f"kernel: {as_yaml(kernel)} is not a size: give an integer of at least 1."
        )


def changes(path: str, unit: Unit, old: Argument, new: Argument) -> dict[str, Argument]:
    """Returns all arguments that change with the kernel size. Raises GraphError if no padding
    preserves the size of the output."""
    assert unit.call is not None
    known = signature(unit.call.target).parameters
    found: dict[str, Argument] = {"kernel_size": new}
    is_pool = "stride" in known and known["stride"].default is None
    if is_pool and argument(unit.call, "stride") is None:
        found["stride"] = old  # the meaning of None
    if "padding" not in known or unit.name.endswith("Same"):
        return found
    padding = argument(unit.call, "padding")
    if not _is_number(padding):
        return found
    dilation = argument(unit.call, "dilation") if "dilation" in known else 1
    given = [old, new, padding, dilation]
    count = max((len(value) for value in given if isinstance(value, tuple | list)), default=1)
    before, after, pads, spread = (_sizes(value, count) for value in given)
    wanted = [
        pad + Fraction(step * (k - j), 2)
        for pad, step, j, k in zip(pads, spread, before, after, strict=True)
    ]
    if any(pad < 0 or pad.denominator > 1 for pad in wanted):
        raise GraphError(
            f"{path} ({unit.name}): a kernel of {new} in place of {old} would need a padding of "
            f"{', '.join(map(str, wanted))} in place of {padding} to keep the size of its output."
        )
    whole = tuple(map(int, wanted))
    found["padding"] = whole[0] if len({*whole}) == 1 and type(padding) is int else whole
    return found


def _is_number(padding: Argument) -> bool:
    sizes = padding if isinstance(padding, tuple | list) else [padding]
    return all(type(size) is int for size in sizes)


def _short(sizes: Argument) -> Argument:
    """Returns a single number if all sizes are equal."""
    is_many = isinstance(sizes, tuple | list)
    return sizes[0] if is_many and len({*sizes}) == 1 else tuple(sizes) if is_many else sizes


def _sizes(value: Argument, count: int) -> Sequence[int]:
    """Returns a size for each dimension. Raises GraphError if their number differs."""
    if not isinstance(value, tuple | list):
        return (value,) * count
    if len(value) != count:
        raise GraphError(f"{value} are not sizes for {count} dimensions.")
    return tuple(value)
