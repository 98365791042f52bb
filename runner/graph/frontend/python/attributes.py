"""Rules for names and attributes: what they refer to when the model is converted."""

import ast
import builtins
import inspect
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from runner.graph.frontend.python.abstract import (
    PLAIN,
    VIEWS,
    Abstract,
    CallFrame,
    Closure,
    Iterated,
    Known,
    Missing,
    Named,
    is_static,
    thing_of,
)
from runner.graph.frontend.python.choices import answer, has_open_arguments, is_open
from runner.graph.frontend.python.evaluation import Evaluation, reads
from runner.graph.frontend.python.invocation import invoke_living
from runner.graph.frontend.python.source import Unreadable
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.ir.node import Argument, Value
from runner.nn.values.expression import Expression
from runner.nn.values.value import is_decided

_READ = (*PLAIN, Expression, tuple, list, dict, set, frozenset)


@reads(ast.Name)
def _name(ev: Evaluation, node: ast.Name) -> Abstract:
    found = look_up(ev, node.id)
    if type(found) is Missing:
        raise ev.error(found.why or f"{node.id} is read, but may not be assigned yet")
    return found


def look_up(ev: Evaluation, name: str) -> Abstract:
    """Returns what a name refers to: a variable, one of an enclosing function, a global, or a
    builtin."""
    frame: CallFrame | None = ev.frame
    while frame is not None:
        if name in frame.env:
            return _taken_from(ev, frame, name)
        function = frame.closure.function
        if function is not None:
            return _outside(ev, function, name)
        frame = frame.closure.frame
    return Missing()


def _taken_from(ev: Evaluation, frame: CallFrame, name: str) -> Abstract:
    """Returns the value of a variable; an iterator is given once."""
    found = ev.resolved(frame.env[name])
    frame.env[name] = found
    if type(found) is Iterated and found.kind not in VIEWS:
        frame.env[name] = Missing(f"{name} is an iterator, which may be used up; make a list of it")
    return found


def _outside(ev: Evaluation, function: Any, name: str) -> Abstract:
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    if name in cells:
        try:
            return Known(cells[name].cell_contents)
        except ValueError:
            return Missing()
    if name in function.__globals__:
        return Known(function.__globals__[name])
    return Known(vars(builtins)[name]) if name in vars(builtins) else Missing()


@reads(ast.Attribute)
def _attribute(ev: Evaluation, node: ast.Attribute) -> Abstract:
    return attribute(ev, ev.evaluate(node.value), ev.mangled(node.attr))


def attribute(ev: Evaluation, owner: Abstract, name: str) -> Abstract:
    """Returns `owner.name`."""
    if type(owner) is Known and isinstance(owner.thing, nn.Module):
        return _of_module(ev, owner.thing, name)
    if isinstance(owner, Value) or (type(owner) is Known and isinstance(owner.thing, Tensor)):
        return ev.emit("call_function", "builtins:getattr", (owner, Known(name)))
    if type(owner) is Known and not isinstance(owner.thing, Expression):
        return Known(ev.evaluated(getattr, owner.thing, name))
    if type(owner) is Named or isinstance(owner, Closure):
        raise ev.error(f"{name!r} of a local object is used as a value")
    return ev.emit("call_function", "builtins:getattr", (owner, Known(name)))


def _of_module(ev: Evaluation, module: Any, name: str) -> Abstract:
    if name == "training":
        return read(ev, module, name)
    if name in module._modules:
        return Known(module._modules[name])
    if ev.around.is_dynamic(module, name) and hasattr(module, name):
        ev.around.read(module, name)
        return read(ev, module, name)
    for tensors in (module._parameters, module._buffers):
        if name in tensors:
            if tensors[name] is None:
                return Known(None)
            return Known(tensors[name], lambda: read(ev, module, name))
    if is_open(module):
        return _of_choice(ev, module, name)
    if has_open_arguments(module) and not inspect.isroutine(getattr(module, name, None)):
        return read(ev, module, name)
    found = inspect.getattr_static(type(module), name, None)
    if isinstance(found, property) and name not in ("__dict__", "__class__"):
        if parametrize.is_parametrized(module, name):
            return read(ev, module, name)
        return _property(ev, module, found, name)
    try:
        return _plain(ev, module, name, getattr(module, name))
    except AttributeError:  # it may exist once the model has run
        return ev.emit("call_function", "builtins:getattr", (Known(module), Known(name)))


def _of_choice(ev: Evaluation, module: Any, name: str) -> Abstract:
    """Returns an attribute of the module that a LayerChoice chooses: known per sample if all
    candidates have plain values, else read when the model runs."""
    if module.kind != "LayerChoice":
        raise ev.error(f"it reads {name!r} of a {module.kind}")
    try:
        return answer(ev, module, lambda candidate: getattr(candidate, name))
    except Unreadable:
        if not all(_keeps(candidate, name) for candidate in module.children()):
            raise
        return ev.emit("call_function", "builtins:getattr", (Known(module), Known(name)))


def _keeps(module: nn.Module, name: str) -> bool:
    """Returns whether a module that is made again has an attribute if this one has it."""
    is_part = any(name in parts for parts in (module._parameters, module._buffers, module._modules))
    return is_part or is_opaque(module) or not hasattr(module, name)


def _plain(ev: Evaluation, module: nn.Module, name: str, value: Any) -> Abstract:
    """Returns a plain attribute: known, but written as a read of it."""
    held = vars(module).get(name, module) is value
    if isinstance(value, (Tensor, *_READ)) or is_decided(value):

        def write() -> Argument:
            ev.around.read(module, name)
            return read(ev, module, name)

        return Known(value, write, (module, name) if held else None)
    return Known(value, None, (module, name) if held else None)


def read(ev: Evaluation, module: nn.Module, name: str) -> Value:
    """Creates a read of an attribute of a module."""
    path = ev.around.path(module)
    if path is None:
        raise ev.error(
            f"{name!r} of a {type(module).__name__} is used, which is no part of this module"
        )
    node = ev.create("get_attr", path.child(name).path)
    return node.output


def _property(ev: Evaluation, module: nn.Module, found: property, name: str) -> Abstract:
    getter: Any = found.fget
    if not inspect.isfunction(getter):
        raise ev.error(f"the property {name!r} has no source")
    return invoke_living(ev, getter, [Known(module)], {})


def set_attribute(ev: Evaluation, owner: Abstract, name: str, value: Abstract) -> None:
    """Sets an attribute of the module itself, or of an object that is a value."""
    if isinstance(owner, Value):
        given = (owner, Known(name), value)
        ev.create("call_function", "builtins:setattr", [*map(ev.argument, given)], outputs=())
        return
    thing = thing_of(owner) if is_static(owner) else None
    if not isinstance(thing, nn.Module):
        raise ev.error(f"it sets {name!r} of an object that the graph does not contain")
    path = ev.around.path(thing)
    if path is None:
        raise ev.error(f"it sets {name!r} of a module that is no part of this one")
    if name == "training" or name in thing._modules:
        raise ev.error(f"it sets self.{name}, on which the structure of the model depends")
    argument = ev.argument(value)
    ev.around.changes(thing, name)
    if path.names or not hasattr(thing, name):
        on = ev.argument(owner)
        ev.create("call_function", "builtins:setattr", (on, name, argument), outputs=())
        return
    ev.around.read(thing, name)
    ev.create("set_attr", name, (argument,), outputs=())
