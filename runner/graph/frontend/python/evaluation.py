"""The state of reading one function, and the table of rules from Python's syntax.

A rule is a function `rule(ev, node)`, registered for the classes of syntax that it reads:

    @reads(ast.IfExp)
    def _conditional(ev: Evaluation, node: ast.IfExp) -> Abstract: ...

A rule for an expression returns its value; one for a statement returns None. Both emit nodes in
the order in which Python evaluates.
"""

import ast
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Protocol, TypeVar, final

from torch import Tensor, nn

from runner.errors import GraphError, one_line
from runner.graph.class_source.bytecode_names import FIELDS
from runner.graph.frontend.literals.literal import Literals
from runner.graph.frontend.python.abstract import (
    NEVER,
    NONE,
    Abstract,
    CallFrame,
    Closure,
    Items,
    Iterated,
    Known,
    Merged,
    Missing,
    Named,
    holds_parts,
    is_held,
    is_same,
    parts_of,
    sequence_of,
    thing_of,
)
from runner.graph.frontend.python.container_effects import CHANGING, HARMLESS, KEEPING, consumes
from runner.graph.frontend.python.source import FunctionDefinition, Restart, Unreadable, place
from runner.graph.frontend.reading.read_module import ModulePath
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Node, Op, Value, values_in
from runner.nn.values.build import Build, building
from runner.nn.values.expression import is_symbolic

Rule = Callable[["Evaluation", Any], Any]
Result = TypeVar("Result")
DEEPEST = 40  # calls in place


def reads(*kinds: type[ast.AST]) -> Callable[[Rule], Rule]:
    """Declares the decorated function as the rule for syntax of these classes."""

    def declare(rule: Rule) -> Rule:
        vars(rule)["reads"] = kinds
        return rule

    return declare


def rules_in(*modules: ModuleType) -> dict[type[ast.AST], Rule]:
    """Returns the table of the rules in some modules, by the class of syntax."""
    functions = [function for module in modules for function in vars(module).values()]
    return {kind: rule for rule in functions for kind in getattr(rule, "reads", ())}


class Surroundings(Protocol):
    """What a function that is read may refer to: the model around it, and other functions."""

    @property
    def literals(self) -> Literals:
        """The writer of objects as constants."""

    @property
    def is_method(self) -> bool:
        """Whether the function is a method, in which choices are resolved."""

    @property
    def objects(self) -> Collection[str]:
        """The parameters whose annotations are classes of other objects than tensors."""

    @property
    def rules(self) -> Mapping[type[ast.AST], Rule]:
        """The rules by the class of syntax."""

    def call(
        self, ev: "Evaluation", callee: Abstract, args: Sequence[Abstract],
        kwargs: Mapping[str, Abstract], /,
    ) -> Abstract:  # fmt: skip
        """Returns the value of a call; see `runner.graph.frontend.python.calls`."""

    def path(self, module: nn.Module) -> ModulePath | None:
        """Returns the path of a module below the one whose method is read; None if it is not."""

    def found(self, path: str) -> Any:
        """Returns what is at the path of a get_attr now; None if there is nothing."""

    def place_of(self, tensor: Tensor) -> tuple[ModulePath, str] | None:
        """Returns the owner and name of a parameter or buffer below that module."""

    def read(self, owner: nn.Module, name: str) -> None:
        """Records that a function reads or sets an attribute."""

    def is_dynamic(self, owner: nn.Module, name: str) -> bool:
        """Returns whether methods of the model change an attribute."""

    def changes(self, owner: nn.Module, name: str, *, in_place: bool = False) -> None:
        """Records that a method changes an attribute, or with `in_place` the list that it holds.
        Unless that is known, reading starts anew."""

    def changes_at(self, target: str) -> None:
        """Records that a method changes in place what an attribute at a path holds."""

    def shares(self, owner: nn.Module, name: str) -> str | None:
        """Returns the name of an attribute that holds the same list, dict or set, if methods change
        one of the two; None if there is none."""

    def definition(self, function: Any) -> FunctionDefinition:
        """Returns the definition of a living function."""

    def is_own(self, function: Any) -> bool:
        """Returns whether a function is the user's, and read, or one of a library, and called."""

    def method(self, owner: nn.Module, name: str, function: Any) -> str:
        """Returns the name of a method among the functions of its unit, and has it read."""

    def function(self, function: Any) -> str:
        """Returns the name of a function of the user's as one of the graph, and has it read."""


