"""Rules for tuples, lists, dicts, comprehensions, items and texts."""

import ast
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from runner.graph.frontend.python.abstract import (
    Abstract,
    CallFrame,
    Closure,
    Items,
    Iterated,
    Known,
    Named,
    is_changeable,
    is_constant,
    is_laid_out,
    is_static,
    is_written,
    sequence_of,
    thing_of,
)
from runner.graph.frontend.python.evaluation import Evaluation, reads
from runner.graph.frontend.python.iteration import known_items, known_part, opened, taken
from runner.graph.frontend.python.special_methods import special
from runner.graph.ir.node import Value
from runner.nn.values.expression import Expression

# Displays


@reads(ast.Constant)
def _constant(ev: Evaluation, node: ast.Constant) -> Abstract:
    return Known(node.value)


@reads(ast.Tuple)
def _tuple(ev: Evaluation, node: ast.Tuple) -> Abstract:
    values, rest = apart(ev, node.elts)
    if rest is None:
        return Items(tuple(values))
    return ev.emit("call_function", "builtins:tuple", (_joined(ev, values, rest),))


@reads(ast.List)
def _list(ev: Evaluation, node: ast.List) -> Abstract:
    values, rest = apart(ev, node.elts)
    return new_list(ev, values) if rest is None else _joined(ev, values, rest)


def apart(ev: Evaluation, nodes: Sequence[ast.expr]) -> tuple[list[Abstract], Abstract | None]:
    """Returns the values of expressions, those with a star taken apart: the values that are known
    one by one, and a sequence of those after them, None if there are none."""
    values: list[Abstract] = []
    for at, node in enumerate(nodes):
        if not isinstance(node, ast.Starred):
            values.append(ev.evaluate(node))
            continue
        whole = opened(ev.evaluate(node.value))
        items = known_items(ev, whole)
        if items is not None:
            values += map(taken, items)
            continue
        whole = sequence_of(whole)
        more, rest = apart(ev, nodes[at + 1 :])
        if more or rest is not None:
            first = ev.emit("call_function", "builtins:list", (whole,))
            after = new_list(ev, more) if rest is None else _joined(ev, more, rest)
            whole = ev.operator("add", first, after)
        return values, whole
    return values, None


def _joined(ev: Evaluation, values: Sequence[Abstract], rest: Abstract) -> Abstract:
    """Returns a list of values and of those in a sequence."""
    made = ev.emit("call_function", "builtins:list", (rest,))
    return ev.operator("add", new_list(ev, values), made) if values else made


def found(ev: Evaluation, thing: Any) -> Abstract:
    """Returns what a function or operator makes: a new list or dict, else an object that is
    known."""
    if type(thing) is list:
        return new_list(ev, [*map(Known, thing)])
    if type(thing) is dict:
        return new_dict(ev, [(Known(key), Known(value)) for key, value in thing.items()])
    return Known(thing)


def new_list(ev: Evaluation, values: Sequence[Abstract]) -> Abstract:
    """Returns a new list of values."""
    made = ev.emit("list", "", values)
    ev.lists[made] = tuple(values)
    return made


@reads(ast.Dict)
def _dict(ev: Evaluation, node: ast.Dict) -> Abstract:
    whole: Abstract | None = None  # what comes before the pairs, if that is not known one by one
    pairs: list[tuple[Abstract, Abstract]] = []
    for key, value in zip(node.keys, node.values, strict=True):
        if key is not None:
            pairs.append((ev.evaluate(key), ev.evaluate(value)))
            continue
        inner = ev.evaluate(value)
        if has_names(ev, inner):
            pairs += [(Known(name), part) for name, part in named_items(ev, inner).items()]
            continue
        before = _merged(ev, whole, pairs)
        copied = ev.emit("call_function", "builtins:dict", (inner,))
        whole = copied if before is None else ev.operator("or_", before, copied)
        pairs = []
    return _merged(ev, whole, pairs) or new_dict(ev, [])


def _merged(
    ev: Evaluation, whole: Abstract | None, pairs: Sequence[tuple[Abstract, Abstract]]
) -> Abstract | None:
    """Returns a dict of what is in another one, if any, and of pairs; None if there is nothing."""
    if not pairs:
        return whole
    made = new_dict(ev, pairs)
    return made if whole is None else ev.operator("or_", whole, made)


def new_dict(ev: Evaluation, pairs: Sequence[tuple[Abstract, Abstract]]) -> Abstract:
    """Returns a new dict of keys and values."""
    made = ev.emit("dict", "", [part for pair in pairs for part in pair])
    if all(is_static(key) for key, _ in pairs):
        ev.dicts[made] = {thing_of(key): value for key, value in pairs}
    return made


