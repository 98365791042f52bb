"""Expressions and statements of constructors, before classes are merged.

Expressions are arguments as in `ir/argument.py`, with more kinds of leaves: `New` for an object of
a class of the file, `LocalName` for an object with a name in the constructor, and `ParameterSlot`
for a parameter of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, final

from runner.graph.ir.node import Argument
from runner.graph.ir.unit import Call

ExpressionTree = Any  # an argument, with the leaves below


@final
@dataclass(frozen=True, slots=True, eq=False)
class New:
    """An object of a class of the file, with its constructor arguments by name."""

    cls: Any  # runner.graph.codegen.classes.classes.Class
    args: dict[str, ExpressionTree]


@final
@dataclass(frozen=True, slots=True)
class LocalName:
    """An expression of the constructor, for example `self.conv`."""

    text: str


@final
@dataclass(frozen=True, slots=True)
class ParameterSlot:
    """A parameter of the constructor."""

    name: str


@final
@dataclass(slots=True)
class Statement:
    """A statement of a constructor of some `kind`; `name` is the attribute that it sets."""

    kind: str  # super, parameter, buffer, attribute, child, line
    name: str
    tree: ExpressionTree = None
    options: dict[str, Argument] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True)
class Repeat:
    """A number of equal consecutive children of a container."""

    tree: ExpressionTree
    count: int
    starred: bool = True  # whether there are other children


def key_of(tree: ExpressionTree) -> Any:
    """Returns a hashable key that is equal for equal trees with equal types."""
    kind = type(tree)
    if kind is Call:
        kwargs = tuple([(name, key_of(value)) for name, value in tree.kwargs.items()])
        return tree.target, tuple([key_of(item) for item in tree.args]), kwargs
    if kind is tuple or kind is list:
        return kind, tuple([key_of(item) for item in tree])
    if kind is dict:
        return kind, tuple([(key_of(k), key_of(v)) for k, v in tree.items()])
    if kind is New:
        return id(tree.cls), tuple([(name, key_of(value)) for name, value in tree.args.items()])
    if kind is slice:
        return kind, key_of((tree.start, tree.stop, tree.step))
    return (kind, repr(tree)) if kind is float or kind is complex else (kind, tree)


def compress(tree: ExpressionTree) -> ExpressionTree:
    """Returns the tree with three or more equal consecutive children of a container as one."""
    kind = type(tree)
    if kind is Call:
        args = tuple([compress(item) for item in tree.args])
        if tree.target == "torch.nn:Sequential":
            args = tuple(_runs(args))
        elif tree.target == "torch.nn:ModuleList" and args and type(args[0]) is list:
            runs = _runs(args[0])
            alone = len(runs) == 1 and type(runs[0]) is Repeat
            args = (Repeat(runs[0].tree, runs[0].count, False) if alone else runs,)
        kwargs = {name: compress(value) for name, value in tree.kwargs.items()}
        return Call(tree.target, args, kwargs)
    if kind is dict:
        return {name: compress(value) for name, value in tree.items()}
    if kind is list or kind is tuple:
        return kind(compress(item) for item in tree)
    return tree


def _runs(items: Sequence[ExpressionTree]) -> list[ExpressionTree]:
    runs: list[ExpressionTree] = []
    for _, group in groupby(items, key_of):
        same = [*group]
        is_made = type(same[0]) in (Call, New)
        runs += [Repeat(same[0], len(same))] if len(same) > 2 and is_made else same
    return runs


_WITHOUT_WEIGHTS = ("Identity", "ReLU", "ReLU6", "GELU", "SiLU", "Sigmoid", "Tanh", "Softmax",
                    "Hardswish", "LeakyReLU", "Dropout", "MaxPool2d", "AvgPool2d", "Flatten",
                    "AdaptiveAvgPool2d", "BatchNorm2d", "LayerNorm", "GroupNorm")  # fmt: skip


def draws_nothing(tree: ExpressionTree) -> bool:
    """Returns whether constructing an object draws no random numbers, so order is irrelevant."""
    if type(tree) is New:
        return False
    if type(tree) is not Call:
        return True
    module, _, name = tree.target.partition(":")
    plain = name in _WITHOUT_WEIGHTS or name in ("Sequential", "ModuleList")
    return tree.target == "super" or (
        module == "torch.nn" and plain and all(map(draws_nothing, tree.args))
    )
