"""The names of module scope that a statement uses, by Python's rules of scopes."""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, final

Role = Literal["value", "base", "annotation"]
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@final
@dataclass(frozen=True)
class Use:
    """A global name in a statement, with the attributes read of it: `pkg.net.Block`.

    `role` is what it is used for: as the base of a class, in the annotation of a function or of its
    variables, or as any value. `unsure`: it may be a name of the class around it instead.
    `annotation` is the whole annotation it is part of.
    """

    chain: tuple[ast.Name | ast.Attribute, ...]  # the name, then each attribute of what is before
    role: Role
    unsure: bool = False
    annotation: ast.expr | None = None

    @property
    def name(self) -> str:
        node = self.chain[0]
        return node.id if isinstance(node, ast.Name) else node.attr


@final
@dataclass
class GlobalNames:
    """What a statement uses of its module, and the imports in its functions and blocks."""

    uses: list[Use] = field(default_factory=list)
    imports: list[ast.Import | ast.ImportFrom] = field(default_factory=list)


def global_names(node: ast.stmt, dropped: frozenset[ast.AST] = frozenset()) -> GlobalNames:
    """Returns the global names in a statement of a module, without those in `dropped` parts."""
    found = GlobalNames()
    _NameVisitor(found, dropped).visit(node)
    return found


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Returns the names that statements bind in their own scope."""
    found: set[str] = set()
    excluded: set[str] = set()
    for node in _own_nodes(nodes):
        match node:
            case ast.Name(ctx=ast.Store() | ast.Del()):
                found.add(node.id)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.Import() | ast.ImportFrom():
                found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if node.name:
                found.add(node.name)
            case ast.MatchMapping() if node.rest:
                found.add(node.rest)
            case ast.Global() | ast.Nonlocal():
                excluded |= {*node.names}
    return found - excluded


def _own_nodes(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yields all nodes of one scope: not those inside nested functions and classes, and of
    comprehensions only the walruses."""
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, _Comprehension):
            inner = [each for each in ast.walk(node) if isinstance(each, ast.NamedExpr)]
            waiting += [each.target for each in inner]
            continue
        waiting += ast.iter_child_nodes(node)


@final
@dataclass
class _Scope:
    names: set[str]
    of_class: bool = False


@final
class _NameVisitor(ast.NodeVisitor):
    def __init__(self, found: GlobalNames, dropped: frozenset[ast.AST]) -> None:
        self._found = found
        self._dropped = dropped
        self._scopes: list[_Scope] = []
        self._role: Role = "value"
        self._annotation: ast.expr | None = None

    def visit(self, node: ast.AST) -> None:
        if node not in self._dropped:
            super().visit(node)

    def _all(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _inside(self, scope: _Scope, nodes: Iterable[ast.AST | None]) -> None:
        self._scopes.append(scope)
        self._all(nodes)
        self._scopes.pop()

    # Names

    def visit_Name(self, node: ast.Name) -> None:
        self._use([node])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain: list[ast.Name | ast.Attribute] = [node]
        inner = node.value
        while isinstance(inner, ast.Attribute):
            chain.append(inner)
            inner = inner.value
        if isinstance(inner, ast.Name):
            self._use([*chain, inner][::-1])
        else:
            self.visit(inner)

    def _use(self, chain: Sequence[ast.Name | ast.Attribute]) -> None:
        first = chain[0]
        assert isinstance(first, ast.Name)
        innermost, unsure = True, False
        for scope in reversed(self._scopes):
            if first.id in scope.names and (innermost or not scope.of_class):
                if not scope.of_class:
                    return
                unsure = True
            innermost = False
        self._found.uses.append(Use((*chain,), self._role, unsure, self._annotation))

    # Scopes

    def visit_FunctionDef(self, node: _Function) -> None:
        given = node.args
        self._all([*node.decorator_list, *given.defaults, *given.kw_defaults])
        own = {each.name for each in getattr(node, "type_params", ())}
        self._scopes.append(_Scope(own))
        for parameter in _parameters(given):
            self._annotated(parameter.annotation)
        self._annotated(node.returns)
        self._inside(_Scope({p.arg for p in _parameters(given)} | bound_names(node.body)
                            - _globals(node.body)), node.body)  # fmt: skip
        self._scopes.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._all([*node.args.defaults, *node.args.kw_defaults])
        names = {p.arg for p in _parameters(node.args)} | bound_names([node.body])
        self._inside(_Scope(names), [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all(node.decorator_list)
        own = {each.name for each in getattr(node, "type_params", ())}
        self._scopes.append(_Scope(own))
        before, self._role = self._role, "base"
        self._all(node.bases)
        self._role = before
        self._all(node.keywords)
        self._inside(_Scope(bound_names(node.body), of_class=True), node.body)
        self._scopes.pop()

    def _comprehension(self, node: _Comprehension) -> None:
        first, *others = node.generators
        self.visit(first.iter)
        names = bound_names([each.target for each in node.generators])
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        later = [part for each in others for part in (each.target, each.iter)]
        tests = [test for each in node.generators for test in each.ifs]
        self._inside(_Scope(names), [first.target, *later, *tests, *parts])

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    # Annotations and imports

    def _annotated(self, node: ast.expr | None) -> None:
        if node is None:
            return
        before = self._role, self._annotation
        self._role, self._annotation = "annotation", node
        self.visit(node)
        self._role, self._annotation = before

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if self._scopes and not self._scopes[-1].of_class and node.value is not None:
            self._annotated(node.annotation)  # of a local variable: never evaluated
        else:
            self.visit(node.annotation)
        self._all([node.value])

    def visit_Import(self, node: ast.Import) -> None:
        self._found.imports.append(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._found.imports.append(node)


def _parameters(given: ast.arguments) -> list[ast.arg]:
    more = [each for each in (given.vararg, given.kwarg) if each is not None]
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *more]


def _globals(body: Iterable[ast.AST]) -> set[str]:
    return {n for node in _own_nodes(body) if isinstance(node, ast.Global) for n in node.names}
