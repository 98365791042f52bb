"""Rules for calls of functions that are evaluated when everything is known, or that ask about
what is known: builtins, `math`, and questions of compilers, which get the answers of Python."""

import functools
import inspect
import math
import operator
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from runner.graph.frontend.python import truth as truths
from runner.graph.frontend.python.abstract import (
    FALSE,
    NONE,
    TRUE,
    Abstract,
    Closure,
    Items,
    Iterated,
    Known,
    Named,
    Partial,
    is_constant,
    is_laid_out,
    is_open,
    is_static,
    is_written,
    thing_of,
)
from runner.graph.frontend.python.attributes import attribute, has, is_property, set_attribute
from runner.graph.frontend.python.branches import require
from runner.graph.frontend.python.choices import answer, has_open_arguments
from runner.graph.frontend.python.containers import (
    filtered,
    found,
    has_names,
    mapped,
    named_items,
    new_dict,
    new_list,
)
from runner.graph.frontend.python.evaluation import Evaluation
from runner.graph.frontend.python.iteration import known_items, taken
from runner.graph.frontend.python.operators import computed
from runner.graph.frontend.python.special_methods import special
from runner.graph.ir.node import Value
from runner.nn.values.expression import Expression

CallArguments = tuple[list[Abstract], dict[str, Abstract]]
CallRule = Callable[[Evaluation, list[Abstract], dict[str, Abstract]], Abstract]


