"""Random programs: the source of a model with helpers and parts, and what it is called with."""

from dataclasses import dataclass, field
from typing import final

from random_programs.dice import Below, Dice
from random_programs.members import (
    ACTIVATIONS,
    CHOICES,
    DEFAULTS,
    EXTRAS,
    LAYERS,
    MAYBE,
    PARAMETERS,
    RETURNED,
    SETTINGS,
    TRAIN,
    VALUES,
)
from random_programs.scope import Names, Scope, annotation
from random_programs.statements import block, indented

HEAD = '''"""A random program."""

import functools
import math
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from runner import nn


class Config:
    def __init__(self, width):
        self.width = width


@dataclass
class Options:
    scale: float = 1.0
'''
CALLS = """\
def calls():
    rng = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(*shape, generator=rng)

    return [""".splitlines()


@final
@dataclass(frozen=True)
class RandomProgram:
    """A program: `text` is a module with the class `Net` and `calls()`, which gives the arguments
    of each call. `open` says whether it leaves choices open."""

    text: str
    open: bool


@final
@dataclass
class _Class:
    """One class while it is made up."""

    name: str
    scope: Scope
    init: list[str] = field(default_factory=list)
    given: dict[str, list[str]] = field(default_factory=dict)

    def attribute(self, name: str, value: str) -> None:
        self.init.append(f"self.{name} = {value}")

    def template(self, kind: str, text: str) -> None:
        """Let expressions of a type be made like this here."""
        self.given.setdefault(kind, []).append(text)

    def use(self, uses: dict[str, tuple[str, ...]]) -> None:
        """Let expressions be made like these here, by their types."""
        for kind, templates in uses.items():
            self.given.setdefault(kind, []).extend(templates)


def random_program(below: Below) -> RandomProgram:
    """A random program; the same numbers give the same one."""
    dice, names = Dice(below), Names()
    functions: dict[str, list[str]] = {}
    blocks = [_function(dice, names, functions) for _ in range(dice.below(3))]
    parts = [_part(dice, names, functions, f"Part{i}") for i in range(dice.below(3))]
    blocks += [text for text, _ in parts]
    opened = dice.chance(3)
    net, calls = _net(dice, names, functions, [use for _, use in parts], opened=opened)
    blocks += [net, calls]
    text = "\n\n".join([HEAD, *("\n".join(lines) + "\n" for lines in blocks)])
    return RandomProgram(text, opened)


def _signature(dice: Dice, scope: Scope) -> tuple[list[str], list[str]]:
    """Parameters of a function, written, and the slots of a call to it; all are in the scope."""
    written, slots = [], []
    for kind in ("f44", *(dice.pick(PARAMETERS) for _ in range(dice.below(3)))):
        name = scope.names.new("a")
        written.append(f"{name}: {annotation(kind)}")
        slots.append(f"{{{kind}}}")
        scope.add(kind, name)
    for kind in (dice.pick([*DEFAULTS]) for _ in range(dice.below(2))):
        name = scope.names.new("a")
        written.append(f"{name}: {annotation(kind)} = {dice.pick(DEFAULTS[kind])}")
        slots += [f"{{{kind}}}"] * dice.chance(2)
        scope.add(kind, name)
    return written, slots


def _function(dice: Dice, names: Names, functions: dict[str, list[str]]) -> list[str]:
    """A helper of the module, which expressions behind it may call."""
    kind = dice.pick(["f44", "f44", "int", "float", "bool", "f4"])
    scope = Scope(dice, names, given={k: [*v] for k, v in functions.items()})
    written, slots = _signature(dice, scope)
    name = names.new("helper")
    returns = f"{{{kind}}}"
    lines = block(scope, dice.some(0, 3), 1, returns, loop=False)
    head = f"def {name}({', '.join(written)}) -> {annotation(kind)}:"
    functions.setdefault(kind, []).append(f"{name}({', '.join(slots)})")
    return [head, *indented(lines), f"    return {scope.fill(returns)}"]


def _equip(dice: Dice, made: _Class) -> None:
    """Layers, settings and tensors of a class, and how they are used."""
    if dice.chance(2) or made.name == "Net":
        made.attribute("act", dice.pick(ACTIVATIONS))
        made.template("f44", "self.act({f44})")
    if dice.chance(2):
        made.attribute("layer", dice.pick(LAYERS))
        made.template("f44", "self.layer({f44})")
    if dice.chance(4):
        made.attribute("weight", "nn.Parameter(torch.linspace(-1, 1, 16).view(4, 4))")
        made.scope.add("f44", "self.weight", write=False)
    if dice.chance(4):
        made.init.append('self.register_buffer("total", torch.linspace(0, 1, 16).view(4, 4))')
        made.scope.state.setdefault("f44", []).append("self.total")
    if dice.chance(6):
        made.attribute("layers", "nn.ModuleList([nn.Linear(4, 4), nn.Tanh()])")
        made.template("f44", "self.layers[1](self.layers[0]({f44}))")
    if dice.chance(3) and "act" in "".join(made.init):
        lines, uses = dice.pick(EXTRAS)
        made.init += lines
        made.use(uses)
    for number in range(dice.below(3)):
        kind, values = dice.pick(SETTINGS)
        made.attribute(f"set{number}", dice.pick(values))
        made.scope.add(kind, f"self.set{number}", write=False)
        if kind == "maybe int":
            made.template("int", f"self.set{number} or {{int}}")


