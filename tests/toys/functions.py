"""Spaces without models: what a function asks for, and trees of choices."""

from collections.abc import Callable

from hypothesis import strategies as st

from runner.space.choice import Categorical, Choice, JsonValue
from runner.space.sample import DrawError, Sample, Walk
from runner.space.space import Space

Ask = Callable[[Choice], JsonValue]


class FunctionSpace(Space):
    """What a function asks for; a division by zero in it is a DrawError, as in a model's code."""

    def __init__(self, function: Callable[[Ask], object]) -> None:
        self.function = function
        self.walks = 0  # how often it was walked

    def draw(self, choose: Ask) -> Sample:
        self.walks += 1
        walk = Walk(choose)
        try:
            self.function(walk.ask)
        except ZeroDivisionError as error:
            raise DrawError(str(error), walk.sample) from error
        return walk.sample


def trees(max_leaves: int) -> st.SearchStrategy:
    """Trees: each choice has, for each of its values, the choices that are asked after it."""
    return st.recursive(
        st.just([]),
        lambda inner: st.lists(st.lists(inner, min_size=1, max_size=3), max_size=3),
        max_leaves=max_leaves,
    )


def ask_tree(ask, tree, path=""):
    for i, branches in enumerate(tree):
        label = f"{path}/{i}"
        value = ask(Categorical(label, tuple(range(len(branches)))))
        ask_tree(ask, branches[value], f"{label}={value}")
