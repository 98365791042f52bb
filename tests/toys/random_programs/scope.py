"""Scope: the variables that a piece of a random program may read and write, and its expressions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from random_programs.dice import Dice
from random_programs.expressions import EXPRESSIONS, LEAVES

SLOT = re.compile(r"\{([$=]?|new:)(\w+)\}")
HARD = 150  # one expression in so many is beyond TorchScript
DEPTH = 2  # so deep expressions nest
ANNOTATIONS = {
    "int": "int", "float": "float", "bool": "bool", "str": "str", "small": "int",
    "ints": "List[int]", "floats": "List[float]", "bools": "List[bool]", "tensors": "List[Tensor]",
}  # fmt: skip
TENSORS = ("f44", "f4", "f224", "f", "i44", "i4", "b44", "b4")


def annotation(kind: str) -> str:
    """How a type is annotated."""
    return ANNOTATIONS.get(kind, "Tensor")


@final
@dataclass
class Names:
    """Numbers names, so that none stands for two things."""

    used: int = 0

    def new(self, letter: str = "v") -> str:
        self.used += 1
        return f"{letter}{self.used}"


@final
@dataclass
class Scope:
    """What can be named here. `read` and `write` are variables by type: those of `write` may be
    bound anew and changed in place; `given` are templates of helpers, parts and choices."""

    dice: Dice
    names: Names
    read: dict[str, list[str]] = field(default_factory=dict)
    write: dict[str, list[str]] = field(default_factory=dict)
    state: dict[str, list[str]] = field(default_factory=dict)  # changed in place only
    given: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def inner(self) -> "Scope":
        """The scope of a block: what is new in it is gone behind it."""
        copies = ({k: [*v] for k, v in names.items()} for names in (self.read, self.write))
        return Scope(self.dice, self.names, *copies, self.state, self.given)

    def add(self, kind: str, name: str, *, write: bool = True) -> None:
        """Let a variable be used from here on."""
        (self.write if write else self.read).setdefault(kind, []).append(name)

    def known(self, kind: str) -> list[str]:
        """All variables of a type, the newest first."""
        found = (*self.state.get(kind, ()), *self.read.get(kind, ()), *self.write.get(kind, ()))
        return [*reversed(found)]

    def expression(self, kind: str, depth: int = DEPTH) -> str:
        """A random expression of a type, in parentheses where it needs some."""
        dice = self.dice
        if depth <= 0 or dice.chance(3):
            return self.leaf(kind)
        given = self.given.get(kind, ())
        if given and dice.chance(4):
            template = dice.pick(given)
        else:
            template = EXPRESSIONS[kind].pick(dice, HARD)
        made = self.fill(template, depth - 1)
        return made if made is not None else self.leaf(kind)

    def leaf(self, kind: str) -> str:
        """A variable, or the plainest expression of a type."""
        known = self.known(kind)
        if kind == "num":
            known += self.known("int") + self.known("float")
        if known and (kind not in ANNOTATIONS or not self.dice.chance(3)):
            return self.dice.pick(known)
        return self.dice.pick(LEAVES[kind])

    def fill(self, template: str, depth: int = DEPTH) -> str | None:
        """A template with its slots filled; None where a variable that it needs is not there.
        `{=type}` is a variable that may be bound anew, `{$type}` one that may be changed in place,
        `{new:type}` one that is new."""
        new: list[tuple[str, str]] = []
        missing = False

        def slot(match: re.Match[str]) -> str:
            nonlocal missing
            how, kind = match.groups()
            if not how:
                return _wrapped(self.expression(kind, depth))
            if how == "new:":
                new.append((kind, self.names.new()))
                return new[-1][1]
            free = self.write.get(kind, []) + (self.state.get(kind, []) if how == "$" else [])
            missing |= not free
            return self.dice.pick(free[::-1]) if free else ""

        made = SLOT.sub(slot, template)
        if missing:
            return None
        for kind, name in new:
            self.add(kind, name)
        return made


def _wrapped(text: str) -> str:
    """Text in parentheses unless it binds as tightly as a name."""
    if re.fullmatch(r"[\w.]+|\"\w*\"", text) and not re.fullmatch(r"\d+", text):
        return text
    if re.fullmatch(r"\d+", text) or (text[0] == "[" and text.find("]") == len(text) - 1):
        return text
    return f"({text})"
