"""Rules for calls: of modules, methods, functions and classes."""

import ast
import functools
import inspect
import logging
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from runner.errors import GraphError
from runner.graph.class_source.scopes import BUILTINS as BUILTIN_NAMES
from runner.graph.frontend.literals.references import reference
from runner.graph.frontend.python.abstract import (
    Abstract,
    Closure,
    Items,
    Known,
    Named,
    Partial,
    is_constant,
    is_open,
    is_static,
    thing_of,
)
from runner.graph.frontend.python.attributes import attribute, look_up
from runner.graph.frontend.python.choices import has_open_arguments
from runner.graph.frontend.python.containers import apart, found, has_names, named_items
from runner.graph.frontend.python.evaluation import Evaluation, reads
from runner.graph.frontend.python.invocation import invoke, invoke_living
from runner.graph.frontend.python.iteration import opened
from runner.graph.frontend.python.known_functions import CallArguments, rule_of
from runner.graph.frontend.python.methods import call_method, call_through
from runner.graph.frontend.python.source import positional
from runner.graph.ir.node import Value
from runner.nn.values.expression import Expression
from runner.nn.values.value import is_decided
from runner.operators import acts

_STRUCTURE = frozenset(
    [
        "children",
        "named_children",
        "modules",
        "named_modules",
        "parameters",
        "named_parameters",
        "buffers",
        "named_buffers",
        "items",
        "keys",
        "values",
        "get_submodule",
        "__len__",
        "__contains__",
    ]
)


_OF_CHILDREN = frozenset(["children", "named_children", "items", "keys", "values", "__len__"])


@reads(ast.Expr)
def _statement(ev: Evaluation, node: ast.Expr) -> None:
    """Reads an expression that is a statement. A method whose name says nothing of what it changes
    (`add` of a set, which a tensor has as well) is called through the object."""
    call_ = node.value
    if (
        isinstance(call_, ast.Call)
        and isinstance(call_.func, ast.Attribute)
        and not acts(f".{call_.func.attr}")
        and not _is_super(ev, call_)
    ):
        name = ev.mangled(call_.func.attr)
        owner = ev.evaluate(call_.func.value)
        args, kwargs = arguments_of(ev, call_)
        ev.node = call_
        if isinstance(owner, Value) and (name in _AMBIGUOUS or _may_be_object(owner)):
            call_through(ev, owner, name, args, kwargs)
        else:
            call_method(ev, owner, name, args, kwargs)
    elif not isinstance(call_, ast.Constant):
        ev.evaluate(call_)


_AMBIGUOUS = ("add", "sub")


def _may_be_object(owner: Value) -> bool:
    """Returns whether nothing says that a value is a tensor."""
    return owner.node is None or owner.node.op in ("call_module", "get_attr", "if", "unpack")


@reads(ast.Call)
def _call(ev: Evaluation, node: ast.Call) -> Abstract:
    if _is_super(ev, node):
        return _super(ev)
    if isinstance(node.func, ast.Attribute):
        owner = ev.evaluate(node.func.value)
        args, kwargs = arguments_of(ev, node)
        ev.node = node
        return call_method(ev, owner, ev.mangled(node.func.attr), args, kwargs)
    callee = ev.evaluate(node.func)
    args, kwargs = arguments_of(ev, node)
    return call(ev, callee, args, kwargs)


def arguments_of(ev: Evaluation, node: ast.Call) -> CallArguments:
    """Returns the values of the arguments of a call, those with stars taken apart."""
    args, rest = apart(ev, node.args)
    args = [opened(arg) for arg in args]
    kwargs: dict[str, Abstract] = {} if rest is None else {"*": rest}
    for keyword in node.keywords:
        value = ev.evaluate(keyword.value)
        if keyword.arg is not None:
            kwargs[keyword.arg] = value
        elif has_names(ev, value):
            kwargs |= named_items(ev, value)
        elif "**" in kwargs:
            raise ev.error("two mappings after ** have no form in a graph; merge them first")
        else:
            kwargs["**"] = value
    return args, kwargs


def _is_super(ev: Evaluation, node: ast.Call) -> bool:
    if not isinstance(node.func, ast.Name) or node.func.id != "super" or node.args:
        return False
    return is_constant(look_up(ev, "super"), super)


def _super(ev: Evaluation) -> Abstract:
    """Returns `super()`: that of the class around the function, for its first parameter."""
    cls, frame = look_up(ev, "__class__"), ev.frame
    names = positional(frame.closure.node)
    itself = frame.env.get(names[0]) if names else None
    if type(cls) is not Known or type(itself) is not Known:
        raise ev.error("super() is called outside of a method")
    return Known(super(cls.thing, itself.thing))


