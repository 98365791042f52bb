"""The Python spelling of PyTorch operators, by rules over the namespaces of PyTorch."""

import builtins
import functools
import inspect
import math
import types
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F

from runner.operators import IN_PLACE_METHODS
from runner.python_operators import BINARY, COMPARISONS

Spelling = tuple[Literal["call_function", "call_method"], str]

_BINARY = {
    **{found.name: found.name for found in (*BINARY, *COMPARISONS)},
    **{f"__{found.stem}__": found.name for found in BINARY},
    "div": "truediv", "remainder": "mod", "bitwise_and": "and_", "bitwise_or": "or_",
    "bitwise_xor": "xor", "__is__": "is_", "__isnot__": "is_not", "__getitem__": "getitem",
    "__contains__": "contains",
}  # fmt: skip
_UNARY = {"neg": "neg", "__not__": "not_", "bitwise_not": "invert"}
_BUILTIN = {
    "Int": "int", "IntImplicit": "int", "Float": "float", "FloatImplicit": "float", "Bool": "bool",
    "Complex": "complex", "ComplexImplicit": "complex", "len": "len", "str": "str",
    "list": "list", "ord": "ord", "hash": "hash", "sorted": "sorted",
}  # fmt: skip
METHOD_IN_PLACE = {
    **IN_PLACE_METHODS,
    **{name: f"__{name}__" for name in ("iand", "ior", "ixor", "ilshift", "irshift")},
}
AUGMENTED = {method: name for name, method in METHOD_IN_PLACE.items()}
_METHOD = type(torch.Tensor.add)  # methods in C take the arguments of their operator
_BUILTIN_FUNCTION = types.BuiltinFunctionType
_FAMILIES = ("fft", "linalg", "special")
_LISTS = frozenset({"einsum", "meshgrid"})  # written in Python, but take a list of operands, too
_ALIASES = {"split_sizes": "split_size"}


def operator_of(name: str, count: int) -> str | None:
    """Returns the function of Python's `operator` for an operator with `count` arguments, if
    any."""
    return (_BINARY if count == 2 else _UNARY if count == 1 else {}).get(name)


@functools.lru_cache(maxsize=4096)
def spelled(name: str, first: str, names: tuple[str, ...]) -> Spelling:
    """Returns how to call an operator whose first argument is of a kind ("Tensor", "List",
    "Dict", "String", "" for others) and whose parameters have these names."""
    if name in _BUILTIN and len(names) == 1:
        return "call_function", f"builtins:{_BUILTIN[name]}"
    if first == "Tensor":
        return _of_tensor(name, names)
    if first == "String" and hasattr(str, name):
        return "call_method", name
    if first == "List" and hasattr(list, name):
        return "call_method", name
    if first == "Dict" and hasattr(dict, name):
        return "call_method", name
    return _of_numbers(name, names)


def with_out(name: str, written: Sequence[str]) -> Spelling:
    """Returns how to call an operator that writes its result to the parameters `written`; "" as
    target if torch has no such function with `out`."""
    is_there = isinstance(getattr(torch, name, None), _BUILTIN_FUNCTION) and [*written] == ["out"]
    return "call_function", f"torch:{name}" if is_there else ""


def _of_tensor(name: str, names: tuple[str, ...]) -> Spelling:
    if isinstance(vars(F).get(name), _BUILTIN_FUNCTION):
        return "call_function", f"torch.nn.functional:{name}"
    if names[0] == "self" and _is_method(name, names):
        return "call_method", name
    return _of_torch(name, names)


def _is_method(name: str, names: tuple[str, ...]) -> bool:
    method = getattr(torch.Tensor, name, None)
    if method is None or name.startswith("_"):
        return False
    if type(method) is _METHOD:
        return True
    if not isinstance(method, types.FunctionType):
        return False
    return _agrees(method, names)


def _agrees(function: types.FunctionType, names: tuple[str, ...]) -> bool:
    """Returns whether a function written in Python has parameters of these names, in this order."""
    own = inspect.signature(function).parameters
    if any(p.kind is p.VAR_POSITIONAL for p in own.values()):
        return False
    return [*own][: len(names)] == [_ALIASES.get(name, name) for name in names]


@functools.lru_cache(maxsize=4096)
def takes_several(name: str) -> bool:
    """Returns whether a function of torch takes tensors one by one, its operator a list of them."""
    found = getattr(torch, name, None)
    if not isinstance(found, types.FunctionType) or name in _LISTS:
        return False
    first = next(iter(inspect.signature(found).parameters.values()), None)
    return first is not None and first.kind is first.VAR_POSITIONAL


def _of_torch(name: str, names: tuple[str, ...]) -> Spelling:
    found = getattr(torch, name, None)
    if isinstance(found, _BUILTIN_FUNCTION) or name in _LISTS:
        return "call_function", f"torch:{name}"
    if isinstance(found, types.FunctionType) and _agrees(found, names):
        return "call_function", f"torch:{name}"
    family, _, rest = name.partition("_")
    if family in _FAMILIES and hasattr(getattr(torch, family), rest):
        return "call_function", f"torch.{family}:{rest}"
    return "call_function", f"torch:ops.aten.{name}"


def _of_numbers(name: str, names: tuple[str, ...]) -> Spelling:
    if hasattr(builtins, name):
        return "call_function", f"builtins:{name}"
    if hasattr(math, name):
        return "call_function", f"math:{name}"
    if names[:1] and isinstance(vars(F).get(name), _BUILTIN_FUNCTION):
        return "call_function", f"torch.nn.functional:{name}"
    return _of_torch(name, names)
