"""Optimizers of torch without the hooks of its compiler.

Making an optimizer of torch, and each of its steps, imports `torch._dynamo`, to tell the compiler
what not to compile (`torch/_compile.py`, and `_use_grad_for_differentiable` in
`torch/optim/optimizer.py`; no setting of torch avoids it). That takes as long as the import of
torch itself, and does nothing where nothing is compiled.
"""

import functools
import inspect
import sys
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

COMPILER = "torch._dynamo"
HOOKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def make_plain(
    make: Callable[..., Optimizer], parameters: Iterable[Tensor], **settings: Any
) -> Optimizer:
    """Returns what `make(parameters, **settings)` does: an optimizer of the same class with the
    same steps. If it is one of torch, its methods do not import the compiler.

    Where the compiler is there already, or the class is somebody else's, simply calls `make`.
    """
    kind: Any = make.func if isinstance(make, partial) else make
    is_torchs = isinstance(kind, type) and f"{kind.__module__}.".startswith("torch.optim.")
    if not is_torchs or not issubclass(kind, Optimizer) or COMPILER in sys.modules:
        return make(parameters, **settings)
    made: Any = kind.__new__(kind)
    for name in HOOKED:
        setattr(made, name, _method(inspect.unwrap(getattr(kind, name)), made))
    if isinstance(make, partial):
        settings = make.keywords | settings
    kind.__init__(made, parameters, **settings)
    # After the class has put its own hooks around its step: here they are around ours.
    made.step = _method(Optimizer.profile_hook_step(_plain_step(kind)), made)
    return made  # type: ignore[no-any-return]


def _method(function: Callable[..., Any], holder: Optimizer) -> Callable[..., Any]:
    """Returns a method of one object, which does not keep it alive: it can be an attribute of it
    without a cycle, in which the parameters of a model would wait for the garbage collection."""
    held = weakref.ref(holder)

    @functools.wraps(function)
    def method(*given: Any, **named: Any) -> Any:
        return function(held(), *given, **named)

    return method


def _plain_step(kind: type[Optimizer]) -> Callable[..., Any]:
    """Returns the step of a class, as `_use_grad_for_differentiable` runs it."""
    step = inspect.unwrap(kind.step)

    def plain(self: Optimizer, *given: Any, **named: Any) -> Any:
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            return step(self, *given, **named)

    return plain
