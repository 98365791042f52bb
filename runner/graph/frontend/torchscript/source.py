"""A function that TorchScript is about to compile: its syntax tree, which rules rewrite, and the
objects its names refer to."""

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
Question = Callable[[nn.Module], Any]  # about a module whose methods are compiled
Assumptions = list[tuple[Question, Any]]  # questions, and the answers that code depends on
UNKNOWN: Any = object()  # the value of an expression that is not known before it runs


@final
@dataclass(eq=False)
class FunctionSource:
    """A function and its syntax tree. Rules change `definition` in place, or raise GraphError
    through `refuse`.

    `module` is the live module whose method it is, if known. A rule that depends on a value of an
    attribute of the module reads it through `attribute`, and calls `rely`.
    """

    called: Callable[..., Any]  # as passed to TorchScript, with its wrappers
    function: Callable[..., Any]  # as it was defined
    definition: ast.FunctionDef
    file: str
    start: int  # the line of its first line
    module: nn.Module | None = None
    answers: bool = True  # whether queries of TorchScript are answered as in Python
    assumptions: Assumptions = field(default_factory=list)
    symbolic: frozenset[str] = frozenset()  # attributes of the module that depend on choices

    def place(self, node: ast.AST) -> str:
        """Returns the place of a node in the source, "file.py:20"."""
        line = self.start + getattr(node, "lineno", 1) - 1
        return f"{PurePath(self.file).name}:{line}"

    def refuse(self, node: ast.AST, why: str) -> NoReturn:
        """Raises GraphError: the function means something else to TorchScript than to Python."""
        raise GraphError(f"{self.place(node)}: {why}")

    @cached_property
    def itself(self) -> str:
        """The name of the module in its method (`self`); "" in a function."""
        arguments = self.definition.args.posonlyargs + self.definition.args.args
        return arguments[0].arg if arguments and self.module is not None else ""

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The names of all parameters, `self` included."""
        return frozenset(inspect.signature(self.function).parameters)

    @cached_property
    def local(self) -> frozenset[str]:
        """The names bound anywhere in the function, its parameters included."""
        found = set(self.parameters)
        for node in ast.walk(self.definition):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                found.add(node.id)
            elif isinstance(node, ast.FunctionDef) and node is not self.definition:
                found.add(node.name)
        return frozenset(found)

    def value_of(self, node: ast.expr) -> Any:
        """Returns the object that a name, or an attribute of one, refers to outside of the
        function: a global, or a variable of an enclosing function. UNKNOWN for any other
        expression."""
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
        """The globals and the variables of enclosing functions, by name."""
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
        """Returns the value of `self.name` if it is a plain attribute that depends on no choice;
        else UNKNOWN. Callers that depend on the value, not only on its type, call `rely`."""
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name):
            return UNKNOWN
        if not self.itself or node.value.id != self.itself or node.attr in self.symbolic:
            return UNKNOWN
        own = vars(self.module)
        if node.attr == "training" or node.attr not in own:
            return UNKNOWN
        return own[node.attr]

    def rely(self, node: ast.Attribute) -> None:
        """Makes the value of `self.name` an assumption: modules with another value are compiled
        separately."""
        name = node.attr
        self.rely_on(lambda module: vars(module).get(name))

    def rely_on(self, question: Question) -> None:
        """Makes the answer to a question about the module an assumption."""
        if self.module is not None:
            self.assumptions.append((question, question(self.module)))

    def sets(self, name: str) -> bool:
        """Returns whether the function sets an attribute of this name, of any object."""
        return name in self._set

    @cached_property
    def _set(self) -> frozenset[str]:
        """The names of the attributes that the function sets or deletes."""
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
        """The names of the new variables."""
        return set()


def _member(node: ast.expr) -> tuple[ast.expr | None, str]:
    """Returns the owner and the name of an attribute access, also for `getattr(owner, "name")`."""
    if isinstance(node, ast.Attribute):
        return node.value, node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) == 2:
        owner, name = node.args
        if node.func.id == "getattr" and isinstance(name, ast.Constant):
            return owner, str(name.value)
    return None, ""


def at(node: N, like: ast.AST) -> N:
    """Copies the place of another node to a new node and the new nodes in it. Returns the node."""
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
    """Returns a deep copy of a node, places included."""
    return copy.deepcopy(node)
