"""A function that TorchScript is about to read: its syntax tree, which rules rewrite, and what its
names stand for."""

import ast
import builtins
import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from types import ModuleType
from typing import Any, NoReturn, TypeVar, final

from torch import nn

from runner.errors import GraphError

N = TypeVar("N", bound=ast.AST)
Question = Callable[[nn.Module], Any]  # what is asked of a module whose methods are read
UNKNOWN: Any = object()  # the value of an expression that only a run can tell


@final
@dataclass(eq=False)
class FunctionSource:
    """See the top of this file. Rules change `definition` in place, or raise through `refuse`.

    `module` is the living module whose method it is, where it is known to be one. What a rule
    takes for decided by an attribute of it, it asks `attribute` for.
    """

    called: Callable[..., Any]  # as TorchScript was given it, with what it is wrapped in
    function: Callable[..., Any]  # as it was defined
    definition: ast.FunctionDef
    file: str
    start: int  # the line of its first line
    module: nn.Module | None = None
    answers: bool = True  # whether questions for TorchScript are answered as Python does
    relied: list[tuple[Question, Any]] = field(default_factory=list)  # with the answers it had
    open: frozenset[str] = frozenset()  # attributes of the module that choices decide

    def place(self, node: ast.AST) -> str:
        """Returns "file.py:20" for a node of the tree."""
        line = self.start + getattr(node, "lineno", 1) - 1
        return f"{PurePath(self.file).name}:{line}"

    def refuse(self, node: ast.AST, why: str) -> NoReturn:
        """Raises GraphError: the function means something else to TorchScript than to Python."""
        raise GraphError(f"{self.place(node)}: {why}")

    @cached_property
    def itself(self) -> str:
        """The name of the module in its method; "" in a function."""
        arguments = self.definition.args.posonlyargs + self.definition.args.args
        return arguments[0].arg if arguments and self.module is not None else ""

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The names of all parameters, `self` too."""
        return frozenset(inspect.signature(self.function).parameters)

    @cached_property
    def local(self) -> frozenset[str]:
        """The names that are bound anywhere in the function, its parameters included."""
        found = set(self.parameters)
        for node in ast.walk(self.definition):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                found.add(node.id)
            elif isinstance(node, ast.FunctionDef) and node is not self.definition:
                found.add(node.name)
        return frozenset(found)

    def value_of(self, node: ast.expr) -> Any:
        """What an expression made of names stands for outside the function: a global, a variable
        of a function around it, an attribute of one; UNKNOWN for all others."""
        if isinstance(node, ast.Name):
            return UNKNOWN if node.id in self.local else self._outside.get(node.id, UNKNOWN)
        inside, name = _member(node)
        if inside is None:
            return UNKNOWN
        owner = self.value_of(inside)
        if isinstance(owner, ModuleType):
            return vars(owner).get(name, UNKNOWN)
        return inspect.getattr_static(owner, name, UNKNOWN) if isinstance(owner, type) else UNKNOWN

    @cached_property
    def _outside(self) -> dict[str, Any]:
        function = self.function
        names = {**vars(builtins), **getattr(function, "__globals__", {})}
        free = getattr(getattr(function, "__code__", None), "co_freevars", ())
        for name, cell in zip(free, getattr(function, "__closure__", None) or (), strict=False):
            try:
                names[name] = cell.cell_contents
            except ValueError:  # not bound yet
                names[name] = UNKNOWN
        return names

    def attribute(self, node: ast.expr) -> Any:
        """What `self.name` holds, if it is a plain value that no choice decides; UNKNOWN if not.
        Whoever relies on the value, and not on its type alone, calls `rely`."""
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            return UNKNOWN
        if not self.itself or node.value.id != self.itself or node.attr in self.open:
            return UNKNOWN
        own = vars(self.module)
        if node.attr == "training" or node.attr not in own:
            return UNKNOWN
        return own[node.attr]

    def rely(self, node: ast.Attribute) -> None:
        """Makes the value of `self.name` part of what was compiled: modules that hold another one
        are not of the same type."""
        name = node.attr
        self.rely_on(lambda module: vars(module).get(name))

    def rely_on(self, question: Question) -> None:
        """Makes the answer to a question part of what was compiled."""
        if self.module is not None:
            self.relied.append((question, question(self.module)))

    def sets(self, name: str) -> bool:
        """Whether the function sets an attribute of this name, of whatever."""
        return name in self._set

    @cached_property
    def _set(self) -> frozenset[str]:
        nodes = (n for n in ast.walk(self.definition) if isinstance(n, ast.Attribute))
        return frozenset(n.attr for n in nodes if not isinstance(n.ctx, ast.Load))

    def fresh(self, base: str) -> str:
        """Returns a name for a new variable."""
        used = {n.id for n in ast.walk(self.definition) if isinstance(n, ast.Name)} | self._made
        number, name = 0, base
        while name in used or name in self.parameters or name in self._outside:
            number += 1
            name = f"{base}_{number}"
        self._made.add(name)
        return name

    @cached_property
    def _made(self) -> set[str]:
        """The names of new variables."""
        return set()


def _member(node: ast.expr) -> tuple[ast.expr | None, str]:
    """What an expression takes an attribute of, and its name; also `getattr(thing, "name")`."""
    if isinstance(node, ast.Attribute):
        return node.value, node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 2:
        owner, name = node.args
        if node.func.id == "getattr" and isinstance(name, ast.Constant):
            return owner, str(name.value)
    return None, ""


def at(node: N, like: ast.AST) -> N:
    """A new node, and those in it that have no place yet, with the place of another one."""
    for inner in ast.walk(node):
        if "lineno" in inner._attributes and not hasattr(inner, "lineno"):
            ast.copy_location(inner, like)
    return node


def load(name: str) -> ast.Name:
    """Returns an expression that reads a variable."""
    return ast.Name(name, ast.Load())


def call(name: str, *args: ast.expr) -> ast.Call:
    """Returns a call of a function by its name."""
    return ast.Call(load(name), [*args], [])


def assign(name: str, value: ast.expr) -> ast.Assign:
    """Returns an assignment to a variable."""
    return ast.Assign([ast.Name(name, ast.Store())], value)


def copied(node: N) -> N:
    """A copy of a node and all in it, places too."""
    return copy.deepcopy(node)
