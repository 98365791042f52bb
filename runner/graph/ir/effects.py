"""Side effects of nodes, as far as they constrain the order of execution.

A node is pure (its result depends only on numbers), reads memory (tensors, lists, attributes), or
writes (memory, module state, random number generators, the screen). Reads commute with each other;
writes commute only with pure nodes. Unknown functions are assumed to write. Which operators work in
place or draw random numbers follows from `runner.operators`.
"""

import inspect
from functools import lru_cache
from typing import Literal

import torch
from torch.nn import functional

from runner.graph.ir.node import Node
from runner.operators import (
    CHANGES_CONTAINER,
    acts,
    is_augmented,
    is_in_place,
    is_random,
    writes_tensors,
)

Effect = Literal[0, 1, 2]
PURE: Effect = 0
READ: Effect = 1
WRITE: Effect = 2

_STATE = {
    *("manual_seed", "seed", "set_rng_state", "set_grad_enabled", "set_default_dtype"),
    *("batch_norm", "instance_norm", "native_batch_norm", "embedding_bag", "backward", "save"),
}
_CHANGES_RECEIVER = CHANGES_CONTAINER | {"backward", "register_hook", "retain_grad"}
_PURE_BUILTINS = ("isinstance", "range", "type", "slice")
_CONTAINERS = (torch.Tensor, str, list, dict, tuple)
_METHODS = frozenset(name for kind in _CONTAINERS for name in dir(kind))
_IDENTITY = ("is_", "is_not")


@lru_cache(maxsize=4096)
def of_function(target: str) -> Effect:
    """Returns the effect of calling the function "module:qualname" or ":name"."""
    module, _, qualname = target.partition(":")
    name = qualname.rpartition(".")[2]
    if module == "builtins":
        return WRITE if acts(qualname) else PURE if qualname in _PURE_BUILTINS else READ
    if module == "operator":
        return _of_operator(name)
    if module in ("math", "cmath"):
        return PURE
    if module == "torch" or module.startswith(("torch.nn.functional", "torch._C")):
        if qualname.startswith("ops.") and not qualname.startswith("ops.aten."):
            return WRITE
        return _of_torch(name)
    if module in ("torch.linalg", "torch.fft", "torch.special"):
        return READ
    return WRITE


def _of_operator(name: str) -> Effect:
    if name in _IDENTITY:
        return PURE
    return WRITE if is_augmented(name) else READ


def _of_torch(name: str) -> Effect:
    writes = is_in_place(name) or name in _STATE or is_random(name) or writes_tensors(name)
    return WRITE if writes else READ


@lru_cache(maxsize=4096)
def of_method(name: str) -> Effect:
    """Returns the effect of calling a method of an object that is not a module."""
    if name in _CHANGES_RECEIVER or name not in _METHODS:
        return WRITE
    return _of_torch(name)


def effect(node: Node) -> Effect:
    """Returns the effect of a node itself, without the nodes in its blocks."""
    match node.op:
        case "call_function":
            return WRITE if _changes_arguments(node) else of_function(node.target)
        case "call_method":
            return of_method(node.target)
        case "get_attr" | "unpack":
            return READ
        case "list" | "dict" | "output" | "if" | "loop":
            return PURE
        case _:
            return WRITE


def _changes_arguments(node: Node) -> bool:
    """Returns whether an argument such as `inplace` makes a function of torch modify its input."""
    given = {name: node.kwargs[name] for name in _CHANGING & {*node.kwargs}}
    for place, name in _changing(node.target):
        if place < len(node.args):
            given[name] = node.args[place]
    return any(value is not None and value is not False for value in given.values())


_CHANGING = frozenset({"inplace", "max_norm", "out"})


@lru_cache(maxsize=4096)
def _changing(target: str) -> tuple[tuple[int, str], ...]:
    """Returns (position, name) of such parameters of a function that is written in Python."""
    module, _, name = target.partition(":")
    if module != "torch.nn.functional":
        return ()
    try:
        names = [*inspect.signature(getattr(functional, name)).parameters]
    except (AttributeError, TypeError, ValueError):
        return ()
    return tuple((place, name) for place, name in enumerate(names) if name in _CHANGING)


def commute(one: Effect, other: Effect) -> bool:
    """Returns whether two nodes with these effects may be reordered."""
    return not (one and other and WRITE in (one, other))
