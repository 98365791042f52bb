"""Rules for names and attributes: what they refer to when the model is converted."""

import ast
import builtins
import functools
import inspect
import types
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from runner.graph.frontend.python.abstract import (
    NONE,
    PLAIN,
    VIEWS,
    Abstract,
    CallFrame,
    Closure,
    Iterated,
    Known,
    Missing,
    Named,
    is_open,
    is_static,
    thing_of,
)
from runner.graph.frontend.python.branches import choose_value
from runner.graph.frontend.python.choices import answer, has_open_arguments
from runner.graph.frontend.python.evaluation import Evaluation, reads
from runner.graph.frontend.python.invocation import invoke_living
from runner.graph.frontend.python.source import Unreadable
from runner.graph.frontend.reading.module_values import modules_of
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.ir.node import Argument, Value
from runner.nn.values.expression import Expression
from runner.nn.values.value import is_decided

_NOTHING = object()
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
    if isinstance(owner, Value):
        for module in modules_of(ev.around.found, owner):
            _require_part(ev, module, name)
        return ev.emit("call_function", "builtins:getattr", (owner, Known(name)))
    if type(owner) is Known and isinstance(owner.thing, Tensor):
        return ev.emit("call_function", "builtins:getattr", (owner, Known(name)))
    if type(owner) is Known and not isinstance(owner.thing, Expression):
        return Known(ev.evaluated(getattr, owner.thing, name))
    if type(owner) is Named or isinstance(owner, Closure):
        raise ev.error(f"{name!r} of a local object is used as a value")
    return ev.emit("call_function", "builtins:getattr", (owner, Known(name)))


def has(ev: Evaluation, owner: Any, name: str) -> bool:
    """Returns whether a living object has an attribute, without running code of the user's. Raises
    Unreadable if only such code knows."""
    if not isinstance(owner, nn.Module):
        return hasattr(owner, name)
    parts = (owner._parameters, owner._buffers, owner._modules, vars(owner))
    if any(name in part for part in parts):
        return True
    found = inspect.getattr_static(type(owner), name, _NOTHING)
    if found is _NOTHING:
        _check_lookup(ev, owner, "__getattr__")
        return False
    if _is_computed(found) and not _is_of_torch(type(owner)):
        raise ev.error(f"it asks whether there is {name!r}, which is computed")
    return hasattr(owner, name)


def is_property(module: nn.Module, name: str) -> bool:
    """Returns whether an attribute of a module is a property of its class."""
    found = inspect.getattr_static(type(module), name, None)
    return isinstance(found, property) and name not in ("__dict__", "__class__")


def _require_part(ev: Evaluation, module: nn.Module, name: str) -> None:
    """Has a module that is a value keep an attribute or a method that a function reads."""
    if is_open(module):
        raise ev.error(f"it reads {name!r} of a module that is known when the model runs")
    if name in ("training", "forward", *module._modules) or is_opaque(module):
        return
    if any(name in held for held in (vars(module), module._parameters, module._buffers)):
        ev.around.read(module, name)
        return
    found = inspect.getattr_static(type(module), name, _NOTHING)
    function = getattr(found, "__func__", found)
    if found is _NOTHING:
        return
    if _is_computed(found) or getattr(nn.Module, name, None) is function:
        raise ev.error(f"it reads {name!r} of a module that is known when the model runs")
    if not inspect.isfunction(function):
        ev.around.read(module, name)
    elif ev.around.method(module, name, function) != name:
        raise ev.error(f"it calls {name}() of a module that is known when the model runs")


def _of_module(ev: Evaluation, module: Any, name: str) -> Abstract:
    if name == "training":
        return read(ev, module, name)
    if is_open(module):
        return _of_choice(ev, module, name)
    if has_open_arguments(module) and not inspect.isroutine(getattr(module, name, None)):
        return read(ev, module, name)
    if name in module._modules:
        return Known(module._modules[name])
    is_computed = is_property(module, name)
    found = inspect.getattr_static(type(module), name, None)
    if isinstance(found, functools.cached_property) and name not in vars(module):
        return _cached(ev, module, found.func, name)
    if (other := ev.around.shares(module, name)) is not None:
        raise ev.error(f"{name!r} and {other!r} are one object, which changes")
    if not is_computed and ev.around.is_dynamic(module, name) and has(ev, module, name):
        ev.around.read(module, name)
        return read(ev, module, name)
    for tensors in (module._parameters, module._buffers):
        if name in tensors:
            if tensors[name] is None:
                return Known(None)
            return Known(tensors[name], lambda: read(ev, module, name))
    if is_computed:
        if parametrize.is_parametrized(module, name):
            return read(ev, module, name)
        return _property(ev, module, name)
    return _stored(ev, module, name)


def _stored(ev: Evaluation, module: nn.Module, name: str) -> Abstract:
    """Returns what a module or its class holds. Raises Unreadable if the class computes it."""
    _check_lookup(ev, module, "__getattribute__")
    found = inspect.getattr_static(type(module), name, _NOTHING)
    if name in vars(module) and not inspect.isdatadescriptor(found):
        return _plain(ev, module, name, vars(module)[name])
    if found is _NOTHING:
        method = _check_lookup(ev, module, "__getattr__", read_it=True)
        if method is not None:
            return invoke_living(ev, method, [Known(module), Known(name)], {})
        if not hasattr(module, name):  # it may exist once the model has run
            return ev.emit("call_function", "builtins:getattr", (Known(module), Known(name)))
    elif name == "__dict__" or _is_computed(found):
        raise ev.error(f"{name!r} of a {type(module).__name__} is computed by its class")
    return _plain(ev, module, name, getattr(module, name))


