"""Copies methods of a user's class as text into a class that derives from one of torch only."""

import ast
import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, final

from torch import nn

from runner.graph.class_source.scopes import (
    Definition,
    DefinitionScope,
    Uncopied,
    check_is_run,
    definition,
    definitions,
    functions_of,
    is_foreign,
    mangled,
    scope,
)
from runner.graph.codegen.copied_methods.globals import MARK, Outer, attribute, marked

_OF_MODULE = frozenset(dir(nn.Module))
# Methods that the file writes itself, and those that only affect how the model is printed.
_NOT_COPIED = frozenset(
    {
        *("__init__", "__new__", "__init_subclass__", "__class_getitem__", "__subclasshook__"),
        *("forward", "extra_repr", "__repr__", "__str__", "_get_name", "__dir__"),
    }
)


@final
@dataclass(frozen=True)
class Copy:
    """The text copied from a class, with placeholders (`MARK`) for names that the file chooses."""

    members: tuple[str, ...]  # methods and attributes
    helpers: dict[str, str]  # functions that they call, by target
    own: frozenset[str]  # parameters and local variables
    names: frozenset[str]  # attributes used on any object, and strings that may name some

    @property
    def asked(self) -> frozenset[str]:
        """The targets of the user's classes that are tested for by isinstance."""
        texts = (*self.members, *self.helpers.values())
        parts = [part for text in texts for part in text.split(MARK)[1::2]]
        return frozenset(part[6:] for part in parts if part.startswith("class "))


def own_classes(cls: Any) -> list[Any]:
    """Returns the user's classes in the MRO: those of neither torch nor the standard library."""
    return [owner for owner in cls.__mro__ if is_foreign(owner.__module__)]


@final
class MethodCopies:
    """Copies of the methods of classes, each made once for the units of a graph."""

    def __init__(self) -> None:
        self._made = functools.cache(self._make)
        self._definitions = functools.cache(definitions)

    def of(
        self,
        cls: Any,
        base: Any,
        has: frozenset[str],
        functions: frozenset[str],
        used: frozenset[str],
    ) -> Copy:
        """Returns a copy of the overrides of a class, its members named in `used`, and all that
        these use in turn. `base` is the class of torch that the copy derives from, `has` are the
        attributes of its instances, `functions` the methods that are written already. Raises
        Uncopied."""
        known = frozenset(n for owner in own_classes(cls) for n in vars(owner))
        return self._made(cls, base, has & known, functions & known, used & known)

    def _make(
        self,
        cls: Any,
        base: Any,
        has: frozenset[str],
        functions: frozenset[str],
        used: frozenset[str],
    ) -> Copy:
        copier = _Copier(cls, base, has, functions, self._definitions)
        copier.run([*_overridden(cls), *sorted(used)])
        return Copy(
            tuple(copier.members), copier.helpers, frozenset(copier.own), frozenset(copier.names)
        )


def _overridden(cls: Any) -> Iterator[str]:
    """Yields the methods of nn.Module and the special methods that a class overrides."""
    seen = set(_NOT_COPIED)
    for owner in own_classes(cls):
        for name, member in vars(owner).items():
            special = name in _OF_MODULE or (name[:2] == name[-2:] == "__")
            if special and name not in seen and functions_of(member):
                seen.add(name)
                yield name


