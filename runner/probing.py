"""Probing runs: whether a callable shares memory between its arguments and its results.

It is run on small tensors of several ranks and layouts, and the storages are compared.
"""

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

import torch
from torch import Tensor

from runner.nested import leaves

Sharing = Literal["never", "maybe", "always"]
ProbingRun = tuple[tuple[Any, ...], dict[str, Any]]  # the arguments of a call
RUNS = 20  # of one operator on one tensor
MOST = 3  # tensors that are asked for: what takes more trusts its callers, and may crash
_UNTYPED = str(inspect.Parameter.empty)


@final
@dataclass(frozen=True, slots=True)
class ProbedParameter:
    """A parameter that a probing run has to give a value to: `kind` is its type as text."""

    name: str
    kind: str
    default: tuple[Any, ...]  # of one, or none
    by_name: bool

    @staticmethod
    def in_schema(argument: Any) -> "ProbedParameter":
        default = (argument.default_value,) if argument.has_default_value() else ()
        return ProbedParameter(argument.name, str(argument.type), default, argument.kwarg_only)

    @staticmethod
    def of(parameter: inspect.Parameter) -> "ProbedParameter":
        has_default = parameter.default is not parameter.empty
        default = (parameter.default,) if has_default else ()
        is_named = parameter.kind is parameter.KEYWORD_ONLY
        return ProbedParameter(parameter.name, str(parameter.annotation), default, is_named)

    def values(self, x: Tensor) -> list[Any]:
        """What may be given, beside a tensor: its own default, and what asks for nothing."""
        kind = self.kind
        if "Optional" in kind:
            found: list[Any] = [None]
        elif "Tensor" in kind and "List" in kind:
            found = [[x], [x, x]]
        elif "Tensor" in kind or kind == _UNTYPED:
            found = [x]
        elif "List" in kind or "Tuple" in kind or "Size" in kind:
            found = [[1, 1], [*x.shape], [0, 0], [x.numel()], [1]]
        elif "bool" in kind:
            found = [False, True]
        elif "str" in kind:
            found = ["ij->ji", "mean"]
        elif "float" in kind or kind == "number":
            found = [0.0, 1.0]
        else:
            found = [x.dtype] if self.name == "dtype" else [1, 0]
        return [*self.default] if self.default == (None,) else [*self.default, *found]


def samples() -> list[Tensor]:
    """Small tensors of several ranks and layouts."""
    x = torch.arange(1.0, 5.0)
    return [
        x[:1].reshape(()), x, x.view(2, 2), x.view(2, 2).t(), x.view(1, 2, 2),
        x.view(1, 1, 2, 2), x[:2].expand(2, 2), x[::2], x.to(torch.int64), x > 2,
    ]  # fmt: skip


def probed(call: Callable[..., Any], wanted: Sequence[ProbedParameter]) -> Sharing:
    """How a callable shares memory in runs on samples; "maybe" where it ran on none."""
    return shares_in_runs(call, [run for x in samples() for run in _runs(wanted, x)])


def _runs(wanted: Sequence[ProbedParameter], x: Tensor) -> Iterator[ProbingRun]:
    """Arguments for runs: the first value of each parameter, then others for one or two."""
    choices = [parameter.values(x) for parameter in wanted]
    others = [(place, other) for place, some in enumerate(choices) for other in some[1:]]
    changes = (change for count in range(3) for change in itertools.combinations(others, count))
    for change in itertools.islice(changes, RUNS):
        values = [some[0] for some in choices]
        for place, other in change:
            values[place] = other
        given = [*zip(wanted, values, strict=True)]
        args = tuple(value for parameter, value in given if not parameter.by_name)
        yield args, {p.name: value for p, value in given if p.by_name}


def shares_in_runs(call: Callable[..., Any], runs: Sequence[ProbingRun]) -> Sharing:
    """How results share memory with arguments, over runs; those that raise say nothing, and
    "maybe" is the answer where all do."""
    found = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for args, kwargs in runs:
            try:
                result = call(*args, **kwargs)
            except Exception:  # an argument that does not fit: one of many tries
                continue
            memory = _memory((args, kwargs))
            found.append(any(own in memory for own in _memory(result)))
    if not found:
        return "maybe"
    return "always" if all(found) else "maybe" if any(found) else "never"


def _memory(thing: Any) -> set[int]:
    """The storages of the tensors in nested containers; those of other layouts have none."""
    tensors = (leaf for leaf in leaves(thing, subclasses=True) if isinstance(leaf, Tensor))
    return {x.untyped_storage()._cdata for x in tensors if x.layout is torch.strided}