def has_names(ev: Evaluation, value: Abstract) -> bool:
    """Returns whether a value is a mapping that is known item by item."""
    if isinstance(value, Value | Named) and value in ev.dicts:
        return True
    return is_laid_out(value) and hasattr(thing_of(value), "keys")


def named_items(ev: Evaluation, value: Abstract) -> dict[Any, Abstract]:
    """Returns the items of a mapping that is known. Raises Unreadable for any other."""
    if isinstance(value, Value | Named) and value in ev.dicts:
        return {**ev.dicts[value]}
    if is_laid_out(value) and hasattr(thing_of(value), "keys"):
        mapping = thing_of(value)
        return {key: known_part(ev, value, Known(key), mapping[key]) for key in mapping}
    if type(value) is Named:
        raise ev.error("keyword arguments change on a condition or in a loop")
    raise ev.error("the names after a ** are not known before the model runs")


@reads(ast.Set)
def _set(ev: Evaluation, node: ast.Set) -> Abstract:
    values, rest = apart(ev, node.elts)
    made = new_list(ev, values) if rest is None else _joined(ev, values, rest)
    return ev.emit("call_function", "builtins:set", (made,))


# Comprehensions


@reads(ast.ListComp)
def _list_comprehension(ev: Evaluation, node: ast.ListComp) -> Abstract:
    return _listed(ev, node.generators, node.elt)


def _listed(ev: Evaluation, generators: Sequence[ast.comprehension], element: ast.expr) -> Abstract:
    return _comprehended(ev, generators, [element], "append", ast.List([], ast.Load()))


@reads(ast.GeneratorExp)
def _generator(ev: Evaluation, node: ast.GeneratorExp) -> Abstract:
    """Returns a generator: what it iterates over is evaluated now, all else when it is used."""
    first, *others = node.generators
    frame, over = ev.frame, ev.evaluate(first.iter)
    given = ast.comprehension(first.target, _name("$given"), first.ifs, first.is_async)

    def make() -> Abstract:
        if ev.frame is not frame:
            raise ev.error("a generator is used by another function; make a list of it")
        with _variables(ev, {"$given": over}):
            return _listed(ev, [given, *others], node.elt)

    return Iterated("generator", (over,), make=make)


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


@contextmanager
def _variables(ev: Evaluation, values: Mapping[str, Abstract]) -> Iterator[None]:
    """Gives values to variables that synthesized syntax reads."""
    ev.frame.env |= values
    yield
    for name in values:
        ev.frame.env.pop(name, None)


@reads(ast.SetComp)
def _set_comprehension(ev: Evaluation, node: ast.SetComp) -> Abstract:
    listed = _comprehended(ev, node.generators, [node.elt], "append", ast.List([], ast.Load()))
    return ev.emit("call_function", "builtins:set", (listed,))


@reads(ast.DictComp)
def _dict_comprehension(ev: Evaluation, node: ast.DictComp) -> Abstract:
    pair = [node.key, node.value]  # in this order
    return _comprehended(ev, node.generators, pair, "__setitem__", ast.Dict([], []))


def mapped(ev: Evaluation, function: Abstract, over: Sequence[Abstract]) -> Abstract:
    """Returns a `map`, which calls the function when its items are taken."""
    whole = over[0] if len(over) == 1 else Iterated("zip", tuple(over))

    def make() -> Abstract:
        rows = known_items(ev, whole)
        if rows is not None:
            values = [taken(row) for row in rows]
            given = [v.items if len(over) > 1 and type(v) is Items else (v,) for v in values]
            return Items(tuple([ev.around.call(ev, function, args, {}) for args in given]))
        item = _name("$item")
        argument = item if len(over) == 1 else ast.Starred(item, ast.Load())
        call = ast.copy_location(ast.Call(_name("$function"), [argument], []), ev.node)
        loop = ast.comprehension(ast.Name("$item", ast.Store()), _name("$over"), [], 0)
        with _variables(ev, {"$function": function, "$over": whole}):
            return _listed(ev, [loop], call)

    return Iterated("map", (function, *over), make=make)


def filtered(ev: Evaluation, function: Abstract, over: Abstract) -> Abstract:
    """Returns a `filter`, which calls the function when its items are taken."""

    def make() -> Abstract:
        item = _name("$item")
        test = item
        if not is_constant(function, None):
            test = ast.copy_location(ast.Call(_name("$function"), [item], []), ev.node)
        loop = ast.comprehension(ast.Name("$item", ast.Store()), _name("$over"), [test], 0)
        with _variables(ev, {"$function": function, "$over": over}):
            return _listed(ev, [loop], ast.copy_location(item, ev.node))

    return Iterated("filter", (function, over), make=make)