def _method(dice: Dice, made: _Class, functions: dict[str, list[str]]) -> list[str]:
    """A method beside forward."""
    kind = dice.pick(["f44", "f44", "int", "bool", "tensors"])
    known = {kind: [*names] for kind, names in made.scope.read.items()}
    given = _both(functions, made.given)
    scope = Scope(dice, made.scope.names, known, {}, made.scope.state, given)
    written, slots = _signature(dice, scope)
    name, returns = scope.names.new("method"), f"{{{kind}}}"
    lines = block(scope, dice.some(0, 3), 1, returns, loop=False)
    made.template(kind, f"self.{name}({', '.join(slots)})")
    head = f"def {name}({', '.join(['self', *written])}) -> {annotation(kind)}:"
    return [head, *indented(lines), f"    return {scope.fill(returns)}"]


def _both(one: dict[str, list[str]], other: dict[str, list[str]]) -> dict[str, list[str]]:
    return {kind: [*one.get(kind, ()), *other.get(kind, ())] for kind in {**one, **other}}


def _part(
    dice: Dice, names: Names, functions: dict[str, list[str]], name: str
) -> tuple[list[str], str]:
    """A class that Net has an object of, and the template of a call to it."""
    made = _Class(name, Scope(dice, names))
    _equip(dice, made)
    methods = [_method(dice, made, functions) for _ in range(dice.below(2))]
    made.scope.given = _both(functions, made.given)
    written, slots = _signature(dice, made.scope)
    lines = block(made.scope, dice.some(1, 4), 1, "{f44}", loop=False)
    head = f"def forward({', '.join(['self', *written])}):"
    forward = [head, *indented(lines), f"    return {made.scope.fill('{f44}')}"]
    return _class(made, [*methods, forward]), ", ".join(slots)


def _class(made: _Class, methods: list[list[str]], decorator: str = "") -> list[str]:
    init = ["def __init__(self):", *indented(["super().__init__()", *made.init])]
    head = [decorator] * bool(decorator) + [f"class {made.name}(nn.Module):"]
    body = [line for method in (init, *methods) for line in (*indented(method), "")]
    return [*head, *body[:-1]]


def _net(
    dice: Dice, names: Names, functions: dict[str, list[str]], uses: list[str], *, opened: bool
) -> tuple[list[str], list[str]]:
    """The root, and the function that gives what it is called with."""
    made = _Class("Net", Scope(dice, names))
    for number, slots in enumerate(uses):
        made.attribute(f"part{number}", f"Part{number}()")
        made.template("f44", f"self.part{number}({slots})")
    _equip(dice, made)
    if opened:
        _open(dice, made)
    methods = [_method(dice, made, functions) for _ in range(dice.below(2))]
    made.scope.given = _both(functions, made.given)
    written, kinds = _root_signature(dice, made.scope)
    early = dice.chance(3)
    fixed = "{f44}" + "".join(f", {{{dice.pick(RETURNED)}}}" for _ in range(dice.below(3)))
    lines = block(made.scope, dice.some(2, 7), 2, fixed if early else None, loop=False)
    result = made.scope.fill(fixed) if early else _everything(made.scope)
    forward = [
        f"def forward({', '.join(['self', *written])}):",
        *indented(lines),
        f"    return {result}",
    ]
    methods += [[*TRAIN]] * dice.chance(15)
    text = _class(made, [*methods, forward], "@nn.model_wrapper" * opened)
    return text, _calls(dice, kinds)


def _open(dice: Dice, made: _Class) -> None:
    """One or two open choices."""
    for number in range(dice.some(1, 2)):
        name, value, uses = dice.pick(CHOICES)
        if f"self.{name} =" in "\n".join(made.init):
            continue
        made.attribute(name, value.replace("{label}", f'"c{number}"'))
        made.use(uses)


def _root_signature(dice: Dice, scope: Scope) -> tuple[list[str], list[tuple[str, bool]]]:
    """Parameters of the root's forward, written; their types, and whether each has a default."""
    scope.add("f44", "x")
    scope.add("f44", "y")
    written, kinds = (
        ["x: Tensor", "y: Tensor"] if dice.chance(2) else ["x", "y"],
        [("f44", False)] * 2,
    )
    for _ in range(dice.below(3)):
        kind, name = dice.pick(PARAMETERS[1:]), scope.names.new("a")
        written.append(f"{name}: {annotation(kind)}")
        kinds.append((kind, False))
        scope.add(kind, name)
    if dice.chance(3):
        kind, name = dice.pick(["int", "float", "bool"]), scope.names.new("a")
        written.append(f"{name}: {annotation(kind)} = {dice.pick(DEFAULTS[kind])}")
        kinds.append((kind, True))
        scope.add(kind, name)
    if dice.chance(2):
        kind, how = dice.pick(MAYBE)
        name = scope.names.new("hint")
        written.append(f"{name}{how} = None")
        kinds.append((kind, True))
        scope.add(kind, name, write=False)
    return written, kinds


def _everything(scope: Scope) -> str:
    """All variables that are left, up to a dozen."""
    left = [name for kind in RETURNED for name in scope.write.get(kind, ())]
    left += [name for names in scope.state.values() for name in names]
    return ", ".join(left[:14])


def _calls(dice: Dice, kinds: list[tuple[str, bool]]) -> list[str]:
    """The function that gives the arguments of each call; the last call leaves out defaults."""
    lines = [*CALLS]
    every = (", ".join(dice.pick(VALUES[kind]) for kind, _ in kinds) for _ in range(2))
    lines += [f"        ({values})," for values in every]
    needed = [dice.pick(VALUES[kind]) for kind, default in kinds if not default]
    return [*lines, f"        ({', '.join(needed)}),", "    ]"]
