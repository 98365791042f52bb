"""Serialization of programs to plain JSON, and back.

Plain constants are written as they are; anything else is a dict with one key, its kind: {"var": 3},
{"batch": 2}, {"ref": "torch:float32"}, {"tuple": [1, 2]}. Reading executes no code.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

from runner.errors import GraphError
from runner.fusion.program.program import BatchSize, Program, Step, StepKind, TensorSpec, Var
from runner.graph.ir.argument import Ref
from runner.graph.ir.signature import is_target

Json = Any
VERSION = 1


def to_json(program: Program) -> dict[str, Json]:
    """Returns a program as plain JSON. Raises GraphError for an argument without a JSON form."""
    return {
        "version": VERSION,
        "steps": [_step(step) for step in program.steps],
        "specs": [
            [var.number, [*map(_argument, spec.shape)], spec.dtype]
            for var, spec in program.specs.items()
        ],
        "result": _argument(program.result),
    }


def from_json(data: Mapping[str, Json]) -> Program:
    """Returns the program that `to_json` wrote. Raises GraphError for any other data."""
    try:
        if data["version"] != VERSION:
            raise GraphError(f"This program has version {data['version']!r}; expected {VERSION}.")
        steps = tuple(_read_step(*step) for step in data["steps"])
        specs = {
            Var(_number(number)): TensorSpec(tuple(map(_read, shape)), _text(dtype))
            for number, shape, dtype in data["specs"]
        }
        return Program(steps, specs, _read(data["result"]))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise GraphError(f"This is not a program in JSON: {error!r}.") from error


# Writing


def _step(step: Step) -> Json:
    args = [_argument(argument) for argument in step.args]
    kwargs = {name: _argument(argument) for name, argument in step.kwargs.items()}
    return [step.kind, step.target, args, kwargs, _argument(step.result), step.opaque]


def _argument(argument: Any) -> Json:
    kind = type(argument)
    if argument is None or kind in (bool, int, str) or (kind is float and math.isfinite(argument)):
        return argument
    if kind is tuple or kind is list:
        return {kind.__name__: [*map(_argument, argument)]}
    if kind not in _WRITERS:
        raise GraphError(f"{argument!r}, a {kind.__qualname__}, has no JSON form in a program.")
    return _WRITERS[kind](argument)


_WRITERS: Mapping[type, Callable[[Any], Json]] = {
    Var: lambda var: {"var": var.number},
    BatchSize: lambda batch: {"batch": batch.times},
    Ref: lambda ref: {"ref": ref.target},
    float: lambda number: {"float": str(number)},
    complex: lambda number: {"complex": [str(number.real), str(number.imag)]},
    type(...): lambda dots: {"ellipsis": None},
    dict: lambda items: {"dict": [[*map(_argument, item)] for item in items.items()]},
    slice: lambda s: {"slice": [_argument(part) for part in (s.start, s.stop, s.step)]},
}


# Reading


def _read_step(
    kind: Json, target: Json, args: Json, kwargs: Json, result: Json, opaque: Json
) -> Step:
    if kind not in get_args(StepKind):
        raise GraphError(f"{kind!r} is not a kind of step.")
    if kind == "function" and not is_target(target):
        raise GraphError(f"{target!r} does not name a function: write 'module:qualname'.")
    named = {_text(name): _read(argument) for name, argument in kwargs.items()}
    positional = tuple(map(_read, args))
    return Step(kind, _text(target), positional, named, _read(result), bool(opaque))


def _read(data: Json) -> Any:
    if data is None or isinstance(data, bool | int | float | str):
        return data
    ((kind, content),) = data.items()
    return _READERS[kind](content)


def _number(data: Json) -> int:
    if type(data) is not int:
        raise TypeError(f"{data!r} is not an integer")
    return data


def _text(data: Json) -> str:
    if type(data) is not str:
        raise TypeError(f"{data!r} is not a string")
    return data


_READERS: Mapping[str, Callable[[Json], Any]] = {
    "var": lambda number: Var(_number(number)),
    "batch": lambda times: BatchSize(_number(times)),
    "ref": lambda target: Ref(_text(target)),
    "float": lambda text: float(_text(text)),
    "complex": lambda parts: complex(*map(float, parts)),
    "ellipsis": lambda nothing: ...,
    "tuple": lambda items: tuple(map(_read, items)),
    "list": lambda items: [*map(_read, items)],
    "dict": lambda items: {_read(name): _read(item) for name, item in items},
    "slice": lambda parts: slice(*map(_read, parts)),
}