@final
class _Copier:
    """A copier of the methods of one class."""

    def __init__(
        self,
        cls: Any,
        base: Any,
        has: frozenset[str],
        functions: frozenset[str],
        definitions: Callable[[Any], dict[str, list[Definition]]],
    ) -> None:
        self.cls = cls
        self.base = base
        self.members: list[str] = []
        self.helpers: dict[str, str] = {}
        self.own: set[str] = set()
        self.names: set[str] = set()
        self.owners = own_classes(cls)
        self._has, self._functions = has, functions
        self._definitions = definitions  # the methods in the source of a class
        self._done: set[str] = {*_NOT_COPIED}
        self._waiting: list[tuple[Any, str, str]] = []  # owner, name there, name in the copy
        self._functions_waiting: list[FunctionType] = []

    def run(self, names: Iterable[str]) -> None:
        """Copies the members of these names, and all that they use."""
        for name in names:
            self.want(name)
        while self._waiting or self._functions_waiting:
            if self._waiting:
                self._member(*self._waiting.pop(0))
            else:
                self._helper(self._functions_waiting.pop(0))

    def want(self, name: str) -> None:
        """Records the use of an attribute name, and queues the member if the class defines it."""
        self.names.add(name)
        owner = next((owner for owner in self.owners if name in vars(owner)), None)
        if owner is None or name in self._done or name in self._functions:
            return
        is_data = not functions_of(vars(owner)[name])
        if not (is_data and (name in self._has or name[:2] == name[-2:] == "__")):
            self._done.add(name)
            self._waiting.append((owner, name, name))

    def above(self, owner: Any, name: str) -> str:
        """Returns the copy's name for `super().name` in a class; "" if `super()` stays valid."""
        mro = self.cls.__mro__
        found = next((c for c in mro[mro.index(owner) + 1 :] if name in vars(c)), None)
        if found is None:
            raise Uncopied(f"no base class of {owner.__name__} has {name}()")
        if found in self.owners:
            return self.of_class(found, name)
        if next((c for c in self.base.__mro__ if name in vars(c)), None) is not found:
            raise Uncopied(f"super().{name}() belongs to {found.__name__}")
        return ""

    def of_class(self, owner: Any, name: str) -> str:
        """Returns the name in the copy of an overridden method of one of the user's classes."""
        if name in _NOT_COPIED or len(self._definitions(owner).get(name, ())) != 1:
            raise Uncopied(f"it calls {owner.__name__}.{name}")
        new = f"_super_{owner.__name__}_{name.strip('_')}"
        if new not in self._done:
            self._done.add(new)
            self._waiting.append((owner, name, new))
        return new

    def need(self, function: FunctionType) -> None:
        """Queues a function that is called."""
        self._functions_waiting.append(function)

    def _member(self, owner: Any, name: str, new: str) -> None:
        value = vars(owner)[name]
        functions = functions_of(value)
        if not functions:
            self.members.append(f"{new} = {Outer(self.need).literal(value, name)}")
            return
        nodes = self._definitions(owner).get(name, [])
        if not nodes:
            raise Uncopied(f"{name}() is not defined in the source of {owner.__name__}")
        for node in nodes:
            scoped = scope(node, owner)
            writing = _Rewriting(self, owner, functions[0].__globals__, scoped)
            self.members.append(writing.text(node, new))
            check_is_run(node, scoped.code, functions)
            self.own |= scoped.own

    def _helper(self, function: FunctionType) -> None:
        target = f"{function.__module__}:{function.__qualname__}"
        if target in self.helpers:
            return
        node = definition(function)
        scoped = scope(node, None)
        check_is_run(node, scoped.code, [function])
        self.own |= scoped.own
        self.helpers[target] = ""  # registered first: it may be recursive
        writing = _Rewriting(self, None, function.__globals__, scoped)
        self.helpers[target] = writing.text(node, marked("def", target))


