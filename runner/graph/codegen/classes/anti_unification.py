"""Anti-unification: the common generalization of several constructors, with parameters.

An expression tree is split into its skeleton and its literals, identified by their paths.
Constructors with equal skeletons are merged into one with parameters: one for each set of literals
that are equal to each other in every constructor.
"""

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from runner.errors import GraphError
from runner.graph.codegen.classes.initializer_statements import Loop
from runner.graph.codegen.expressions.expression_trees import (
    ExpressionTree,
    LocalName,
    New,
    ParameterSlot,
    Repeat,
    Statement,
    key_of,
)
from runner.graph.ir.argument import PLAIN
from runner.graph.ir.signature import signature
from runner.graph.ir.unit import Call

Path = tuple[Any, ...]
MISSING = object()
_PLAIN = PLAIN | {slice}
_ANNOTATIONS = {int: "int", float: "float", bool: "bool", str: "str"}


@final
class Signatures:
    """The parameters of callables, looked up once for each file that is generated."""

    def __init__(self) -> None:
        self.parameters = functools.cache(_parameters)
        self.positional = functools.cache(self._positional)

    def _positional(self, target: str) -> tuple[str, ...]:
        """Returns the names of the parameters of a callable that can be passed by position."""
        return tuple(
            name
            for name, parameter in self.parameters(target).items()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        )

    def default(self, target: str, name: str) -> Any:
        """Returns the default of a parameter; MISSING if there is none, or it is no literal."""
        parameter = self.parameters(target).get(name)
        if parameter is None or parameter.default is parameter.empty:
            return MISSING
        return parameter.default if is_literal(parameter.default) else MISSING


def _parameters(target: str) -> Mapping[str, inspect.Parameter]:
    """Returns the parameters of a callable; none if they are unknown."""
    if target == "super" or target[:1] == ".":
        return {}
    try:
        return signature(target).parameters
    except GraphError:
        return {}


def is_literal(tree: ExpressionTree) -> bool:
    """Returns whether a tree is a value without calls."""
    kind = type(tree)
    if kind is tuple or kind is list:
        return all(map(is_literal, tree))
    return kind in _PLAIN


@final
class Decomposition:
    """The statements of a constructor, split into skeletons and literals.

    Statements whose positions are in `whole` count as literals, whatever they contain.
    """

    def __init__(
        self,
        steps: Sequence[Statement],
        signatures: Signatures,
        whole: frozenset[int] = frozenset(),
    ) -> None:
        self.steps = steps
        self.signatures = signatures
        self.literals: dict[Path, ExpressionTree] = {}
        self.targets: dict[Path, str] = {}  # of calls, by path
        self.by_position: set[Path] = set()  # literals that are passed by position
        self.skeletons = [
            self._whole(place, step.tree) if place in whole else self._take(step.tree, (place,))
            for place, step in enumerate(steps)
        ]

    def _whole(self, place: int, tree: ExpressionTree) -> Any:
        self.literals[(place,)] = tree
        self.by_position.add((place,))
        return None

    def _take(self, tree: ExpressionTree, path: Path) -> Any:
        kind = type(tree)
        if kind is Call:
            return self._call(tree, path)
        if is_literal(tree):
            self.literals[path] = tree
            self.by_position.add(path)
            return None
        if kind is New:
            for name in tree.args:
                if name not in tree.cls.by_keyword:
                    self.by_position.add((*path, name))
            parts = tuple([self._take(v, (*path, n)) for n, v in tree.args.items()])
            self.by_position -= {(*path, name) for name in tree.cls.by_keyword}
            return id(tree.cls), parts
        if kind is tuple or kind is list:
            return kind, tuple([self._take(item, (*path, i)) for i, item in enumerate(tree)])
        if kind is dict:
            return kind, tuple([(key_of(k), self._take(v, (*path, k))) for k, v in tree.items()])
        if kind is LocalName:
            return tree
        if kind is Loop:
            return tree.key
        raise GraphError(f"{tree!r} cannot be written as source; resolve symbolic choices first.")

    def _call(self, call: Call, path: Path) -> Any:
        names = self.signatures.positional(call.target)
        known = self.signatures.parameters(call.target)
        self.targets[path] = call.target
        skeleton: list[Any] = [call.target]
        for place, item in enumerate(call.args):
            name = names[place] if place < len(names) else place
            self._argument(item, (*path, name), place >= len(names), skeleton)
            if (*path, name) in self.literals:
                self.by_position.add((*path, name))
        for name, item in call.kwargs.items():
            self._argument(item, (*path, name), name not in known, skeleton)
            self.by_position.discard((*path, name))
        return tuple(skeleton)

    def _argument(self, item: ExpressionTree, path: Path, odd: bool, skeleton: list[Any]) -> None:
        """Splits an argument; an odd one has no default that could replace it."""
        part = self._take(item, path)
        if part is not None or odd:
            skeleton.append((path[-1], part))

    def literal(self, path: Path) -> ExpressionTree:
        """Returns a literal, or the default in its place; MISSING if there is neither."""
        if path in self.literals:
            return self.literals[path]
        target = self.targets.get(path[:-1])
        return self.signatures.default(target, path[-1]) if target is not None else MISSING

    @property
    def key(self) -> Any:
        """A key that is equal for constructors with the same literals."""
        return tuple(self.literals), tuple([key_of(v) for v in self.literals.values()])