def call(
    ev: Evaluation, callee: Abstract, args: Sequence[Abstract], kwargs: Mapping[str, Abstract]
) -> Abstract:
    """Returns the value of `callee(*args, **kwargs)`."""
    if type(callee) is Closure:
        return invoke(ev, callee, args, kwargs)
    if type(callee) is Partial:
        together = {**callee.kwargs, **kwargs}
        return call(ev, callee.function, [*callee.args, *args], together)
    if type(callee) is not Known or isinstance(callee.thing, Tensor):
        _escape(ev, args, kwargs)
        return ev.emit("call_method", "__call__", (callee, *args), kwargs)
    thing: Any = callee.thing
    if getattr(thing, "__name__", "") in ("__setattr__", "__delattr__"):
        raise ev.error("it sets an attribute by a method of its class")
    if isinstance(thing, Expression) or is_decided(thing):
        return callee
    rule = rule_of(thing) if not {"*", "**"} & kwargs.keys() else None
    if rule is not None:
        _check_arity(ev, thing, args, kwargs)
        return rule(ev, list(args), dict(kwargs))
    if isinstance(thing, nn.Module):
        return call_module(ev, thing, "", args, kwargs)
    if isinstance(thing, types.MethodType):
        return _call_bound(ev, thing, args, kwargs)
    if isinstance(thing, functools.partial):
        before = [*map(Known, thing.args)]
        named = {name: Known(value) for name, value in thing.keywords.items()}
        return call(ev, Known(thing.func), [*before, *args], {**named, **kwargs})
    if isinstance(thing, types.FunctionType):
        return call_function(ev, thing, args, kwargs)
    if not isinstance(thing, type) and not _is_builtin(thing):
        method = inspect.getattr_static(type(thing), "__call__", None)
        if inspect.isfunction(method) and ev.around.is_own(method):
            return invoke_living(ev, method, [callee, *args], kwargs)
        _escape(ev, args, kwargs)
        return ev.emit("call_method", "__call__", (callee, *args), kwargs)
    _escape(ev, args, kwargs, thing)
    return _called(ev, thing, args, kwargs)


