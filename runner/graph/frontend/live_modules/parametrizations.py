"""Re-parametrizations applied to modules after construction, as calls."""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.utils import parametrizations as known
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from runner.graph.frontend.literals.literal import Literals
from runner.graph.ir.unit import Call


def plain_class(module: nn.Module) -> type[nn.Module]:
    """Returns the class of a module, without the subclass that parametrizing creates."""
    cls = type(module)
    return cls.__mro__[1] if cls.__module__ == "torch.nn.utils.parametrize" else cls


def hooked(module: nn.Module, literals: Literals) -> list[Call]:
    """Returns the calls in order. Raises GraphError for a parametrization that cannot be
    written."""
    calls = [*_parametrizations(module, literals)] if is_parametrized(module) else []
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm):
            calls.append(_call("torch.nn.utils:weight_norm", hook.name, dim=(hook.dim, 0)))
        elif isinstance(hook, SpectralNorm):
            calls.append(_spectral("torch.nn.utils:spectral_norm", hook.name, hook))
    return calls


def is_known(hook: Any) -> bool:
    """Returns whether a forward hook is written as a call by `hooked`."""
    return isinstance(hook, WeightNorm | SpectralNorm)


def made_by_hooks(module: nn.Module) -> tuple[frozenset[str], frozenset[str]]:
    """Returns the names of tensors and children that re-parametrizations add to a module, and
    the names that they remove."""
    made: set[str] = set()
    gone: set[str] = set()
    if is_parametrized(module):
        every: Any = module.parametrizations
        made.add("parametrizations")
        gone |= {*every}
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm | SpectralNorm):
            ends = ("g", "v") if isinstance(hook, WeightNorm) else ("orig", "u", "v")
            made |= {f"{hook.name}_{end}" for end in ends}
            gone.add(hook.name)
    return frozenset(made), frozenset(gone)


def _parametrizations(module: nn.Module, literals: Literals) -> Iterator[Call]:
    home = "torch.nn.utils.parametrizations"
    every: Any = module.parametrizations
    for name, several in every.items():
        for one in several:
            if type(one) is known._WeightNorm:
                yield _call(f"{home}:weight_norm", name, dim=(one.dim, 0))
            elif type(one) is known._SpectralNorm:
                yield _spectral(f"{home}:spectral_norm", name, one)
            elif type(one) is known._Orthogonal:
                kind = one.orthogonal_map.name
                trivial = hasattr(one, "base")
                yield _call(
                    f"{home}:orthogonal", name,
                    orthogonal_map=(kind, None), use_trivialization=(trivial, True),
                )  # fmt: skip
            else:
                target = "torch.nn.utils.parametrize:register_parametrization"
                unsafe = {"unsafe": True} if several.unsafe else {}
                yield Call(target, (name, literals.of(one)), unsafe)


def _spectral(target: str, name: str, norm: Any) -> Call:
    times = getattr(norm, "n_power_iterations", 1)
    return _call(
        target, name, n_power_iterations=(times, 1), eps=(norm.eps, 1e-12), dim=(norm.dim, 0)
    )


def _call(target: str, name: str, **arguments: tuple[Any, Any]) -> Call:
    """Returns a call with the arguments, given as (value, default), that differ from their
    default."""
    given = {key: value for key, (value, default) in arguments.items() if value != default}
    return Call(target, () if name == "weight" and not given else (name,), given)
