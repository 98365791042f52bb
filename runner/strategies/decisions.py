"""Decisions: the values of a choice as a few indices, each of a small number, for a model of them.

A choice of few values is one decision. A range is one of its bins; a large subset is decided item
by item.
"""

from collections.abc import Sequence
from random import Random

from runner.space.choice import Choice, JsonValue, Numeric, Subset

_LISTED = 64  # a subset with at most this many values is a single decision


def sizes(choice: Choice, bins: int) -> Sequence[int]:
    """Returns the number of alternatives of each decision; none for a choice of one value."""
    match choice:
        case Choice(size=1):
            return []
        case Numeric(size=size) if size > bins:
            return [bins]
        case Subset(n=n, chosen=chosen) if choice.size > _LISTED:
            return [2] * n if chosen is None else [n - i for i in range(chosen)]
    return [int(choice.size)]


def encode(choice: Choice, value: JsonValue, bins: int) -> Sequence[int]:
    """Returns the decisions that lead to a value; a whole number may lie in two bins."""
    match choice:
        case Choice(size=1):
            return []
        case Numeric(size=size) if size > bins:
            return [min(int(choice.position(value) * bins), bins - 1)]
        case Subset(n=n, chosen=None) if choice.size > _LISTED:
            return [int(i in value) for i in range(n)]
        case Subset() if choice.size > _LISTED:  # each is an index among those not picked yet
            return [index - i for i, index in enumerate(value)]
    return [choice.place(value)]


def decode(choice: Choice, decided: Sequence[int], bins: int, rng: Random) -> JsonValue:
    """Returns the value that decisions lead to; a random one of a bin."""
    match choice:
        case Choice(size=1):
            return choice.default
        case Numeric(size=size) if size > bins:
            return choice.at((decided[0] + rng.random()) / bins)
    return listed(choice, decided)


def listed(choice: Choice, decided: Sequence[int]) -> JsonValue:
    """Returns the value that decisions lead to, of a choice whose values are not in bins."""
    match choice:
        case Choice(size=1):
            return choice.default
        case Subset(chosen=None) if choice.size > _LISTED:
            return [i for i, picked in enumerate(decided) if picked]
        case Subset(n=n) if choice.size > _LISTED:
            left = [*range(n)]
            return sorted(left.pop(place) for place in decided)
    return choice.values()[decided[0]]
