"""Candidates for new modules: a name in torch.nn, or a class with some of its arguments."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from runner.errors import ConfigError, GraphError, as_yaml, did_you_mean
from runner.graph.ir.argument import Argument, Call, Ref
from runner.graph.ir.signature import bound_arguments, drop_defaults, public_target, signature

Candidate = Any  # the name of a class in torch.nn, or a functools.partial of a class
# Names of constructor parameters that are numbers of channels
CHANNELS = frozenset([
    "channels", "num_channels", "in_channels", "out_channels", "num_features", "in_features",
    "out_features", "features", "in_chs", "out_chs", "in_planes", "inplanes", "planes", "chs",
    "dim", "dims", "embed_dim", "width", "normalized_shape", "d_model", "hidden_size",
])  # fmt: skip

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def check_candidate(candidate: Candidate, word: str) -> None:
    """Raises ConfigError if a candidate is not a class of modules."""
    if isinstance(candidate, str):
        found = getattr(nn, candidate, None)
        if not (isinstance(found, type) and issubclass(found, nn.Module)):
            classes = [n for n, thing in vars(nn).items() if isinstance(thing, type)]
            near = did_you_mean(candidate, classes)
            raise ConfigError(f"{word}: torch.nn has no module {candidate!r}.{near}")
    elif not (isinstance(candidate, partial) and isinstance(candidate.func, type)):
        raise ConfigError(
            f"{word}: {as_yaml(candidate)} is not a module: give the name of one in torch.nn "
            "('SiLU'), or {_target_: package.Class, argument: value}."
        )
    elif not issubclass(candidate.func, nn.Module):
        raise ConfigError(f"{word}: {candidate.func.__name__} is not a torch.nn.Module.")


def target_of(candidate: Candidate) -> str:
    """Returns the class of a candidate as "module:qualname"."""
    if isinstance(candidate, str):
        return f"torch.nn:{candidate}"
    return public_target(candidate.func)


def given_by(candidate: Candidate) -> dict[str, Argument]:
    """Returns the arguments that a candidate specifies, as arguments of a graph."""
    if isinstance(candidate, str):
        return {}
    bound = signature(target_of(candidate)).bind_partial(*candidate.args)
    return {
        name: _argument(value) for name, value in {**bound.arguments, **candidate.keywords}.items()
    }


def _argument(value: Any) -> Argument:
    """Converts a value of a config to an argument of a graph."""
    if isinstance(value, partial):
        args = (Ref(public_target(value.func)), *map(_argument, value.args))
        return Call("functools:partial", args, {k: _argument(v) for k, v in value.keywords.items()})
    if isinstance(value, type) or inspect.isroutine(value):
        return Ref(public_target(value))
    if isinstance(value, torch.dtype):
        return Ref.of_torch(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_argument, value))
    if isinstance(value, Mapping):
        return {key: _argument(item) for key, item in value.items()}
    return value


def arguments_of(call: Call | None) -> dict[str, Argument]:
    """Returns the arguments of a constructor call by parameter name, without `*args`."""
    if call is None:
        return {}
    known = signature(call.target).parameters
    variadic = [name for name, p in known.items() if p.kind is inspect.Parameter.VAR_POSITIONAL]
    return {n: value for n, value in bound_arguments(call).items() if n not in variadic}


def call_of(
    candidate: Candidate,
    *,
    carried: Mapping[str, Argument] | None = None,
    fill: Callable[[], int] | None = None,
) -> Call:
    """Returns the constructor call of a candidate: with its own arguments, arguments of the same
    name from `carried`, and remaining numbers of channels from `fill`.

    Raises GraphError, naming the missing arguments, if any are left.
    """
    target, given, carried = target_of(candidate), given_by(candidate), dict(carried or {})
    parameters = signature(target).parameters
    named = {name for name, p in parameters.items() if p.kind not in _VARIADIC}
    known = {name: value for name, value in carried.items() if name in named} | given
    needed = [name for name in parameters if parameters[name].default is inspect.Parameter.empty]
    missing = [name for name in needed if name in named and name not in known]
    counts = {value for name, value in carried.items() if name in CHANNELS and type(value) is int}
    for name in [name for name in missing if name in CHANNELS]:
        number = min(counts) if len(counts) == 1 else None
        if number is None and fill is not None:
            number = fill()
        if number is not None:
            known[name] = number
            missing.remove(name)
    if missing:
        raise GraphError(
            f"{target.rpartition(':')[2]} needs {_listed(missing)}, which is not specified: write "
            f"{{_target_: {target.replace(':', '.')}, {missing[0]}: ...}}."
        )
    return ordered(target, known)


def ordered(target: str, known: Mapping[str, Argument]) -> Call:
    """Returns a call with arguments in the order of the signature, required ones as positional
    arguments."""
    parameters = signature(target).parameters
    args: list[Argument] = []
    rest = dict(known)
    for name, parameter in parameters.items():
        if (
            parameter.kind not in _POSITIONAL
            or name not in rest
            or parameter.default is not parameter.empty
        ):
            break
        args.append(rest.pop(name))
    in_order = [name for name in (*parameters, *rest) if name in rest]
    return drop_defaults(Call(target, tuple(args), {name: rest[name] for name in in_order}))


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def snake(name: str) -> str:
    """Returns the name of a class as the name of an attribute: squeeze_excite for SqueezeExcite."""
    name = name.replace("ReLU", "Relu").replace("SiLU", "Silu")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