@final
class _Rewriting(ast.NodeTransformer):
    """A transformer of the global names of a definition, and of its uses of base classes."""

    def __init__(
        self, copier: _Copier, owner: Any, space: dict[str, Any], scoped: DefinitionScope
    ) -> None:
        self._copier = copier
        self._owner = owner
        self._space = space
        self._outer, self._own = scoped.outer, scoped.own
        self._me = scoped.code.co_varnames[0] if scoped.code.co_argcount else ""
        self._to = Outer(copier.need)
        self._in_isinstance = False

    def text(self, node: Definition, name: str) -> str:
        """Returns the source of the rewritten definition under another name."""
        made = copy.deepcopy(node)
        for decorator in made.decorator_list:
            self._check_decorator(decorator, node.name)
        before = _names(made.decorator_list, made.args.defaults, made.args.kw_defaults)
        if both := sorted(before & self._own):
            raise Uncopied(f"{both[0]!r} has two meanings in {node.name}()")
        self._outer |= before - {node.name}  # its own name is the property of a setter
        self.visit(made)
        made.name = name
        return ast.unparse(ast.fix_missing_locations(made))

    def _check_decorator(self, node: ast.expr, name: str) -> None:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and inner.id != name:
                value = self._to.value(self._space, inner.id)
                module = value if isinstance(value, ModuleType) else None
                home = module.__name__ if module else getattr(value, "__module__", None)
                if is_foreign(home):
                    raise Uncopied(f"{name}() is decorated by {ast.unparse(node)}")

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = mangled(node.attr, self._owner)
        if (above := self._super_of(node.value)) is not None:
            self._copier.names.add(node.attr)
            new = self._copier.above(above, node.attr)
            node.value = ast.Name(self._me if new else "super()", ast.Load())
            node.attr = new or node.attr
            return node
        value, name = self._module(node.value)
        if isinstance(value, ModuleType):
            found, target = attribute(value, node.attr)
            if isinstance(found, ModuleType):
                raise Uncopied(f"it uses the module {found.__name__}")
            text = marked("import", target) if target else self._text(found, f"{name}.{node.attr}")
            return ast.Name(text, node.ctx)
        self._copier.want(node.attr)
        return self.generic_visit(node)

    def _module(self, node: ast.expr) -> tuple[Any, str]:
        """Returns the global, or attribute of a module, that an expression names, and the name."""
        if isinstance(node, ast.Name) and node.id in self._outer:
            return self._to.value(self._space, node.id), node.id
        if isinstance(node, ast.Attribute):
            value, name = self._module(node.value)
            if isinstance(value, ModuleType):
                return getattr(value, node.attr, None), f"{name}.{node.attr}"
        return None, ""

    def _super_of(self, node: ast.expr) -> Any:
        """Returns the class whose bases a call of `super` searches; None for other expressions."""
        if not (isinstance(node, ast.Call) and _is(node.func, "super")):
            return None
        if self._owner is None or not (node.args or self._owner):
            raise Uncopied("a function uses super()")
        if not node.args:
            return self._owner
        first, second = node.args[0], node.args[1:]
        cls = self._class(first)
        if cls is None or len(second) != 1 or not _is(second[0], self._me):
            raise Uncopied(f"it uses {ast.unparse(node)}")
        return cls

    def _class(self, node: ast.expr) -> Any:
        """Returns the user's class in the MRO that an expression names; None for any other one."""
        if not (isinstance(node, ast.Name) and node.id in self._outer):
            return None
        value = self._to.value(self._space, node.id)
        return value if any(value is owner for owner in self._copier.owners) else None

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if _is(node.func, "isinstance") and len(node.args) == 2:
            node.args[0] = self.visit(node.args[0])
            before, self._in_isinstance = self._in_isinstance, True
            node.args[1] = self.visit(node.args[1])
            self._in_isinstance = before
            return node
        function = node.func
        if isinstance(function, ast.Attribute) and node.args and _is(node.args[0], self._me):
            owner = self._class(function.value)
            if owner is not None:  # Base.train(self, mode)
                name = mangled(function.attr, self._owner)
                found = next(c for c in owner.__mro__ if name in vars(c))
                if found in self._copier.owners:
                    new = self._copier.of_class(found, name)
                    node.func = ast.Attribute(ast.Name(self._me, ast.Load()), new, ast.Load())
                    node.args = node.args[1:]
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self._outer:
            if node.id == "super":
                raise Uncopied("it uses super() for more than a method")
            node.id = self._text(self._to.value(self._space, node.id), node.id)
        else:
            node.id = mangled(node.id, self._owner)
        return node

    def _text(self, value: Any, name: str) -> str:
        return self._to.text(value, name, classes=self._in_isinstance)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg, None)  # an annotation may name a class that is not imported

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        if "\n" in ast.unparse(node):
            raise Uncopied("it contains a multi-line string")
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and node.value.isidentifier():
            self._copier.want(node.value)
        return node

    def visit_Import(self, node: ast.Import) -> ast.AST:
        for alias in node.names:
            _check_import(alias.name)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        _check_import("" if node.level else node.module)
        return node


def _check_import(module: str | None) -> None:
    if is_foreign(module):
        raise Uncopied(f"it imports {module or 'from its package'}")


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _names(*parts: Iterable[ast.expr | None]) -> frozenset[str]:
    """Returns the names in expressions, for example those evaluated when a function is defined."""
    nodes = [node for part in parts for node in part if node is not None]
    walked = [inner for node in nodes for inner in ast.walk(node)]
    return frozenset(inner.id for inner in walked if isinstance(inner, ast.Name))