def _plain(function: Any) -> CallRule:
    """Returns the rule of a function without effects: evaluated now if all is known."""

    def rule(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
        if all(map(is_static, (*args, *kwargs.values()))):
            return _evaluated(ev, function, args, kwargs)
        if any(type(value) is Known and is_open(value.thing) for value in args):
            raise ev.error(f"it passes a choice to {function.__name__}()")
        return ev.emit("call_function", _target(function), args, kwargs)

    return rule


def _evaluated(
    ev: Evaluation, function: Any, args: Sequence[Abstract], kwargs: dict[str, Abstract]
) -> Abstract:
    result = ev.now(function, args, kwargs)
    if (
        not any(map(is_written, args))
        or kwargs
        or not isinstance(result, int | float | complex | str)
    ):
        return found(ev, result)
    return Known(result, lambda: ev.emit("call_function", _target(function), args))


def _target(function: Any) -> str:
    return f"{function.__module__ or 'builtins'}:{function.__name__}"


def _spread(function: Any) -> CallRule:
    """Returns the rule of a function of several values, or of the items of one."""
    plain = _plain(function)

    def rule(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
        if type(kwargs.get("key")) in (Closure, Partial) and kwargs.keys() <= {"key", "reverse"}:
            return _by_key(ev, function, args, kwargs)
        if len(args) == 1 and not kwargs:
            items = known_items(ev, args[0])
            if items is not None and not is_static(args[0]):
                values = [taken(item) for item in items]
                if all(map(is_static, values)):
                    return plain(ev, [Items(tuple(values))], {})
                return plain(ev, [ev.emit("list", "", values)], {})
        return plain(ev, args, kwargs)

    return rule


def _by_key(
    ev: Evaluation, function: Any, args: list[Abstract], kwargs: dict[str, Abstract]
) -> Abstract:
    """Returns the value of `sorted`, `min` or `max` with a key that is a function of the user's."""
    items = args if len(args) > 1 else known_items(ev, args[0])
    if not items:
        raise ev.error(f"{function.__name__}() with a key, of what is not known one by one")
    values = [taken(item) for item in items]
    if function is not sorted:
        kwargs = {**kwargs, "reverse": TRUE if function is max else FALSE}
    numbers = order(ev, values, kwargs)
    return (
        values[numbers[0]]
        if function is not sorted
        else new_list(ev, [values[at] for at in numbers])
    )


def order(
    ev: Evaluation, values: Sequence[Abstract], kwargs: Mapping[str, Abstract]
) -> Sequence[int]:
    """Returns the numbers of values in the order in which they are sorted by a `key`, and in
    `reverse`. Raises Unreadable if that is not known."""
    keys = [ev.around.call(ev, kwargs["key"], [value], {}) for value in values]
    reverse = kwargs.get("reverse", FALSE)
    if not all(map(is_static, (*keys, reverse))):
        raise ev.error("the order by a key is not known before the model runs")
    things = [*map(thing_of, keys)]
    found: list[int] = ev.evaluated(
        sorted, range(len(things)), key=things.__getitem__, reverse=thing_of(reverse)
    )
    return found


def _len(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    [value] = args
    if (own := special(ev, "__len__", value)) is not None:
        return own
    if type(value) is Known and is_open(value.thing):
        module: Any = value.thing
        return Known(module.depth) if module.kind == "Repeat" else answer(ev, module, _length)
    if type(value) is Items or (isinstance(value, Value) and value in ev.lists):
        return Known(len(known_items(ev, value) or ()))
    if isinstance(value, Value | Named) and value in ev.dicts:
        return Known(len(ev.dicts[value]))
    if is_laid_out(value):
        return Known(ev.evaluated(len, thing_of(value)))
    return ev.emit("call_function", "builtins:len", args)


def _bool(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    if args and type(args[0]) is Known and isinstance(args[0].thing, nn.Module):
        return TRUE if truths.known_truth(ev, args[0]) else FALSE
    return _plain(bool)(ev, args, kwargs)


def _length(thing: Any) -> int:
    return len(thing)


def _range(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    if not all(map(is_static, args)):
        return ev.emit("call_function", "builtins:range", args)
    made = range(*map(thing_of, args))
    if not any(map(is_written, args)):
        return Known(made)
    return Known(made, lambda: ev.emit("call_function", "builtins:range", args))


# Iterators and containers


def _enumerate(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    over, *more = args
    start = more[0] if more else kwargs.get("start", Known(0))
    return Iterated("enumerate", (over,), start)


def _iter(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """Returns an iterator; what is known of its items where it is used once: as that of an
    `__iter__()`."""
    called = getattr(ev.frame.closure.node, "name", "")
    if called == "__iter__" and len(args) == 1 and known_items(ev, args[0]) is not None:
        return args[0]
    return ev.emit("call_function", "builtins:iter", args)


def _zip(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    if not is_constant(kwargs.get("strict", FALSE), False):
        lengths = {None if (items := known_items(ev, arg)) is None else len(items) for arg in args}
        if len(lengths) > 1 or None in lengths:
            raise ev.error("zip(strict=True) of sequences that are not known to be as long")
    return Iterated("zip", tuple(args))


def _reversed(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    items = known_items(ev, args[0])
    if items is None:
        return ev.emit("call_function", "builtins:reversed", args)
    return Iterated("iter", (Items(tuple(taken(item) for item in reversed(items))),))


def _map(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    return mapped(ev, args[0], args[1:])


def _filter(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    return filtered(ev, *args)


def _list(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    if not args:
        return new_list(ev, [])
    items = known_items(ev, args[0])
    if items is None:
        return ev.emit("call_function", "builtins:list", args)
    return new_list(ev, [taken(item) for item in items])


def _tuple(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    items = known_items(ev, args[0]) if args else []
    if items is None:
        return ev.emit("call_function", "builtins:tuple", args)
    if args and type(args[0]) is Known and is_static(args[0]) and args[0].write is not None:
        written = args[0]
        return Known(tuple(written.thing), lambda: ev.emit("call_function", "builtins:tuple", args))
    return Items(tuple(taken(item) for item in items))


def _dict(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    pairs: list[tuple[Abstract, Abstract]] = []
    if args:
        items = known_items(ev, args[0]) if not has_names(ev, args[0]) else None
        if has_names(ev, args[0]):
            pairs = [(Known(k), v) for k, v in named_items(ev, args[0]).items()]
        elif items is None:
            return ev.emit("call_function", "builtins:dict", args, kwargs)
        else:
            rows = [known_items(ev, taken(item)) for item in items]
            if any(row is None or len(row) != 2 for row in rows):
                return ev.emit("call_function", "builtins:dict", args, kwargs)
            pairs = [(taken(row[0]), taken(row[1])) for row in rows if row is not None]
    return new_dict(ev, [*pairs, *((Known(name), value) for name, value in kwargs.items())])


def _any_or_all(*, is_any: bool) -> CallRule:
    name = "any" if is_any else "all"

    def rule(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
        items = known_items(ev, args[0])
        values = None if items is None else [taken(item) for item in items]
        if values is None or not all(map(is_static, values)):
            return ev.emit("call_function", f"builtins:{name}", args)
        decided = (any if is_any else all)(thing_of(value) for value in values)
        return TRUE if decided else FALSE

    return rule


# Questions


def _isinstance(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    value, kinds = args
    if type(value) is Known and not isinstance(value.thing, Expression) and is_static(kinds):
        if is_open(value.thing):
            return answer(ev, value.thing, lambda module: isinstance(module, thing_of(kinds)))
        return TRUE if isinstance(value.thing, thing_of(kinds)) else FALSE
    if is_static(kinds) and not isinstance(value, Value):
        example: Any = {Items: (), Named: {}, Closure: _len, Partial: _PARTIAL}.get(type(value))
        if example is not None:
            return TRUE if isinstance(example, thing_of(kinds)) else FALSE
    if isinstance(value, Value) and is_static(kinds):
        known: Any = [] if value in ev.lists else {} if value in ev.dicts else None
        if known is not None:
            return TRUE if isinstance(known, thing_of(kinds)) else FALSE
    return ev.emit("call_function", "builtins:isinstance", args)


def _type(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    if len(args) == 1 and type(args[0]) is Known and is_open(args[0].thing):
        return answer(ev, args[0].thing, type)
    if len(args) == 1 and type(args[0]) is Known and not isinstance(args[0].thing, Expression):
        return Known(type(args[0].thing))
    return ev.emit("call_function", "builtins:type", args)


def _hasattr(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    owner, name = args
    if _may_be_set(ev, owner, name):
        return ev.emit("call_function", "builtins:hasattr", args)
    if type(owner) is Known and is_static(name) and is_open(owner.thing):
        named = thing_of(name)
        return answer(ev, owner.thing, lambda module: has(ev, module, named), named)
    if type(owner) is Known and is_static(name) and not isinstance(owner.thing, Expression):
        return TRUE if has(ev, owner.thing, thing_of(name)) else FALSE
    return ev.emit("call_function", "builtins:hasattr", args)


def _getattr(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    owner, name, *default = args
    if not is_static(name):
        raise ev.error("getattr() with a name that is not known")
    if not default:
        return attribute(ev, owner, thing_of(name))
    if type(owner) is not Known or _may_be_set(ev, owner, name):
        return ev.emit("call_function", "builtins:getattr", args)
    if is_open(owner.thing):
        raise ev.error("getattr() with a default asks about a choice; use hasattr()")
    exists = has(ev, owner.thing, thing_of(name))
    return attribute(ev, owner, thing_of(name)) if exists else default[0]


def _may_be_set(ev: Evaluation, owner: Abstract, name: Abstract) -> bool:
    """Returns whether the sample, or methods of the model, decide whether a module has an
    attribute."""
    if type(owner) is not Known or not isinstance(owner.thing, nn.Module) or not is_static(name):
        return False
    found = thing_of(name)
    if has_open_arguments(owner.thing):
        return True
    if not ev.around.is_dynamic(owner.thing, found) or is_property(owner.thing, found):
        return False
    if has(ev, owner.thing, found):
        ev.around.read(owner.thing, found)
    return True


def _setattr(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    owner, name, value = args
    if not is_static(name):
        raise ev.error("setattr() with a name that is not known")
    set_attribute(ev, owner, thing_of(name), value)
    return Known(None)


def _callable(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    if type(args[0]) is Known:
        return TRUE if callable(args[0].thing) else FALSE
    if type(args[0]) is Closure:
        return TRUE
    return ev.emit("call_function", "builtins:callable", args)


def _answer(answer: Any) -> CallRule:
    return lambda ev, args, kwargs: Known(answer)


def _second(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """Returns the value of `cast(kind, value)`."""
    return args[1]


def _torch_assert(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    given = dict(zip(("condition", "message"), args, strict=False)) | kwargs
    require(ev, given["condition"], lambda: [given["message"]])
    return NONE


def _checkpoint(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """Returns the value of a checkpointed call: the call itself, which needs more memory."""
    function, *given = args
    own = ("use_reentrant", "preserve_rng_state", "context_fn", "determinism_check", "debug",
           "early_stop")  # fmt: skip
    return ev.around.call(ev, function, given, {k: v for k, v in kwargs.items() if k not in own})


def _partial(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    function, *given = args
    return Partial(function, tuple(given), kwargs)


def unchanged(function: Any) -> Any:
    """The value of `functools.wraps(...)` as a decorator: it computes nothing."""
    return function


def _next(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    """Returns the first item of an iterator that nothing else uses."""
    over, *default = args
    is_fresh = isinstance(over, Value) and over.node is not None and over.node.op == "list"
    if not is_fresh and type(over) is not Iterated:
        return ev.emit("call_function", "builtins:next", args)
    items = known_items(ev, over)
    if items is None or not (items or default):
        raise ev.error("next() of an iterator whose items are not known")
    return taken(items[0]) if items else default[0]


def _super(ev: Evaluation, args: list[Abstract], kwargs: dict[str, Abstract]) -> Abstract:
    if len(args) != 2 or not all(map(is_static, args)):
        raise ev.error("super() of what is not known")
    return Known(super(*map(thing_of, args)))


def _operator(name: str) -> CallRule:
    function = getattr(operator, name)
    return lambda ev, args, kwargs: computed(ev, name, function, *args)


_PARTIAL = functools.partial(len)
_PURE: tuple[Any, ...] = (
    int, float, str, complex, abs, round, divmod, pow, repr, format, ord, chr, slice, bin,
    hex, frozenset, bytes, issubclass,
    *(f for name, f in vars(math).items() if name[0] != "_" and callable(f)),
)  # fmt: skip
_BY_NAME: dict[tuple[str, str], CallRule] = {  # of modules that need not be imported for it
    ("torch._jit_internal", "is_scripting"): _answer(False),
    ("torch.jit._trace", "is_tracing"): _answer(False),
    ("torch.jit", "annotate"): _second,
    ("torch.onnx", "is_in_onnx_export"): _answer(False),
    ("torch.compiler", "is_compiling"): _answer(False),
    ("torch.compiler", "is_dynamo_compiling"): _answer(False),
    ("torch.compiler", "is_exporting"): _answer(False),
    ("torch._utils", "is_compiling"): _answer(False),
    ("torch._C", "_has_torch_function"): _answer(False),
    ("torch._C", "_has_torch_function_unary"): _answer(False),
    ("torch._C", "_has_torch_function_variadic"): _answer(False),
}
BUILTINS: dict[Any, CallRule] = {
    **{function: _plain(function) for function in _PURE},
    **{function: _spread(function) for function in (min, max, sum, sorted)},
    torch._C._get_tracing_state: _answer(None), torch._assert: _torch_assert,
    len: _len, bool: _bool, iter: _iter, range: _range, enumerate: _enumerate, zip: _zip,
    reversed: _reversed, map: _map,
    filter: _filter, super: _super, checkpoint: _checkpoint, next: _next,
    list: _list, tuple: _tuple, dict: _dict, any: _any_or_all(is_any=True),
    all: _any_or_all(is_any=False), isinstance: _isinstance, type: _type, hasattr: _hasattr,
    getattr: _getattr, setattr: _setattr, callable: _callable,
    typing.cast: _second, functools.wraps: _answer(unchanged), functools.partial: _partial,
    **{
        getattr(operator, name): _operator(name)
        for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "neg",
                     "and_", "or_", "xor", "eq", "ne", "lt", "le", "gt", "ge")
    },
}  # fmt: skip


def rule_of(function: Any) -> CallRule | None:
    """Returns the rule for calls of a function, if there is one."""
    try:
        found = BUILTINS.get(function)
    except TypeError:  # it cannot be a key
        return None
    if found is None and inspect.isroutine(function):
        return _BY_NAME.get((getattr(function, "__module__", None) or "", function.__name__))
    return found
