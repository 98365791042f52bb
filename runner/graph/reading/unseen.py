"""What TorchScript does not see of a module: methods of `nn.Module` that its class overrides, what
was put on the object itself (hooks, another forward), and attributes without a literal."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from runner.errors import GraphError
from runner.graph.reading.hooks import is_known
from runner.graph.reading.literal import Literals
from runner.graph.reading.rebuild import OWN
from runner.graph.reading.touched import names_of
from runner.graph.reading.types import Type
from runner.nn.record import Record, record_of

_METHODS = (
    *("__call__", "_call_impl", "train", "eval", "requires_grad_", "_apply"),
    *("parameters", "named_parameters", "state_dict", "_save_to_state_dict"),
    *("get_extra_state", "set_extra_state"),
)
METHODS = frozenset(_METHODS)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
Twin = Callable[[nn.Module, Record], nn.Module | None]  # makes a module again


@functools.cache
def overridden(cls: Any) -> tuple[str, ...]:
    """The methods that a class overrides, and that others than its forward call."""
    own = [c for c in cls.__mro__ if issubclass(c, nn.Module) and not _is_torch(c)]
    return tuple(name for name in _METHODS if any(name in vars(c) for c in own))


def overrides(cls: Any) -> str:
    """What to say of a class that overrides methods."""
    return f"it overrides {' and '.join(f'{name}()' for name in overridden(cls))}"


def calls_anew(cls: Any) -> bool:
    """Whether a class decides itself what its forward is called with."""
    return any(name in overridden(cls) for name in ("__call__", "_call_impl"))


def _is_torch(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "torch"


def put_on(module: nn.Module, found: Type) -> tuple[str, ...]:
    """What was put on a module, and is not read: what to call each."""
    own = vars(module)
    hooks = [hook for name in _HOOKS for hook in (own[name] or {}).values() if not is_known(hook)]
    methods = [name for name in _METHODS if name in own]
    if "forward" in own and (found.problem or found.stubbed):
        methods.append("forward")
    return (*(f"the hook {_name(hook)!r}" for hook in hooks), *(f"another {m}" for m in methods))


def _name(hook: Any) -> str:
    return getattr(hook, "__name__", type(hook).__name__)


def keepers(
    model: nn.Module, types: dict[int, Type], twin: Twin
) -> Iterator[tuple[nn.Module, nn.Module | None, tuple[str, ...]]]:
    """(module, keeper, names) for each module that something was put on; the keeper is the
    innermost one around it whose constructor puts the same on it again, None if there is none."""
    for path, module in model.named_modules():
        names = put_on(module, types[id(module)])
        if names:
            yield module, keeper_of(model, path, module, twin), names


def keeper_of(model: nn.Module, path: str, module: nn.Module, twin: Twin) -> nn.Module | None:
    """The innermost module around one at a path whose constructor puts the same on it."""
    steps = path.split(".") if path else []
    for cut in range(len(steps), -1, -1):
        around = model.get_submodule(".".join(steps[:cut]))
        record = record_of(around)
        if record is None or _is_given(module, (record.args, record.kwargs)):
            continue
        again = twin(around, record)
        if again is not None and _marks(again, steps[cut:]) == _marks(module, []):
            return around
    return None


def _is_given(module: nn.Module, arguments: Any) -> bool:
    """Whether a module is among arguments, or below one of them."""
    if isinstance(arguments, nn.Module):
        return any(inner is module for inner in arguments.modules())
    if isinstance(arguments, dict):
        return _is_given(module, [*arguments.values()])
    if isinstance(arguments, tuple | list):
        return any(_is_given(module, item) for item in arguments)
    return False


def _marks(module: nn.Module, steps: list[str]) -> Any:
    """What was put on a module below, to be compared."""
    below: Any = module
    for step in steps:
        below = below._modules.get(step) if below is not None else None
    if below is None:
        return None
    hooks = [[_name(hook) for hook in (vars(below)[name] or {}).values()] for name in _HOOKS]
    held = [[*vars(below)[name]] for name in ("_parameters", "_buffers", "_modules")]
    return hooks, [name for name in ("forward", *_METHODS) if name in vars(below)], held


def lost_attributes(module: nn.Module, default: Callable[[nn.Module, Any], Any]) -> Iterator[str]:
    """Attributes that the methods of a module use, and that cannot be written down: lambdas, local
    functions. `default` writes down what is a default of the constructor."""
    literals = Literals(lambda inner: None, {})
    cls: Any = type(module)
    uses = _uses(cls)
    for name, value in vars(module).items():
        if name in OWN or name not in uses:
            continue
        try:
            if not default(module, value):
                literals.of(value)
        except GraphError:
            yield name


@functools.cache
def _uses(cls: Any) -> frozenset[str]:
    """Names that the methods of a class use."""
    owners = [c for c in cls.__mro__ if issubclass(c, nn.Module) and not _is_torch(c)]
    return frozenset(n for c in owners for member in vars(c).values() for n in names_of(member))
