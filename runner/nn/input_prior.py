"""The prior of a choice of inputs, whose weights are those of the inputs themselves."""

import itertools
import math
from collections.abc import Sequence
from functools import cache

from runner.errors import SpaceError

MOST = 12  # inputs; their subsets are listed


def input_prior(
    weights: Sequence[float], n: int, chosen: int | None, where: str
) -> tuple[float, ...]:
    """Returns the weights of all subsets that a `Subset` of `n` inputs may have, in its order.

    With one chosen input, they are those given. With several, the inputs are drawn one after
    another without replacement; with any number, each on its own with its weight as probability.
    Raises SpaceError for weights that do not fit.
    """
    given = tuple(weights)
    if len(given) != n or not all(_is_weight(weight) for weight in given):
        raise SpaceError(f"{where} has the prior {[*given]}; it must be {n} weights, one for each "
                         "input, each a finite number, 0 or more.")  # fmt: skip
    if chosen == 1:
        return given
    if n > MOST:
        raise SpaceError(f"{where} has a prior and {n} inputs, of which several may be chosen; at "
                         f"most {MOST} are possible.")  # fmt: skip
    if chosen is None:
        return _independent(given, where)
    if chosen > sum(weight > 0 for weight in given):
        raise SpaceError(f"{where} picks {chosen} inputs, but fewer have a prior above 0.")
    return _successive(given, chosen)


def _is_weight(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < math.inf  # type: ignore[operator]


def _independent(given: Sequence[float], where: str) -> tuple[float, ...]:
    if max(given) > 1:
        raise SpaceError(f"{where} has the prior {[*given]} and any number of inputs; each must be "
                         "a probability, at most 1.")  # fmt: skip
    places = range(len(given))
    subsets = itertools.chain.from_iterable(
        itertools.combinations(places, k) for k in range(len(given) + 1)
    )
    return tuple(
        math.prod(given[i] if i in subset else 1 - given[i] for i in places)
        for subset in map(frozenset, subsets)
    )


def _successive(given: Sequence[float], chosen: int) -> tuple[float, ...]:
    total = sum(given)

    @cache
    def probability(subset: frozenset[int]) -> float:
        """The probability that these are the first ones drawn, in any order."""
        if not subset:
            return 1.0
        found = 0.0
        for last in subset:
            before = subset - {last}
            left = total - sum(given[i] for i in before)
            if given[last] > 0 and left > 0:
                found += probability(before) * given[last] / left
        return found

    subsets = itertools.combinations(range(len(given)), chosen)
    return tuple(probability(frozenset(subset)) for subset in subsets)