def _comprehended(
    ev: Evaluation,
    generators: Sequence[ast.comprehension],
    elements: Sequence[ast.expr],
    method: str,
    empty: ast.expr,
) -> Abstract:
    """Evaluates a comprehension as the loops it abbreviates, with variables of its own."""
    result = f"$made{id(elements[0])}"
    made = ast.Name(result, ast.Load())
    called = ast.Call(ast.Attribute(made, method, ast.Load()), [*elements], [])
    body: list[ast.stmt] = [ast.Expr(called)]
    for generator in reversed(generators):
        if generator.is_async:
            raise ev.error("an asynchronous comprehension has no form in a graph")
        for test in reversed(generator.ifs):
            body = [ast.If(test, body, [])]
        body = [ast.For(generator.target, generator.iter, body, [])]
    for inner in ast.walk(body[0]):
        if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
            ast.copy_location(inner, ev.node)
    if any(isinstance(inner, ast.NamedExpr) for inner in ast.walk(body[0])):
        return _in_frame(ev, result, empty, body[0], generators)
    loop = body[0]
    assert isinstance(loop, ast.For), "a comprehension iterates"
    closure = Closure(
        ast.Lambda(ast.arguments([], [], None, [], [], None, []), loop),  # type: ignore[arg-type]
        ev.frame.closure.file, (), {}, frame=ev.frame,
    )  # fmt: skip
    made_list = ev.evaluate(ast.copy_location(empty, ev.node))
    with ev.calling(CallFrame(closure, {result: made_list})):
        ev.execute(loop)
        return ev.resolved(ev.frame.env[result])


def _in_frame(
    ev: Evaluation,
    result: str,
    empty: ast.expr,
    loop: ast.stmt,
    generators: Sequence[ast.comprehension],
) -> Abstract:
    """Evaluates a comprehension that assigns variables of the function around it."""
    own = {
        n.id for each in generators for n in ast.walk(each.target) if isinstance(n, ast.Name)
    }  # fmt: skip
    env = ev.frame.env
    hidden = {name: env[name] for name in own if name in env}
    env[result] = ev.evaluate(ast.copy_location(empty, ev.node))
    ev.execute(loop)
    env = ev.frame.env
    comprehended = ev.resolved(env.pop(result))
    for name in own:
        env.pop(name, None)
    env.update(hidden)
    return comprehended


# Items


@reads(ast.Slice)
def _slice(ev: Evaluation, node: ast.Slice) -> Abstract:
    bounds = [
        Known(None) if part is None else ev.evaluate(part)
        for part in (node.lower, node.upper, node.step)
    ]
    if all(type(part) is Known and part.write is None and is_static(part) for part in bounds):
        return Known(slice(*map(thing_of, bounds)))
    known = slice(*map(thing_of, bounds)) if all(map(is_static, bounds)) else bounds
    return Known(known, lambda: slice(*map(ev.argument, bounds)))


@reads(ast.Subscript)
def _subscript(ev: Evaluation, node: ast.Subscript) -> Abstract:
    owner = ev.evaluate(node.value)
    return item(ev, owner, ev.evaluate(node.slice))


def item(ev: Evaluation, owner: Abstract, index: Abstract) -> Abstract:
    """Returns `owner[index]`."""
    if (own := special(ev, "__getitem__", owner, index)) is not None:
        return own
    fixed = is_static(index) and not isinstance(thing_of(index), list)
    key: Any = thing_of(index) if fixed else None
    items: Sequence[Abstract] | None = owner.items if type(owner) is Items else None
    if isinstance(owner, Value) and owner in ev.lists:
        items = ev.lists[owner]
    if fixed and items is not None and type(key) is slice:
        cut = items[key]
        return _part(ev, owner, index, cut) if isinstance(owner, Value) else Items(tuple(cut))
    if fixed and items is not None and isinstance(key, int):
        if not -len(items) <= key < len(items):
            raise ev.error(f"the index {key} is out of the range of {len(items)} items")
        one: Abstract = items[key]
        return one
    if fixed and isinstance(owner, Value | Named) and key in ev.dicts.get(owner, ()):
        return ev.dicts[owner][key]
    if type(owner) is Known and isinstance(owner.thing, nn.Module) and not fixed and ev.strict:
        raise ev.error(f"a {type(owner.thing).__name__} is indexed by a value")
    if not fixed or not is_laid_out(owner):
        return _written_item(ev, owner, index)
    thing = thing_of(owner)
    if isinstance(thing, dict) and key not in thing and hasattr(type(thing), "__missing__"):
        ev.changes(owner)
    part = ev.evaluated(operator.getitem, thing, key)
    if type(key) is slice and type(part) is list:
        places = range(len(thing))[key]
        return new_list(ev, [known_part(ev, owner, Known(at), thing[at]) for at in places])
    if is_changeable(part):
        return known_part(ev, owner, index, part)
    write = _write_item(ev, owner, index) if is_written(owner) and _is_plain(part) else None
    return Known(part, write)


