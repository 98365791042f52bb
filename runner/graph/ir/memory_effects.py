"""Memory effects of nodes and units: which values they change in place, and which they share.

Combines facts about operators (`runner.operators`) with the arguments of a call.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from torch import nn

from runner.errors import GraphError
from runner.graph.ir.argument import Argument
from runner.graph.ir.function import Function
from runner.graph.ir.node import Node, Value, values_in
from runner.graph.ir.signature import argument, locate, signature
from runner.graph.ir.unit import Unit
from runner.operators import (
    Facts,
    WritingSwitch,
    attribute_shares,
    function_facts,
    method_facts,
)
from runner.probing import Sharing

_FRESH = frozenset(
    f"torch.nn.modules.{name}"
    for name in (
        *("linear", "conv", "batchnorm", "instancenorm", "normalization", "pooling", "activation"),
        *("rnn", "sparse", "distance", "loss"),
    )
)


def facts_of(node: Node) -> Facts:
    """Returns the memory effects of calling a function or method."""
    if node.op == "call_method":
        return method_facts(node.target)
    if node.target == "builtins:getattr" and len(node.args) > 1:
        name = node.args[1]
        return Facts(shares="maybe" if attribute_shares(str(name)) else "never")
    return function_facts(node.target)


def written(node: Node) -> list[Value]:
    """Returns the values that a call of a function or method changes in place."""
    facts, given = facts_of(node), node.arguments
    return _values(given, facts.writes, [one for one in facts.switches if one.is_on(given)])


def returned_of(node: Node) -> list[Value]:
    """Returns the values that a call changes in place and that its result shares memory with."""
    facts, given = facts_of(node), node.arguments
    writes = frozenset(["out"]) | (facts.writes if facts.shares != "never" else frozenset())
    switches = [one for one in facts.switches if one.returns and one.is_on(given)]
    return _values(given, writes, switches)


def _values(
    given: Mapping[int | str, Argument],
    writes: frozenset[int | str],
    switches: Iterable[WritingSwitch],
) -> list[Value]:
    """Returns the values of the arguments that are named by `writes` and by switches."""
    keys = writes.union(*(one.writes for one in switches))
    changed = [argument for key, argument in given.items() if key in keys]
    return [*dict.fromkeys(value for one in changed for value in values_in(one))]


def own_writes(unit: Unit) -> list[str]:
    """Returns the names of own tensors that an opaque unit may change when it is called: buffers,
    such as running statistics, and the weight of an embedding with `max_norm`."""
    if not is_torch(unit):
        return [*unit.weights]
    return [*unit.buffers, *(["weight"] if _option(unit, "max_norm") is not None else [])]


def works_in_place(unit: Unit) -> bool:
    """Returns whether an opaque module was constructed with `inplace=True`."""
    return _option(unit, "inplace") is True


def _option(unit: Unit, name: str) -> Argument:
    """Returns an argument of the constructor of an opaque module; None if it takes none of this
    name."""
    if unit.grade != "basic" or unit.call is None:
        return None
    try:
        is_taken = name in unit.call.kwargs or name in signature(unit.call.target).parameters
        return argument(unit.call, name) if is_taken else None
    except GraphError:  # arguments that do not match the signature
        return None


def unit_shares(unit: Unit) -> Sharing:
    """Returns whether the output of an opaque unit may share memory with its input."""
    if unit.grade != "basic":
        return "maybe"
    if works_in_place(unit) or unit.cls.target == "torch.nn:Identity":
        return "always"
    return "never" if _class_of(unit.cls.target) == "fresh" else "maybe"


def may_give(owner: Unit, node: Node) -> bool:
    """Returns whether the output of a node may share memory with its first argument."""
    if node.op != "call_module":
        return node.target[:1] == ":" or facts_of(node).shares != "never"
    unit = owner.find(node.path)
    return unit is None or unit_shares(unit) != "never"


def always_gives(owner: Unit, node: Node) -> bool:
    """Returns whether the output of a node always shares memory with its first argument."""
    if node.op == "call_module":
        unit = owner.find(node.path)
        return unit is not None and unit_shares(unit) == "always"
    if node.target[:1] == ":":
        return False
    if node.inputs[:1] and node.inputs[0] in written(node):
        return True
    return facts_of(node).shares == "always"


def is_torch(unit: Unit) -> bool:
    """Returns whether a unit is a layer of torch, which changes its input only if told to."""
    return _class_of(unit.cls.target) != "unknown"


def _class_of(target: str) -> Literal["fresh", "torch", "unknown"]:
    """Classifies a class: a layer of torch whose output is a new tensor, another layer, or
    unknown."""
    try:
        cls = locate(target)
    except GraphError:
        return "unknown"
    module = getattr(cls, "__module__", "")
    if module in _FRESH and cls is not nn.Identity:
        return "fresh"
    return "torch" if module.startswith("torch.nn.modules.") else "unknown"


_LISTS = ("builtins:list", "builtins:tuple", "builtins:sorted", "builtins:zip", "builtins:reversed",
          "builtins:enumerate", "builtins:dict")  # fmt: skip


def joins_lists(node: Node) -> bool:
    """Returns whether a node is known to concatenate lists."""
    is_sum = node.target in ("operator:add", "operator:mul", "operator:iadd", "operator:concat")
    return is_sum and any(
        _is_list(argument) if type(argument) is Value else type(argument) in (list, tuple)
        for argument in node.args
    )


def _is_list(value: Value) -> bool:
    """Returns whether a value is known to be a container of other values."""
    made = value.node
    if made is None:
        return _annotation(value) not in ("", *_TENSORS)
    if made.op in ("if", "loop", "with"):
        place = made.outputs.index(value) + (made.op == "loop")
        inner = [one for block in made.blocks for one in values_in(block.results[place])]
        return any(_is_list(one) for one in inner if one is not value and one.node is not None)
    return made.op in ("list", "dict") or made.target in _LISTS or joins_lists(made)


def may_be_list(argument: Argument) -> bool:
    """Returns whether an argument may be a container of tensors rather than a tensor."""
    if not isinstance(argument, Value) or argument.spec is not None:
        return False
    made = argument.node
    if made is None:
        return _annotation(argument) not in _TENSORS
    if made.op in ("call_function", "call_method"):
        return made.target.startswith(("operator:", "builtins:", ":")) or _is_list(argument)
    return True


_TENSORS = ("Tensor", "torch.Tensor")


def _annotation(value: Value) -> str:
    """Returns the annotation of a parameter; "" for any other value."""
    function = value.owner.owner
    if not isinstance(function, Function):
        return ""
    return function.parameters[function.inputs.index(value)].annotation
