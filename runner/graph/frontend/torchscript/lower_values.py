"""What lowering is made of: arguments for TorchScript's values, nodes for its nodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.frontend.literal import Literals
from runner.graph.frontend.torchscript.dtype_inference import OF_TENSORS, enumerated, part_of
from runner.graph.frontend.torchscript.schema import (
    TYPES,
    Formal,
    line_of,
    name_of,
)
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Node, Op, Value
from runner.graph.ir.unit import Ref

_MAY_BE_NUMBERED = frozenset({"IntType", "OptionalType", "ListType", "TupleType"})


@final
@dataclass(frozen=True)
class Place:
    """A module below the one a method belongs to, as an argument while lowering."""

    names: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return ".".join(self.names)


class Surroundings(Protocol):
    """What a method sees of the model it is part of."""

    literals: Literals

    def module(self, names: tuple[str, ...]) -> nn.Module | None:
        """The module at a path below; None when there is none."""

    def called(self, place: Place, method: str) -> Sequence[Formal]:
        """The arguments of a method that is called there, without self."""

    def returns(self, place: Place, method: str, node: Node) -> None:
        """A node that calls a method there."""

    def stands_for(self, place: Place) -> str:
        """The name of the attribute that a stand-in for a callable value replaces, or ""."""

    def read(self, place: Place, name: str) -> None:
        """An attribute that is read or written there."""

    def function(self, qualname: str) -> tuple[str, Sequence[Formal] | None]:
        """The target for a script function, and its arguments if they are known."""


class Steps:
    """Makes nodes of a function out of TorchScript's, and knows what stands for each value."""

    def __init__(self, graph: Any, into: Function, around: Surroundings) -> None:
        self.graph = graph
        self.into = into
        self.around = around
        self.env: dict[str, Any] = {}  # debug name -> argument
        self._enumerated: dict[str, str] | None = None

    def value(self, v: Any, wants: str = "") -> Argument:
        """The argument that stands for a TorchScript value."""
        found = self.env[v.debugName()]
        if wants and type(found) is int:
            return Ref(f"torch:{TYPES[wants][found]}")
        if type(found) is Place:
            raise GraphError(f"The module {found.path!r} is used as a value.")
        return found

    def bind(self, v: Any, argument: Any) -> None:
        self.env[v.debugName()] = argument

    def emit(
        self, n: Any, op: Op, target: str, args: Sequence[Argument] = (),
        kwargs: dict[str, Argument] | None = None, *, outputs: Sequence[Any] | None = None,
    ) -> Node:  # fmt: skip
        """A node in place of a TorchScript node, with its outputs."""
        values = [*n.outputs()] if outputs is None else outputs
        names = [name_of(v.debugName()) for v in values]
        node = self.into.create(op, target, args, kwargs, outputs=names, line=line_of(n))
        for v, output in zip(values, node.outputs, strict=True):
            self.env[v.debugName()] = output
        return node

    def step(self, n: Any, op: Op, target: str, *args: Argument) -> Value:
        """A node on the way to that of a TorchScript node, with an output of its own."""
        return self.into.create(op, target, args, line=line_of(n)).output

    def call(self, n: Any, target: str, *args: Argument, **kwargs: Argument) -> Node:
        return self.emit(n, "call_function", target, args, kwargs)

    def arguments(
        self, formals: Sequence[Formal], values: Sequence[Any]
    ) -> tuple[list[Argument], dict[str, Argument]]:
        """Arguments without those equal to their default, by name once one was left out."""
        args: list[Argument] = []
        kwargs: dict[str, Argument] = {}
        skipped = False
        for declared, v in zip(formals, values, strict=False):
            given = self.env[v.debugName()]
            if declared.has_default and _is_usual(given, declared):
                skipped = True
                continue
            argument = one_for_all(self.value(v, declared.wants), declared.size)
            if skipped or declared.by_name:
                kwargs[declared.name] = argument
            else:
                args.append(argument)
        args += [self.value(v) for v in values[len(formals) :]]
        return args, kwargs

    def positional(self, formals: Sequence[Formal], values: Sequence[Any]) -> list[Argument]:
        """Arguments for a method of Python's own types, which knows no names, without the last
        ones if they are equal to their default."""
        count = len(values)
        while count and (declared := formals[count - 1]).has_default:
            if not same_constant(self.env[values[count - 1].debugName()], declared.default):
                break
            count -= 1
        return [self.value(v) for v in values[:count]]

    def constant(self, v: Any) -> tuple[bool, Any]:
        """Whether a value is a plain constant, and which."""
        found = self.env.get(v.debugName(), self)
        return type(found) in (type(None), bool, int, float, str), found

    # Types that are numbers to TorchScript

    def wanted(self, v: Any) -> str:
        merged = v.node().kind() in ("prim::If", "prim::Loop")
        return self.kind(v) if merged else ""

    def kind(self, v: Any, place: int | None = None) -> str:
        """ "ScalarType" or "Layout" for a value that is one, or a list of them, or that has one at
        a place, as a tuple; else ""."""
        node = v.node().kind()
        if node in OF_TENSORS:
            return OF_TENSORS[node]
        if node == "prim::Constant" or v.type().kind() not in _MAY_BE_NUMBERED:
            return ""
        if self._enumerated is None:
            self._enumerated = enumerated(self.graph, self._kind_of_attribute)
        return self._enumerated.get(v.debugName() if place is None else part_of(v, place), "")

    def kind_among(self, n: Any) -> str:
        """The kind of the first input of a node that has one."""
        return next(filter(None, map(self.kind, n.inputs())), "")

    def _kind_of_attribute(self, n: Any) -> str:
        names = [n.s("name")]
        owner = n.inputsAt(0)
        while owner.node().kind() == "prim::GetAttr":
            names.append(owner.node().s("name"))
            owner = owner.node().inputsAt(0)
        module = self.around.module(tuple(reversed(names[1:])))
        value = getattr(module, names[0], None)
        if isinstance(value, torch.dtype):
            return "ScalarType"
        return "Layout" if isinstance(value, torch.layout) else ""


def _is_usual(given: Argument, declared: Formal) -> bool:
    """Whether an argument is the default, also as a list that TorchScript made of one number."""
    alone = one_for_all(given, declared.size)
    return same_constant(given, declared.default) or same_constant(alone, declared.default)


def same_constant(given: Argument, default: Any) -> bool:
    """Whether an argument is a constant, and equal to a default."""
    if type(given) in (list, tuple) and type(default) in (list, tuple):
        return len(given) == len(default) and all(map(same_constant, given, default))
    return type(given) is type(default) and bool(given == default)


def one_for_all(argument: Argument, size: int) -> Argument:
    """The number that TorchScript made a list of, as often as a schema wants it."""
    if type(argument) is not list or not argument or len(argument) != size:
        return argument
    first, *others = argument
    same = all(type(first) is int and same_constant(other, first) for other in others)
    return first if same else argument


def is_number(argument: Argument, number: int) -> bool:
    return type(argument) is int and argument == number