@final
class Evaluation:
    """The state of reading one function.

    `frame` is that of the function being evaluated, the one read or one called in place. `lists`
    holds the items of lists, and `dicts` those of dicts, whose content is known.
    """

    def __init__(self, function: Function, around: Surroundings, frame: CallFrame) -> None:
        self.function = function
        self.around = around
        self.frame = frame
        self.lists: dict[Value, tuple[Abstract, ...]] = {}
        self.dicts: dict[Value | Named, dict[Any, Abstract]] = {}
        self._resolved: list[Merged] = []
        self.strict = False  # whether what is known better otherwise is refused
        self.node: ast.AST = frame.closure.node  # the syntax being read

    # Reading

    def evaluate(self, node: ast.expr) -> Abstract:
        """Returns the value of an expression."""
        found: Abstract = self._apply(node)
        return self.resolved(found)

    def execute(self, node: ast.stmt) -> None:
        """Reads one statement."""
        self._apply(node)

    def _apply(self, node: ast.AST) -> Any:
        rule = self.around.rules.get(type(node))
        outer, self.node = self.node, node
        try:
            if rule is None:
                raise self.error(
                    f"{_SYNTAX.get(type(node), type(node).__name__)} has no form in a graph"
                )
            return rule(self, node)
        except (Unreadable, Restart):
            raise
        except Exception as error:
            raise self.error(one_line(error)) from error
        finally:
            self.node = outer

    def evaluated(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Returns what a function returns now. Raises Unreadable if it raises, as it would when
        the model runs, or if it asks for the value of a choice."""
        try:
            with building(Build(lambda choice: choice.default, symbolic=True)):
                return function(*args, **kwargs)
        except Exception as error:
            raise self.error(f"{type(error).__name__}: {error}") from error

    def now(self, function: Any, args: Sequence[Abstract], kwargs: Mapping[str, Abstract]) -> Any:
        """Returns what a function returns now for static arguments; see `evaluated`."""
        named = {name: thing_of(value) for name, value in kwargs.items()}
        return self.evaluated(function, *map(thing_of, args), **named)

    def error(self, why: str) -> Unreadable:
        """Returns the error of the syntax being read, with its place."""
        return Unreadable(f"{self.place}: {why}")

    @property
    def place(self) -> str:
        """The place of the syntax being read, "net.py:20"."""
        return place(self.frame.closure.file, self.node)

    # Nodes of the IR

    def emit(
        self, op: Op, target: str, args: Sequence[Abstract] = (),
        kwargs: Mapping[str, Abstract] | None = None,
    ) -> Value:  # fmt: skip
        """Creates a node with arguments of these values; returns its output."""
        if consumes(op, target):
            args = [sequence_of(value) for value in args]
        given = [self.argument(value) for value in args]
        named = {name: self.argument(value) for name, value in (kwargs or {}).items()}
        if op == "call_method" and target in KEEPING:
            for value in args[1:]:
                self.forget(value)
        return self.create(op, target, given, named).output

    def create(
        self, op: Op, target: str, args: Sequence[Argument] = (),
        kwargs: Mapping[str, Argument] | None = None, *, outputs: Sequence[str] = ("",),
    ) -> Node:  # fmt: skip
        """Creates a node at the place of the syntax being read."""
        held = args[0].node if args and isinstance(args[0], Value) else None
        if (
            held is not None
            and held.op == "get_attr"
            and target in CHANGING
            and op != "call_module"
        ):
            self.around.changes_at(held.target)
        if op not in ("list", "dict"):
            self._expose(op, target, values_in(args), values_in({**(kwargs or {})}))
        return self.function.create(op, target, args, kwargs, outputs=outputs, line=self.place)

    def operator(self, name: str, *args: Abstract) -> Value:
        """Creates a call of a function of `operator`."""
        return self.emit("call_function", f"operator:{name}", args)

    def argument(self, value: Abstract) -> Argument:
        """Returns the argument for a value. Raises Unreadable if there is none."""
        value = self.resolved(value)
        match value:
            case Value():
                return value
            case Items():
                return tuple(map(self.argument, value.items))
            case Known():
                return value.write() if value.write is not None else self._constant(value.thing)
            case Named():
                return self._named(value)
            case Iterated(kind, parts) if kind in ("items", "keys", "values"):
                return self.emit("call_method", kind, parts)
            case Iterated("zip", parts):
                return self.emit("call_function", "builtins:zip", parts)
            case Iterated("enumerate", parts):
                return self.emit("call_function", "builtins:enumerate", (*parts, value.start))
            case Iterated():
                raise self.error("an iterator is kept or returned; make a list of it")
            case Missing():
                raise self.error(value.why or "a variable is read that was not assigned")
        raise self.error("a function that is defined in place is passed on; call it here instead")

    def _named(self, value: Named) -> Argument:
        if value not in self.dicts:
            raise self.error("keyword arguments change on a condition or in a loop")
        pairs = self.dicts[value].items()
        return self.emit("dict", "", [part for key, item in pairs for part in (Known(key), item)])

    def _constant(self, thing: Any) -> Argument:
        if isinstance(thing, nn.Module):
            path = self.around.path(thing)
            if path is None:
                raise self.error(f"a {type(thing).__name__} is used that is no part of this module")
            return self.function.create("get_attr", path.path, line=self.place).output
        if isinstance(thing, Tensor) and (found := self.around.place_of(thing)) is not None:
            owner, name = found
            return self.function.create("get_attr", owner.child(name).path, line=self.place).output
        if type(thing) in (tuple, list, dict) and holds_parts(thing):
            return self._container(thing)
        if is_symbolic(thing) and not self.around.is_method:
            raise self.error("a function uses a choice that is not passed to it")
        try:
            return self.around.literals.of(thing)
        except GraphError as error:
            raise self.error(str(error).rstrip(".")) from error

    def _container(self, thing: Any) -> Argument:
        """Returns a container of tensors or modules of the model, which are read one by one."""
        if type(thing) is dict:
            pairs = [Known(part) for item in thing.items() for part in item]
            return self.emit("dict", "", pairs)
        parts = tuple(map(Known, thing))
        if type(thing) is tuple:
            return self.argument(Items(parts))
        return self.emit("list", "", parts)

    # What is known of lists and dicts. Only variables and others that are known refer to them

    def forget(self, value: Abstract) -> None:
        """Forgets the items of a list or dict, and of those inside: code that is not read here may
        refer to them from now on."""
        inner: Iterable[Abstract] = ()
        if isinstance(value, Value):
            inner = (*self.lists.pop(value, ()), *self.dicts.pop(value, {}).values())
        elif type(value) is Items:
            inner = value.items
        elif type(value) is Named:
            inner = self.dicts.pop(value, {}).values()
        elif is_held(value):
            self.changes(value, in_place=False)
        for item in inner:
            self.forget(item)

    def changes(self, value: Abstract, *, in_place: bool = True) -> None:
        """Records that a list or dict which is known changes, or without `in_place` that it may.
        Raises Unreadable unless an attribute holds it."""
        if type(value) is not Known or value.origin is None:
            raise self.error("it changes a list or dict that exists before the model runs")
        owner, name = value.origin
        if name in FIELDS:
            raise self.error(f"it changes {name!r} of a module")
        self.around.changes(owner, name, in_place=in_place)

    def _expose(self, op: Op, target: str, args: Sequence[Value], named: Sequence[Value]) -> None:
        """Forgets the items of what a new node may keep, change or return."""
        if op == "call_function" and (target.startswith("torch") or target in HARMLESS):
            keeps = False
        elif op == "call_method" and args and self._is_known(args[0]):
            first, *args = args  # whose change its rule knows
            if target not in ("append", "extend", "insert", "reverse", "clear", "copy"):
                self._forget_inside(first)
            keeps = False
        elif target in ("operator:setitem", "operator:delitem") and self._is_known(args[0]):
            return
        else:
            keeps = op not in ("if", "raise", "unpack")
        for value in (*args, *named):
            self._forget_inside(value, also_held=not target.startswith("torch"))
            if keeps:
                self.forget(value)

    def _is_known(self, value: Value) -> bool:
        return value in self.lists or value in self.dicts

    def _forget_inside(self, value: Value, *, also_held: bool = True) -> None:
        for item in (*self.lists.get(value, ()), *self.dicts.get(value, {}).values()):
            if also_held or not is_held(item):
                self.forget(item)

    # Variables

    def mangled(self, name: str) -> str:
        """Returns the name of an attribute as Python stores it: `__x` in a class is private."""
        if not name.startswith("__") or name.endswith("__"):
            return name
        closure: Closure | None = self.frame.closure
        while closure is not None and closure.function is None:
            closure = None if closure.frame is None else closure.frame.closure
        qualname = (
            "" if closure is None or closure.function is None else closure.function.__qualname__
        )
        owner = qualname.rpartition(".")[0].rpartition(".")[2].lstrip("_")
        return f"_{owner}{name}" if owner and owner != "<locals>" else name

    def variable(self, name: str) -> Abstract:
        """Returns the value of a variable of the function itself."""
        found = self.resolved(self.frame.env.get(name, Missing()))
        if name in self.frame.env:
            self.frame.env[name] = found
        return found

    def assign(self, name: str, value: Abstract) -> None:
        """Assigns a variable; a new value is named after it."""
        if isinstance(value, Value) and not value.name and not value.is_input:
            value.name = name
        self.frame.env[name] = value

    def resolved(self, value: Abstract) -> Abstract:
        """Returns a value with outputs of nodes in place of merged ones."""
        if type(value) is Items:
            return Items(tuple(map(self.resolved, value.items)))
        if type(value) is not Merged:
            return value
        if value.result is None:
            value.result = self._merged(value.node, value.values, value.name)
            self._resolved.append(value)
        return value.result

    def _merged(self, node: Node, values: Sequence[Abstract], name: str) -> Abstract:
        """Adds an output to a node with blocks, for the values at their ends."""
        inner: list[Abstract] = []
        for block, v in zip(node.blocks, values, strict=True):
            with self.function.inserting_into(block):
                inner.append(self.resolved(v))
        possible = [v for v in inner if v is not NEVER]
        first = possible[0] if possible else NONE
        if all(is_same(first, other) for other in possible) and not is_inside(first, node):
            return first
        if unknown := [v for v in possible if type(v) is Missing and v.why]:
            return unknown[0]
        count = len(first.items) if type(first) is Items else -1
        if all(type(v) is Items and len(v.items) == count for v in possible):
            none = (NEVER,) * count
            rows = [v.items if type(v) is Items else none for v in inner]
            parts = zip(*rows, strict=True)
            return Items(tuple(self._merged(node, each, "") for each in parts))
        results: list[Argument] = []
        for block, v in zip(node.blocks, inner, strict=True):
            try:
                with self.function.inserting_into(block):
                    results.append(self.argument(NONE if type(v) is Missing else v))
            except Unreadable as error:
                return Missing(f"{name.lstrip('$') or 'a value'} depends on a condition ({error})")
        for v in inner:
            self.forget(v)
        for block, result in zip(node.blocks, results, strict=True):
            block.results = (*block.results, result)
        return node.add_output("" if name.startswith("$") else name)

    # Alternatives

    def attempt(self, *ways: Callable[[], Result]) -> Result:
        """Returns the result of the first way that can be read; undoes what others emitted."""
        *tried, last = ways
        for way in tried:
            with self.undone_on(Unreadable) as failed:
                return way()
            assert failed
        return last()

    @contextmanager
    def undone_on(self, kind: type[Unreadable]) -> Iterator[list[Unreadable]]:
        """Undoes what the block does, and suppresses the error, if that is of a kind."""
        block = self.function._block
        frame, env = self.frame, {**self.frame.env}
        lists, dicts = {**self.lists}, {**self.dicts}
        before = {*block.nodes}
        resolved = len(self._resolved)
        failed: list[Unreadable] = []
        try:
            yield failed
        except kind as error:
            failed.append(error)
            for merged in self._resolved[resolved:]:
                merged.result = None
            del self._resolved[resolved:]
            for node in reversed([node for node in block.nodes if node not in before]):
                node.erase()
            self.frame = frame
            self.frame.env, self.lists, self.dicts = env, lists, dicts

    @contextmanager
    def calling(self, frame: CallFrame) -> Iterator[None]:
        """Evaluates a function that is called in place."""
        outer, node = self.frame, self.node
        frame.depth = outer.depth + 1
        if frame.depth > DEEPEST:
            raise self.error("functions call each other without an end that is known")
        self.frame = frame
        try:
            yield
        finally:
            self.frame, self.node = outer, node


def is_inside(value: Abstract, node: Node) -> bool:
    """Returns whether a value is computed inside the blocks of a node."""
    if not isinstance(value, Value):
        return any(is_inside(part, node) for part in parts_of(value))
    owner = value.owner.owner if value.is_input else value.owner
    return isinstance(owner, Node) and any(
        owner is not node and owner.is_in(block) for block in node.blocks
    )


_SYNTAX = {
    ast.Try: "`try`", ast.Yield: "a generator", ast.YieldFrom: "a generator", ast.Await: "`await`",
    ast.AsyncFor: "`async for`", ast.AsyncWith: "`async with`", ast.Global: "`global`",
    ast.ClassDef: "a class inside a function", ast.Nonlocal: "`nonlocal`",
}  # fmt: skip
