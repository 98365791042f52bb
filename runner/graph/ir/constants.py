"""Checks which objects may be arguments in a graph, and suggests replacements for the others."""

import inspect

import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.ir.argument import PLAIN, Argument, Call, Made, leaves_and_calls
from runner.graph.ir.node import Value
from runner.graph.ir.signature import public_target
from runner.nn.values.expression import Expression


def check_constants(argument: Argument, where: str) -> None:
    """Raises GraphError, with a suggested replacement, if an argument contains anything other than
    constants, symbolic choices and units."""
    for thing in leaves_and_calls(argument):
        if type(thing) not in PLAIN and not isinstance(thing, Expression | Made | Call):
            raise GraphError(f"{where}: {no_constant(thing)}.")


def no_constant(thing: object) -> str:
    """Returns an error message for an object that cannot be an argument, with a replacement."""
    kind = type(thing)
    if isinstance(thing, Value):
        return f"{thing} is the value of a node; only nodes of its function can use it"
    if isinstance(thing, torch.Tensor):
        return (
            f"a {kind.__name__} is not a constant of a graph; put it into graph.tensors and write "
            "Stored(name)"
        )
    return f"{thing!r} is not a constant of a graph; {_instead(thing)}"


def _instead(thing: object) -> str:
    kind = type(thing)
    if isinstance(thing, torch.dtype | torch.layout | torch.memory_format):
        return f"write Ref('{thing}')".replace("torch.", "torch:")
    if isinstance(thing, torch.device):
        return f"write Call('torch:device', ({str(thing)!r},))"
    if isinstance(thing, nn.Module):
        return f"write Unit.of('{public_target(kind)}', ...)"
    if isinstance(thing, type) or inspect.isroutine(thing):
        target = public_target(thing)
        if "<" in target:
            return "move it to the top of a module and write Ref('module:name')"
        return f"write Ref('{target}')"
    if isinstance(thing, tuple):
        return f"write {tuple(thing)!r}"
    return "those are numbers, strings, None, tuples, lists, dicts, Ref and Call"