def _is_computed(found: Any) -> bool:
    """Returns whether a member of a class is a descriptor that is no method."""
    methods = (staticmethod, classmethod, functools.partialmethod, types.GetSetDescriptorType)
    if not hasattr(type(found), "__get__") or inspect.isroutine(found):
        return False
    return not isinstance(found, methods) and not _is_of_torch(type(found))


def _cached(ev: Evaluation, module: nn.Module, function: Any, name: str) -> Abstract:
    """Returns a `cached_property`, which is a plain attribute from its first use on: a constant
    that costs nothing, else set if it is not there yet."""
    with ev.undone_on(Unreadable):
        before = len(ev.function._block.nodes)
        value = invoke_living(ev, function, [Known(module)], {})
        if (
            is_static(value)
            and isinstance(thing_of(value), PLAIN)
            and len(ev.function._block.nodes) == before
        ):
            return value
        raise ev.error("it computes")
    ev.around.changes(module, name)
    owner = Known(module)

    def made() -> Abstract:
        given = (owner, Known(name), invoke_living(ev, function, [owner], {}))
        ev.create("call_function", "builtins:setattr", [*map(ev.argument, given)], outputs=())
        return NONE

    exists = ev.emit("call_function", "builtins:hasattr", (owner, Known(name)))
    choose_value(ev, exists, lambda: NONE, made)
    return ev.emit("call_function", "builtins:getattr", (owner, Known(name)))


def _check_lookup(ev: Evaluation, module: nn.Module, method: str, *, read_it: bool = False) -> Any:
    """Returns a method that a class of the user's defines for all attributes, None if none does.
    Raises Unreadable unless it is to be read."""
    found = inspect.getattr_static(type(module), method, None)
    if found is None or _is_of_torch(found) or getattr(found, "__objclass__", None) is object:
        return None
    if not read_it:
        raise ev.error(f"{type(module).__name__} defines {method}()")
    return found


def _is_of_torch(thing: Any) -> bool:
    return (getattr(thing, "__module__", None) or "").partition(".")[0] == "torch"


def _of_choice(ev: Evaluation, module: Any, name: str) -> Abstract:
    """Returns an attribute of the module that a LayerChoice chooses: known per sample if all
    candidates have plain values, else read when the model runs."""
    if module.kind != "LayerChoice":
        raise ev.error(f"it reads {name!r} of a {module.kind}")
    if name in module.__dict__:
        raise ev.error(f"{name!r} is an attribute of the LayerChoice itself")
    try:
        return answer(ev, module, lambda candidate: getattr(candidate, name), name)
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


def _property(ev: Evaluation, module: nn.Module, name: str, *value: Abstract) -> Abstract:
    """Returns a property, or sets it to a value."""
    found = inspect.getattr_static(type(module), name)
    function: Any = found.fset if value else found.fget
    if not inspect.isfunction(function):
        raise ev.error(f"the property {name!r} has no source")
    return invoke_living(ev, function, [Known(module), *value], {})


def _is_of_model(ev: Evaluation, owner: Abstract) -> bool:
    """Returns whether a value is a parameter or buffer."""
    if type(owner) is not Known or not isinstance(owner.thing, Tensor):
        return False
    return ev.around.place_of(owner.thing) is not None


def set_attribute(ev: Evaluation, owner: Abstract, name: str, value: Abstract) -> None:
    """Sets an attribute of the module itself, of an object that is a value, or the data of a
    parameter or buffer."""
    if isinstance(owner, Value) or (name == "data" and _is_of_model(ev, owner)):
        for module in modules_of(ev.around.found, owner) if isinstance(owner, Value) else ():
            _require_part(ev, module, name)
            ev.around.changes(module, name)
        given = (owner, Known(name), value)
        ev.create("call_function", "builtins:setattr", [*map(ev.argument, given)], outputs=())
        return
    thing = owner.thing if type(owner) is Known else None
    if not isinstance(thing, nn.Module):
        raise ev.error(f"it sets {name!r} of an object that the graph does not contain")
    path = ev.around.path(thing)
    if path is None:
        raise ev.error(f"it sets {name!r} of a module that is no part of this one")
    if name == "training" or name in thing._modules:
        raise ev.error(f"it sets self.{name}, on which the structure of the model depends")
    _check_lookup(ev, thing, "__setattr__")
    if is_property(thing, name) and not parametrize.is_parametrized(thing, name):
        _property(ev, thing, name, value)
        return
    if hasattr(type(inspect.getattr_static(type(thing), name, None)), "__set__"):
        raise ev.error(f"{name!r} of a {type(thing).__name__} is set by its class")
    if is_open(thing):
        raise ev.error(f"it sets {name!r} of a choice")
    argument = ev.argument(value)
    ev.around.changes(thing, name)
    if path.names or not has(ev, thing, name):
        on = ev.argument(owner)
        ev.create("call_function", "builtins:setattr", (on, name, argument), outputs=())
        return
    ev.around.read(thing, name)
    ev.create("set_attr", name, (argument,), outputs=())
