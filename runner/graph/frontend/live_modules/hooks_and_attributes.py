"""Parts of a module that no front end reads: hooks and methods set on the object, and attributes
that cannot be written."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.frontend.literals.literal import Literals
from runner.graph.frontend.live_modules.constructor_replay import OWN
from runner.graph.frontend.live_modules.parametrizations import is_known
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.ir.node import Argument
from runner.nested import leaves
from runner.nn.recording.attribution import own_tensors, shared_with
from runner.nn.recording.construction_record import ConstructionRecord, record_of
from runner.nn.values.build import is_scripted
from runner.nn.values.expression import Expression
from runner.nn.values.value import is_decided

CALLED = "()"  # among used names: the forward is called, too
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
CanMake = Callable[[nn.Module], bool]  # whether a module can be left to its constructor
NamesOf = Callable[[Any], frozenset[str]]  # of a class
Rebuild = Callable[[nn.Module, ConstructionRecord], nn.Module | None]  # repeats a constructor call


def put_on(
    module: nn.Module, is_read: Callable[[nn.Module], bool], used: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """Returns descriptions of hooks, methods and attributes that were set on a module and are not
    read; `is_read` tells whether the methods of a module are. `used` are the names of attributes
    that classes of the model use."""
    if is_scripted(type(module)):
        return ()  # its forward is an attribute of the object
    own = vars(module)
    hooks = [hook for name in _HOOKS for hook in (own[name] or {}).values() if not is_known(hook)]
    methods = [name for name in _patched(module) if name != "forward"]
    if "forward" in own and not (_is_own_forward(module) and is_read(module)):
        methods.append("forward")
    return (
        *(f"the hook {_name(hook)!r}" for hook in hooks),
        *(f"the instance attribute {m!r}" for m in methods),
        *(
            f"{what} on its {name!r}"
            for name, tensor in own_tensors(module)
            for what in _put_on_tensor(tensor, used)
        ),
    )


def _name(hook: Any) -> str:
    return getattr(hook, "__name__", type(hook).__name__)


def _patched(module: nn.Module) -> list[str]:
    """Returns the methods of a class that an object replaces."""
    cls: Any = type(module)
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and not isinstance(value, type | nn.Module | Expression)
        if not is_decided(value)
        if inspect.isfunction(getattr(cls, name, None))
    ]


def _is_own_forward(module: nn.Module) -> bool:
    """Returns whether the forward that was set on a module can be read: a method bound to this
    module, not another one."""
    return getattr(vars(module)["forward"], "__self__", None) is module and not is_opaque(module)


def _put_on_tensor(tensor: Tensor, used: frozenset[str]) -> Iterator[str]:
    """Yields descriptions of the hooks, used attributes and class of a parameter or buffer."""
    for hook in (tensor._backward_hooks or {}).values():
        yield f"the hook {_name(hook)!r}"
    for hook in (getattr(tensor, "_post_accumulate_grad_hooks", None) or {}).values():
        yield f"the hook {_name(hook)!r}"
    for name in vars(tensor):
        if name in used:
            yield f"the attribute {name!r}"
    if not type(tensor).__module__.startswith("torch"):
        yield f"the class {type(tensor).__name__}"


def keepers(
    model: nn.Module,
    is_read: Callable[[nn.Module], bool],
    rebuild: Rebuild,
    can_make: CanMake,
    uses: NamesOf,
) -> Iterator[tuple[nn.Module, nn.Module | None, tuple[str, ...]]]:
    """Yields (module, keeper, descriptions) for each module that something was set on; the
    keeper is the innermost module around it whose constructor does the same, None if there is
    none. `is_read` is as for `put_on`, `uses` gives the names that the code of a class uses."""
    classes: set[Any] = {type(module) for module in model.modules()}
    used = frozenset[str]().union(*map(uses, classes))
    for path, module in model.named_modules():
        names = put_on(module, is_read, used)
        if names:
            yield module, keeper_of(model, path, module, rebuild, can_make), names


def keeper_of(
    model: nn.Module, path: str, module: nn.Module, rebuild: Rebuild, can_make: CanMake
) -> nn.Module | None:
    """Returns the innermost module around the one at a path whose constructor sets the same on
    it, and can be written."""
    steps = path.split(".") if path else []
    for cut in range(len(steps), -1, -1):
        around = model.get_submodule(".".join(steps[:cut]))
        record = record_of(around)
        if record is None or is_given(module, record):
            continue
        made = rebuild(around, record)
        if made is None or _marks(made, steps[cut:]) != _marks(module, []):
            continue
        if can_make(around):
            return around
    return None


def is_given(module: nn.Module, record: ConstructionRecord) -> bool:
    """Returns whether a module is among the arguments of a constructor, or inside one of them."""
    given = leaves((record.args, record.kwargs), subclasses=True)
    holders = [leaf for leaf in given if isinstance(leaf, nn.Module)]
    return any(inner is module for holder in holders for inner in holder.modules())


def _marks(module: nn.Module, steps: list[str]) -> Any:
    """Returns everything set on a module below, for comparison."""
    below: Any = module
    for step in steps:
        below = below._modules.get(step) if below is not None else None
    if below is None:
        return None
    if is_scripted(type(below)):
        return "compiled by TorchScript"
    hooks = [[_name(hook) for hook in (vars(below)[name] or {}).values()] for name in _HOOKS]
    held = [[*vars(below)[name]] for name in ("_parameters", "_buffers", "_modules")]
    tensors = [[*_put_on_tensor(t, frozenset(vars(t)))] for _, t in own_tensors(below)]
    return hooks, _patched(below), held, tensors


def lost_attributes(
    module: nn.Module, default: Callable[[nn.Module, Any], Any], uses: NamesOf
) -> Iterator[str]:
    """Yields attributes that methods of a module use and that cannot be written: lambdas, local
    functions. `default` writes defaults of the constructor, `uses` gives the names that the code
    of a class uses."""
    cls: Any = type(module)
    used = uses(cls)
    for name, value in vars(module).items():
        if name not in OWN and name in used and not is_writable(module, value, default):
            yield name


def no_module(module: nn.Module) -> Argument:
    """Raises GraphError for a module in an attribute: only registered ones are built."""
    raise GraphError(
        f"It contains a {type(module).__name__} that PyTorch does not register. Put modules into "
        "an nn.ModuleList or nn.ModuleDict."
    )


def is_writable(module: nn.Module, value: Any, default: Callable[[nn.Module, Any], Any]) -> bool:
    """Returns whether an attribute of a module can be written; one that shares memory with a
    parameter or buffer of the module cannot."""
    if shared_with(module, value) is not None:
        return False
    literals = Literals(no_module, {})
    try:
        return bool(default(module, value)) or literals.of(value) is not None or value is None
    except GraphError:
        return False
