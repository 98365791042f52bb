"""Mutation and crossover: a sample from one that is known, or from two."""

from random import Random

from runner.errors import SampleError
from runner.space.choice import Choice, JsonValue
from runner.space.sample import Chooser, Sample, Walk
from runner.space.space import Space


def mutate(space: Space, parent: Walk, rng: Random) -> Walk:
    """Returns a walk in which one choice of the parent has another value and the rest are kept.

    Choices that the parent has no value for, or no valid one, are random.
    """
    return space.walk(keeping(mutated(parent, rng), rng))


def mutated(parent: Walk, rng: Random) -> Sample:
    """Returns the values of the parent, of which one choice has another.

    Only a walk tells whether that is a sample: further choices may be asked, and fewer. If it is
    one, the walk that keeps its values needs no random numbers.
    """
    choices = [choice for choice in parent.choices.values() if choice.size > 1]
    if not choices:
        return parent.sample
    one = rng.choice(choices)
    return parent.sample | {one.label: one.mutate(parent.sample[one.label], rng)}


def crossing(one: Sample, other: Sample, rng: Random) -> Chooser:
    """Returns a chooser that takes the value of one of two samples, at equal odds (uniform
    crossover, Syswerda 1989); of the sample that has one, if the other has none.

    Choices that neither has a valid value for are random.
    """

    def choose(choice: Choice) -> JsonValue:
        label = choice.label
        having = [sample for sample in (one, other) if label in sample]
        picked = rng.choice(having) if having else {}
        return keeping(picked, rng)(choice)

    return choose


def keeping(sample: Sample, rng: Random) -> Chooser:
    """Returns a chooser that keeps the values of a sample where they are candidates, and draws
    others."""

    def choose(choice: Choice) -> JsonValue:
        if choice.label not in sample:
            return choice.random(rng)
        try:
            return choice.check(sample[choice.label])
        except SampleError:  # another choice changed the candidates of this one
            return choice.random(rng)

    return choose
