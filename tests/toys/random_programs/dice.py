"""Dice: what a random program draws its parts with, from a seed or from hypothesis."""

from collections.abc import Callable, Sequence
from typing import TypeVar, final

T = TypeVar("T")
Below = Callable[[int], int]  # n -> a whole number from 0 up to below n


@final
class Dice:
    """Draws from lists. The first of a list is the plainest, which a failing example shrinks to."""

    def __init__(self, below: Below) -> None:
        self.below = below

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def chance(self, of: int) -> bool:
        """True once in so many times."""
        return self.below(of) == of - 1

    def some(self, least: int, most: int) -> int:
        """A number of things, both ends included."""
        return least + self.below(most - least + 1)
