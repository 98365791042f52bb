"""Side effects of nodes, as far as they constrain the order of execution.

A node is pure (its result depends only on numbers), reads memory (tensors, lists, attributes), or
writes (memory, module state, random number generators, the screen). Reads commute with each other;
writes commute only with pure nodes. Unknown functions are assumed to write. `runner.operators`
knows what each does.
"""

from typing import Literal

from runner.graph.ir.node import Node
from runner.operators import acts, function_facts, is_pure

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
            return of_method(node.target)
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


def commute(one: Effect, other: Effect) -> bool:
    """Returns whether two nodes with these effects may be reordered."""
    return not (one and other and WRITE in (one, other))
