"""Special methods of the classes of modules: `len(module)`, `module[0]`, `for x in module`."""

import inspect
from types import FunctionType

from torch import nn

from runner.graph.frontend.python.abstract import Abstract, Known
from runner.graph.frontend.python.evaluation import Evaluation
from runner.graph.frontend.reading.opaque import is_opaque


def special(ev: Evaluation, name: str, owner: Abstract, *args: Abstract) -> Abstract | None:
    """Returns what a special method returns that the class of a module defines; None if there is
    none but that of torch, which answers from what is known."""
    thing = owner.thing if type(owner) is Known else None
    if not isinstance(thing, nn.Module) or is_opaque(thing):
        return None
    method = inspect.getattr_static(type(thing), name, None)
    if not isinstance(method, FunctionType) or method.__module__.startswith("torch."):
        return None
    return ev.around.call(ev, Known(method), [owner, *args], {})