@final
@dataclass(frozen=True, slots=True)
class ConstructorParameter:
    """A parameter of a constructor. `default` is a tuple of one literal, or () for none."""

    name: str
    annotation: str
    default: tuple[ExpressionTree, ...]
    is_keyword: bool


@final
class Unified:
    """One constructor in place of several with equal skeletons."""

    def __init__(self, shapes: Sequence[Decomposition]) -> None:
        paths = dict.fromkeys(path for shape in shapes for path in shape.literals)
        self._first = shapes[0]
        self._signatures = shapes[0].signatures
        self._vectors: dict[Any, list[Path]] = {}
        self.fits = True
        for path in paths:
            values = [shape.literal(path) for shape in shapes]
            self.fits = self.fits and not any(value is MISSING for value in values)
            keys = tuple([key_of(value) for value in values])
            if len(set(keys)) > 1:  # equal modules are not identical
                alike = keys if all(map(is_literal, values)) else (path, keys)
                self._vectors.setdefault(alike, []).append(path)
        self.parameters: list[ConstructorParameter] = []
        self._slots: dict[Path, str] = {}
        for places in self._vectors.values():
            self._add(places, [shape.literal(places[0]) for shape in shapes])
        self._places = {self._slots[places[0]]: places[0] for places in self._vectors.values()}
        self.parameters.sort(key=lambda parameter: parameter.is_keyword)

    @property
    def count(self) -> int:
        """The number of parameters of the constructor."""
        return len(self._vectors)

    def _add(self, paths: Sequence[Path], values: Sequence[ExpressionTree]) -> None:
        name = self._name(paths)
        self._slots.update(dict.fromkeys(paths, name))
        is_keyword = not any(path in self._first.by_position for path in paths)
        usual: tuple[ExpressionTree, ...] = ()
        if is_keyword:
            target = self._first.targets.get(paths[0][:-1])
            argument = paths[0][-1]
            made = MISSING if target is None else self._signatures.default(target, argument)
            if made is not MISSING and key_of(made) in {key_of(value) for value in values}:
                usual = (made,)
        self.parameters.append(ConstructorParameter(name, _annotation(values), usual, bool(usual)))

    def _name(self, paths: Sequence[Path]) -> str:
        """Returns a name for a parameter, after the first argument that it is passed to."""
        taken = {parameter.name for parameter in self.parameters} | {"self"}
        steps = self._first.steps
        words = [part for part in paths[0][1:] if isinstance(part, str) and part.isidentifier()]
        field = steps[paths[0][0]].name
        field = field if field.isidentifier() else "value"
        last = paths[0][-1]
        own = words[-1] if words else field
        if isinstance(last, int) and len(paths[0]) > 1:
            factory = self._first.targets.get(paths[0][:-1], "").startswith("torch:")
            own = "size" if factory else field
        for name in (own, f"{field}_{own}"):
            if name not in taken:
                return name
        number = 2
        while f"{own}{number}" in taken:
            number += 1
        return f"{own}{number}"

    def arguments(self, shape: Decomposition) -> dict[str, ExpressionTree]:
        """Returns the arguments with which the constructor equals one of those merged into it."""
        return {p.name: shape.literal(self._places[p.name]) for p in self.parameters}

    def steps(self) -> list[Statement]:
        """Returns the statements, with slots for the parameters."""
        return [
            Statement(step.kind, step.name, self._fill(step.tree, (place,)), step.options)
            for place, step in enumerate(self._first.steps)
        ]

    def _fill(self, tree: ExpressionTree, path: Path) -> ExpressionTree:
        if path in self._slots:
            return ParameterSlot(self._slots[path])
        kind = type(tree)
        if kind is Call:
            return self._fill_call(tree, path)
        if kind is New:
            return New(tree.cls, {n: self._fill(v, (*path, n)) for n, v in tree.args.items()})
        if kind is tuple or kind is list:
            return kind(self._fill(item, (*path, i)) for i, item in enumerate(tree))
        if kind is dict:
            return {k: self._fill(v, (*path, k)) for k, v in tree.items()}
        return tree

    def _fill_call(self, call: Call, path: Path) -> Call:
        names = self._signatures.positional(call.target)
        args = [
            self._fill(item, (*path, names[place] if place < len(names) else place))
            for place, item in enumerate(call.args)
        ]
        kwargs = {name: self._fill(item, (*path, name)) for name, item in call.kwargs.items()}
        for name in self._signatures.parameters(call.target):
            given = name in kwargs or name in names[: len(args)]
            if not given and (*path, name) in self._slots:
                kwargs[name] = ParameterSlot(self._slots[(*path, name)])
        return Call(call.target, tuple(args), kwargs)


def _annotation(values: Sequence[ExpressionTree]) -> str:
    """Returns the annotation of a parameter with these values; "" if there is no short one."""
    words: dict[str, None] = {}
    for value in values:
        words[_type_name(value)] = None
    if "" in words:
        return ""
    if "None" in words:
        words["None"] = words.pop("None")
    return " | ".join(words)


def _type_name(value: ExpressionTree) -> str:
    kind = type(value)
    if value is None:
        return "None"
    if kind in (New, Call, Repeat):
        return "nn.Module"
    if kind is tuple and value and len({type(item) for item in value}) == 1:
        inner = _ANNOTATIONS.get(type(value[0]), "")
        return f"tuple[{', '.join([inner] * len(value))}]" if inner else ""
    return _ANNOTATIONS.get(kind, "")