def _is_plain(part: Any) -> bool:
    return isinstance(part, int | float | str | complex | tuple | list | type(None))


def _part(ev: Evaluation, owner: Value, index: Abstract, part: Sequence[Abstract]) -> Abstract:
    cut = ev.operator("getitem", owner, index)
    ev.lists[cut] = tuple(part)
    return cut


def _write_item(ev: Evaluation, owner: Abstract, index: Abstract) -> Callable[[], Any]:
    return lambda: ev.operator("getitem", owner, index)


def _written_item(ev: Evaluation, owner: Abstract, index: Abstract) -> Abstract:
    if type(owner) is Known and isinstance(owner.thing, Expression) and is_static(index):
        return Known(
            ev.evaluated(operator.getitem, owner.thing, thing_of(index)),
            _write_item(ev, owner, index),
        )
    return ev.operator("getitem", owner, index)


def set_item(ev: Evaluation, owner: Abstract, index: Abstract, value: Abstract) -> None:
    """Evaluates `owner[index] = value`."""
    if type(owner) is Named and is_static(index):
        ev.dicts[owner] = named_items(ev, owner) | {thing_of(index): value}
        return
    if special(ev, "__setitem__", owner, index, value) is not None:
        return
    if type(owner) is Known and not isinstance(owner.thing, Tensor):
        ev.changes(owner)
    if not isinstance(owner, Value | Known):
        raise ev.error("it assigns an item of a tuple")
    given = [ev.argument(each) for each in (owner, index, value)]
    if type(owner) is Known or (owner not in ev.dicts and owner not in ev.lists):
        ev.forget(value)
    ev.create("call_function", "operator:setitem", given, outputs=())
    if not isinstance(owner, Value):
        return
    items, pairs = ev.lists.get(owner), ev.dicts.get(owner)
    fixed = is_static(index)
    if items is not None and fixed and type(thing_of(index)) is int:
        changed = [*items]
        if -len(items) <= thing_of(index) < len(items):
            changed[thing_of(index)] = value
        ev.lists[owner] = tuple(changed)
    elif pairs is not None and fixed:
        ev.dicts[owner] = {**pairs, thing_of(index): value}
    else:
        ev.forget(owner)


@reads(ast.Delete)
def _delete(ev: Evaluation, node: ast.Delete) -> None:
    for target in node.targets:
        match target:
            case ast.Name(name):
                ev.frame.env.pop(name, None)
            case ast.Subscript(owner_node, index_node):
                owner, index = ev.evaluate(owner_node), ev.evaluate(index_node)
                if not isinstance(owner, Value):
                    raise ev.error("it deletes from a container that exists before the model runs")
                given = (ev.argument(owner), ev.argument(index))
                ev.create("call_function", "operator:delitem", given, outputs=())
                ev.forget(owner)
            case _:
                raise ev.error("it deletes an attribute")


# Texts


@reads(ast.JoinedStr)
def _text(ev: Evaluation, node: ast.JoinedStr) -> Abstract:
    template, values = "", []
    for part in node.values:
        if isinstance(part, ast.Constant):
            template += str(part.value).replace("{", "{{").replace("}", "}}")
            continue
        assert isinstance(part, ast.FormattedValue), "the grammar of Python"
        values.append(ev.evaluate(part.value))
        sign = {-1: "", 115: "!s", 114: "!r", 97: "!a"}[part.conversion]
        template += "{" + sign + _spec(ev, part.format_spec, values) + "}"
    if all(map(is_static, values)):
        return Known(ev.now(template.format, values, {}))
    return ev.emit("call_method", "format", (Known(template), *values))


def _spec(ev: Evaluation, node: ast.expr | None, values: list[Abstract]) -> str:
    """Returns a format specification; its own fields are taken from `values` in order."""
    if node is None:
        return ""
    assert isinstance(node, ast.JoinedStr), "the grammar of Python"
    text = ":"
    for part in node.values:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        else:
            assert isinstance(part, ast.FormattedValue), "the grammar of Python"
            values.append(ev.evaluate(part.value))
            text += "{}"
    return text
