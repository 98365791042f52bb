"""Alias detection by probing: determines whether results of a callable alias its arguments.

Runs it on small tensors of several ranks and layouts, and compares storages.
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
RUNS = 20  # maximum per operator and sample tensor
MOST = 3  # maximum number of tensor parameters; operators with more may crash on bad arguments
_UNTYPED = str(inspect.Parameter.empty)


@final
@dataclass(frozen=True, slots=True)
class ProbedParameter:
    """A parameter that probing runs pass values for; `kind` is its type as text."""

    name: str
    kind: str
    default: tuple[Any, ...]  # one value, or none
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

    def values(self, x: Tensor, *, is_first: bool) -> list[Any]:
        """Returns candidate values for a run on `x`: the default first, then harmless ones. Other
        tensors than the first may be of another dtype."""
        kind = self.kind
        if "Optional" in kind:
            found: list[Any] = [None]
        elif "Tensor" in kind and "List" in kind:
            found = [[x], [x, x]]
        elif "Tensor" in kind or kind == _UNTYPED:
            other = torch.complex128 if x.is_complex() else torch.float16
            found = [x] if is_first else [x, x.to(other)]
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
    """Returns small tensors of several ranks, layouts and dtypes."""
    x = torch.arange(1.0, 5.0)
    conjugate = torch.complex(x, x).conj()
    return [
        x[:1].reshape(()), x, x.view(2, 2), x.view(2, 2).t(), x.view(1, 2, 2),
        x.view(1, 1, 2, 2), x[:2].expand(2, 2), x[::2], x.to(torch.int64), x > 2, conjugate,
        conjugate.imag,
    ]  # fmt: skip


def probed(call: Callable[..., Any], wanted: Sequence[ProbedParameter]) -> Sharing:
    """Returns how a callable shares memory in runs on samples; "maybe" if all runs fail."""
    return shares_in_runs(call, [run for x in samples() for run in runs(wanted, x)])


def probed_overload(overload: Any) -> Sharing:
    """Returns how an overload shares memory in probing runs; "maybe" for more than MOST tensors."""
    if count_tensors(overload) > MOST:
        return "maybe"
    wanted = [ProbedParameter.in_schema(argument) for argument in overload._schema.arguments]
    return probed(_bound(overload), wanted)


def count_tensors(overload: Any) -> int:
    """Returns the number of required tensor arguments of an overload."""
    kinds = [str(argument.type) for argument in overload._schema.arguments]
    return sum("Tensor" in kind and "Optional" not in kind for kind in kinds)


def _bound(overload: Any) -> Callable[..., Any]:
    """Returns the Python binding of an operator, which turns warnings of torch into Python's."""
    name = overload._schema.name.partition("::")[2]
    homes = (torch._C._VariableFunctions, torch._C._nn, torch._C.TensorBase)
    found: Callable[..., Any] = overload
    return next((getattr(home, name) for home in homes if hasattr(home, name)), found)


def runs(wanted: Sequence[ProbedParameter], x: Tensor) -> Iterator[ProbingRun]:
    """Yields arguments for runs: the first value of each parameter, then one or two varied."""
    choices = [one.values(x, is_first=one is wanted[0]) for one in wanted]
    others = [(place, other) for place, some in enumerate(choices) for other in some[1:]]
    changes = (change for count in range(3) for change in itertools.combinations(others, count))
    for change in itertools.islice(changes, RUNS):
        values = [some[0] for some in choices]
        for place, other in change:
            values[place] = other
        given = [*zip(wanted, values, strict=True)]
        args = tuple(value for parameter, value in given if not parameter.by_name)
        yield args, {p.name: value for p, value in given if p.by_name}


def shares_in_runs(call: Callable[..., Any], calls: Sequence[ProbingRun]) -> Sharing:
    """Returns whether results share memory with arguments in all, some or no runs; runs that raise
    are ignored, and if all do, the answer is "maybe"."""
    found = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for args, kwargs in calls:
            try:
                result = call(*args, **kwargs)
            except Exception:  # invalid arguments: one of many attempts
                continue
            memory = memory_of((args, kwargs))
            found.append(any(own in memory for own in memory_of(result)))
    if not found:
        return "maybe"
    return "always" if all(found) else "maybe" if any(found) else "never"


def memory_of(thing: Any) -> set[int]:
    """Returns the storages of the strided tensors in nested containers."""
    tensors = (leaf for leaf in leaves(thing, subclasses=True) if isinstance(leaf, Tensor))
    return {x.untyped_storage()._cdata for x in tensors if x.layout is torch.strided}