def _check_arity(
    ev: Evaluation, function: Any, args: Sequence[Abstract], kwargs: Mapping[str, Abstract]
) -> None:
    """Raises Unreadable for a call that does not fit the signature of a function."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # it has none
        return
    ev.evaluated(signature.bind, *args, **kwargs)


def _is_builtin(thing: Any) -> bool:
    return inspect.isbuiltin(thing) or inspect.isroutine(thing) or hasattr(thing, "__name__")


def _called(
    ev: Evaluation, thing: Any, args: Sequence[Abstract], kwargs: Mapping[str, Abstract]
) -> Abstract:
    """Creates a call of a function or class by its name."""
    owner = getattr(thing, "__objclass__", None)
    if owner is not None and issubclass(Tensor, owner):  # torch.Tensor.add
        return ev.emit("call_method", thing.__name__, args, kwargs)
    return ev.emit("call_function", target_of(ev, thing), args, kwargs)


def target_of(ev: Evaluation, thing: Any) -> str:
    """Returns the target of a call of a function or class. Raises Unreadable if it has none."""
    owner = getattr(thing, "__self__", None)
    try:
        target = reference(owner if isinstance(owner, type) else thing)
    except GraphError as error:
        raise ev.error(str(error).rstrip(".")) from error
    home, _, name = target.partition(":")
    if home == "builtins" and name not in BUILTIN_NAMES:
        raise ev.error(f"it calls {name}(), which the source of a model must not contain")
    return f"{target}.{thing.__name__}" if isinstance(owner, type) else target


def _escape(
    ev: Evaluation,
    args: Sequence[Abstract],
    kwargs: Mapping[str, Abstract],
    callee: Any = None,
) -> None:
    """Forgets the items of lists and dicts that are passed to code which may change them."""
    if (getattr(callee, "__module__", None) or "").partition(".")[0] in ("torch", "builtins"):
        return
    for value in (*args, *kwargs.values()):
        ev.forget(value)


# Functions


def call_function(
    ev: Evaluation,
    function: types.FunctionType,
    args: Sequence[Abstract],
    kwargs: Mapping[str, Abstract],
) -> Abstract:
    """Returns the value of a call of a Python function: of a library, by its name; of the user's,
    as a function of the graph, or in place if that cannot be read, or if modules or functions are
    passed."""
    given = [*args, *kwargs.values()]
    is_own = ev.around.is_own(function)

    def in_place() -> Abstract:
        return invoke_living(ev, function, args, kwargs)

    def by_name() -> Abstract:
        _escape(ev, args, kwargs, function)
        return _called(ev, function, args, kwargs)

    def as_own() -> Abstract:
        _escape(ev, args, kwargs)
        return ev.emit("call_function", f":{ev.around.function(function)}", args, kwargs)

    if any(_is_code(ev, value) for value in given):
        return in_place() if is_own else ev.attempt(in_place, by_name)
    if not is_own:
        return by_name()
    if all(map(is_static, given)):
        return in_place()
    return ev.attempt(as_own, in_place)


def _is_code(ev: Evaluation, value: Abstract) -> bool:
    """Returns whether a value is a module, function, class, or one of a choice, or contains one."""
    if type(value) is Items:
        return any(_is_code(ev, item) for item in value.items)
    if type(value) is Named:
        return any(_is_code(ev, item) for item in ev.dicts.get(value, {}).values())
    if type(value) is Known:
        parts = value.thing if isinstance(value.thing, list | tuple) else (value.thing,)
        return any(
            isinstance(part, nn.Module | type | Expression)
            or inspect.isroutine(part)
            or is_decided(part)
            for part in parts
        )
    return type(value) in (Closure, Partial)


# Modules


def _call_bound(
    ev: Evaluation,
    method: types.MethodType,
    args: Sequence[Abstract],
    kwargs: Mapping[str, Abstract],
) -> Abstract:
    """Returns the value of a call of a bound method."""
    owner, function = method.__self__, method.__func__
    name = getattr(function, "__name__", "")
    if isinstance(owner, logging.Logger) and _is_registered(owner):
        made = ev.emit("call_function", "logging:getLogger", (Known(owner.name),))
        if name == "log":  # which tensors have as well
            return ev.emit("call_function", "logging:Logger.log", (made, *args), kwargs)
        return ev.emit("call_method", name, (made, *args), kwargs)
    if not isinstance(owner, nn.Module):
        if not ev.around.is_own(function) and (isinstance(owner, type) or _has_name(method)):
            return ev.emit("call_function", target_of(ev, method), args, kwargs)
        return invoke_living(ev, function, [Known(owner), *args], kwargs)
    in_torch = (getattr(function, "__module__", "") or "").startswith("torch.nn.modules.")
    if in_torch and name in _STRUCTURE and all(map(is_static, (*args, *kwargs.values()))):
        inner = [owner] if name in _OF_CHILDREN else [*owner.modules()]
        if any(map(is_open, inner)):
            raise ev.error(f"it asks for the {name}() of a choice")
        if any(map(has_open_arguments, inner)):
            raise ev.error(f"it asks for the {name}() of a layer that depends on the sample")
        result = ev.now(method, args, kwargs)
        return found(ev, [*result] if isinstance(result, Iterator) else result)
    if name == "__getattr__" and in_torch and is_static(args[0]):
        return attribute(ev, Known(owner), thing_of(args[0]))
    if in_torch and hasattr(nn.Module, name) and name != "forward":
        raise ev.error(f"it calls {name}() of a module, which does more than compute")
    return call_own_method(ev, owner, function, args, kwargs)


def _is_registered(logger: logging.Logger) -> bool:
    """Returns whether a logger is the one that its name stands for."""
    return logger is logging.root or logging.root.manager.loggerDict.get(logger.name) is logger


def _has_name(thing: Any) -> bool:
    """Returns whether source can import a function."""
    try:
        reference(thing)
    except GraphError:
        return False
    return True


def call_own_method(
    ev: Evaluation,
    owner: nn.Module,
    function: Any,
    args: Sequence[Abstract],
    kwargs: Mapping[str, Abstract],
) -> Abstract:
    """Returns the value of a call of a method: as a method of the unit, or in place if that cannot
    be read, or if modules or functions are passed."""

    def as_method() -> Abstract:
        name = ev.around.method(owner, function.__name__, function)
        return call_module(ev, owner, name, args, kwargs)

    def in_place() -> Abstract:
        return invoke_living(ev, function, [Known(owner), *args], kwargs)

    given = (*args, *kwargs.values())
    if any(_is_code(ev, value) for value in given) and isinstance(function, types.FunctionType):
        return in_place()
    if not isinstance(function, types.FunctionType):
        return as_method()
    return ev.attempt(as_method, in_place)


def call_module(
    ev: Evaluation,
    module: nn.Module,
    method: str,
    args: Sequence[Abstract],
    kwargs: Mapping[str, Abstract],
) -> Abstract:
    """Creates a call of a module, or of one of its methods."""
    path = ev.around.path(module)
    if path is None and type(module) is nn.Sequential and len(args) == 1 and not (method or kwargs):
        [value] = args  # a slice of a Sequential
        for part in module:
            value = call(ev, Known(part), [value], {})
        return value
    if path is None:
        raise ev.error(
            f"a {type(module).__name__} is called that PyTorch does not register here; put it into "
            "an nn.ModuleList, an nn.ModuleDict or an attribute of its own"
        )
    _escape(ev, args, kwargs)
    target = f"{path.path}:{method}" if method else path.path
    return ev.emit("call_module", target, args, kwargs)
