"""Side effects of nodes, as far as they constrain the order of execution.

A node is pure (its result depends only on numbers), reads memory (tensors, lists, attributes), or
writes (memory, module state, random number generators, the screen). Reads commute with each other;
writes commute only with pure nodes. Unknown functions are assumed to write. `runner.operators`
knows what each does.
"""

from typing import Literal

from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Node, Value, values_in
from runner.operators import CHANGES_CONTAINER, acts, function_facts, is_pure

Effect = Literal[0, 1, 2]
PURE: Effect = 0
READ: Effect = 1
WRITE: Effect = 2


def of_function(target: str) -> Effect:
    """Returns the effect of calling the function "module:qualname" or ":name"."""
    return WRITE if acts(target) else PURE if is_pure(target) else READ


def of_method(name: str) -> Effect:
    """Returns the effect of calling a method of an object that is not a module."""
    return WRITE if acts(f".{name}") else READ


def effect(node: Node) -> Effect:
    """Returns the effect of a node itself, without the nodes in its blocks."""
    match node.op:
        case "call_function":
            own = of_function(node.target)
            return WRITE if own == WRITE or _changes_arguments(node) else own
        case "call_method":
            method = of_method(node.target)
            return WRITE if method != WRITE and is_object(node.args[:1]) else method
        case "get_attr" | "unpack":
            return READ
        case "list" | "dict" | "output" | "if" | "loop":
            return PURE
        case _:
            return WRITE


def _changes_arguments(node: Node) -> bool:
    """Returns whether an argument such as `inplace` makes a function of torch modify another, or is
    itself modified, as `out`."""
    facts = function_facts(node.target)
    is_passed = node.kwargs.get("out") is not None
    return is_passed or any(one.is_on(node.arguments) for one in facts.switches)


def is_object(argument: Argument) -> bool:
    """Returns whether an argument may be an object that code which is not known has made, or a set:
    methods with the names of those of tensors may do anything then. Inputs are taken for tensors
    unless their annotations say otherwise, and so are outputs of modules and attributes."""
    values, seen = values_in(argument), set[Value]()
    while values:
        value = values.pop()
        if value in seen or value.spec is not None:
            continue
        seen.add(value)
        node = value.node
        if node is None and not _may_be_tensor(value):
            return True
        if node is not None and node.op == "call_function" and _makes_objects(node.target):
            return True
        values += sources(value)
    return False


def _may_be_tensor(value: Value) -> bool:
    """Returns whether the annotation of an input, if any, allows a tensor."""
    function = value.owner.owner
    if not isinstance(function, Function):
        return True
    said = function.parameters[function.inputs.index(value)].annotation
    return not said or "Tensor" in said or "Any" in said


def _makes_objects(target: str) -> bool:
    module = target.partition(":")[0].partition(".")[0]
    return target == "builtins:set" or module not in ("torch", "operator", "builtins", "math")


def sources(value: Value) -> list[Value]:
    """Returns the values that a value may be, be an item or attribute of, or be made from by an
    object's own operators."""
    node = value.node
    if node is None:
        loop, place = value.owner.owner, value.owner.inputs.index(value)
        if not isinstance(loop, Node) or place == 0:
            return []
        return values_in([loop.args[1 + place], *loop.blocks[0].results[place:][:1]])
    match node.op:
        case "list" | "dict":
            changes = [user.args for user in value.users if user.target in _PUTTING]
            return values_in([node.args, *changes])
        case "unpack":
            return values_in(node.args)
        case "call_method":
            return values_in(node.args[:1])
        case "call_function" if node.target in _OF_FIRST:
            return values_in(node.args[:1])
        case "call_function" if node.target in _OF_SETS or node.target.startswith("builtins:"):
            return values_in(node.args)
        case "if" | "with" | "loop":
            at = node.outputs.index(value) + (node.op == "loop")
            inner = [block.results[at:][:1] for block in node.blocks]
            return values_in([*inner, node.args[1 + at :][:1] if node.op == "loop" else ()])
    return []


_OF_FIRST = ("operator:getitem", "builtins:getattr")
_PUTTING = CHANGES_CONTAINER | {"operator:setitem", "operator:iadd"}
_OF_SETS = tuple(f"operator:{name}" for name in ("or_", "and_", "sub", "xor", "ior", "iand", "isub",
                                                 "ixor"))  # fmt: skip


def commute(one: Effect, other: Effect) -> bool:
    """Returns whether two nodes with these effects may be reordered."""
    return not (one and other and WRITE in (one, other))
