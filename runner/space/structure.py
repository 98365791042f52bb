"""The structure of a space: its choices, their conditions, and the number of samples."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from random import Random
from typing import Protocol, final

from runner.errors import SampleError
from runner.space.choice import Choice, JsonValue, Numeric, key
from runner.space.sample import Chooser, Sample, Walk, generator, sample_key

_LISTED = 128  # a choice with more values is probed with a few of them
_JOINT = 2_000  # the largest number of joint values that are probed
_SMALL = 500  # a space of at most this size is enumerated to be certain
_SMALL_IF_SLOW = 64  # the same if each walk builds a model
_ENUMERATED = 5_000  # so is one of at most this size that could not be predicted
_CHECKS = 64  # random walks that a structure must predict
_CHECKS_IF_SLOW = 24  # the same if each walk builds a model, and no choice was found to be a switch
_ESTIMATES = 512  # random walks averaged by an estimate

Condition = Mapping[str, tuple[JsonValue, ...]]


@final
@dataclass(frozen=True)
class Part:
    """A choice and its condition: it is asked if each label of `condition` has one of its values.

    A choice that is always asked has no condition. If several paths lead to a choice, the condition
    is what they have in common.
    """

    choice: Choice
    condition: Condition


@final
@dataclass(frozen=True)
class Structure:
    """The parts of a space in the order they are asked, and the number of its samples.

    If `exact`, `count` is the number of samples of `Space.enumerate`, or infinity: the space was
    enumerated, or random walks asked exactly what the parts predict. Otherwise, choices depend on
    values in ways that were not found: parts or conditions may be missing, and `count` is an
    estimate, the mean of 1 / probability over random walks (Knuth 1975,
    https://doi.org/10.2307/2005469).
    """

    parts: Sequence[Part]
    count: int | float
    exact: bool


class Walked(Protocol):
    """The part of a space used here."""

    @property
    def slow(self) -> bool: ...

    def walk(self, choose: Chooser) -> Walk: ...

    def enumerate(self) -> Iterator[Sample]: ...


def describe(space: Walked) -> Structure:
    """Returns the structure of a space, from at most about as many walks as all choices together
    have values.

    Varies several choices at once, and one at a time where that changes which others are asked, or
    random walks ask something else than was found. Choices that change which others are asked are
    switches; switches that control the same choices are varied jointly.
    """
    probe = _Probe(space)
    node = probe.root()
    if math.inf in (part.choice.size for part in node.parts.values()):
        return Structure(probe.in_order(node), math.inf, exact=True)
    checks = _CHECKS_IF_SLOW if space.slow and not node.switches else _CHECKS
    walks = list(_random_walks(space, "check", checks, lambda rng, choice: choice.random(rng)))
    predicted = _predicts(node, walks)
    if not predicted and probe.screened:
        node = probe.one_at_a_time()
        predicted = _predicts(node, walks)
    predicted = predicted and probe.complete
    parts = probe.in_order(node)
    small = _SMALL_IF_SLOW if space.slow else _SMALL
    if node.count > (small if predicted else _ENUMERATED):
        if predicted:
            return Structure(parts, node.count, exact=True)
        return Structure(_refuted([w.sample for w in walks], parts), _estimate(space), exact=False)
    listed = list(itertools.islice(space.enumerate(), _ENUMERATED + 1))
    exact = len(listed) <= _ENUMERATED
    return Structure(_refuted(listed, parts), len(listed) if exact else _estimate(space), exact)


def _predicts(node: "_Subspace", walks: Iterable[Walk]) -> bool:
    return all(node.predict(walk.sample) == _asked(walk) for walk in walks)


def _refuted(samples: Sequence[Sample], parts: Sequence[Part]) -> Sequence[Part]:
    """Returns the parts without the conditions that some sample disproves.

    A label with several sets of candidates is kept as it is, since samples do not distinguish them.
    """
    labels = [part.choice.label for part in parts]

    def holds(part: Part, label: str) -> bool:
        values = {key(value) for value in part.condition[label]}
        if labels.count(part.choice.label) > 1:
            return True
        asked = (sample for sample in samples if part.choice.label in sample)
        return all(label not in sample or key(sample[label]) in values for sample in asked)

    return [
        replace(part, condition={k: v for k, v in part.condition.items() if holds(part, k)})
        for part in parts
    ]


@dataclass(frozen=True)
class _Subspace:
    """The choices asked once some others are decided: `asked` always, and more depending on
    `switches`.

    Subspaces are shared, so derived values are cached.
    """

    asked: Mapping[str, Choice]
    switches: Sequence["_Switch"]

    @cached_property
    def count(self) -> int:
        """The number of samples of this subspace."""
        deciding = {label for switch in self.switches for label in switch.labels}
        free = [int(choice.size) for label, choice in self.asked.items() if label not in deciding]
        below = [sum(case.count for _, case in switch.cases.values()) for switch in self.switches]
        return math.prod(free) * math.prod(below)

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """The choices of this subspace, with their conditions relative to it."""
        parts = {_name(choice): Part(choice, {}) for choice in self.asked.values()}
        for switch in self.switches:
            sizes = {label: self.asked[label].size for label in switch.labels}
            ways: dict[str, list[Part]] = {}
            for values, case in switch.cases.values():
                decided = {label: (value,) for label, value in values.items()}
                for name, part in case.parts.items():
                    way = Part(part.choice, decided | dict(part.condition))
                    ways.setdefault(name, []).append(way)
            for name, found in ways.items():
                common = _common([part.condition for part in found])
                kept = {k: values for k, values in common.items() if len(values) != sizes.get(k)}
                parts[name] = Part(found[0].choice, kept)
        return parts

    def predict(self, sample: Sample) -> dict[str, Choice]:
        """Returns the choices asked on the way to a sample, as far as its values are known."""
        asked = dict(self.asked)
        for switch in self.switches:
            joint = key([sample.get(label) for label in switch.labels])
            if joint in switch.cases:
                asked |= switch.cases[joint][1].predict(sample)
        return asked


@dataclass(frozen=True)
class _Switch:
    """Choices that jointly control which others are asked, by the key of their joint values."""

    labels: Sequence[str]
    cases: Mapping[str, tuple[Sample, _Subspace]]


def _common(conditions: Sequence[Condition]) -> Condition:
    """Returns the condition implied by each of several: labels of all, with the values of any."""
    labels = [label for label in conditions[0] if all(label in other for other in conditions)]
    return {label: _unique(c[label] for c in conditions) for label in labels}


def _unique(groups: Iterable[tuple[JsonValue, ...]]) -> tuple[JsonValue, ...]:
    return tuple({key(value): value for values in groups for value in values}.values())


@final
class _Probe:
    """A probe of the structure of a space, which it walks."""

    def __init__(self, space: Walked) -> None:
        self.space = space
        self.order: list[str] = []  # all labels met, in the order they are asked
        self.complete = True  # whether all values of all switches were tried
        self.screened = False  # whether choices were varied together
        self._walks: dict[str, Walk] = {}
        self._influence: dict[str, set[str]] = {}
        self._switches: dict[str, _Switch] = {}
        self._consistent = False
        self._screens = True

    def root(self) -> _Subspace:
        """Returns the whole space. Starts over, reusing its walks, whenever a choice turns out to
        control more than was known."""
        while not self._consistent:
            self._consistent = True
            self._switches.clear()
            node = self.node({}, frozenset())
        return node

    def one_at_a_time(self) -> _Subspace:
        """Returns the whole space once more, varying one choice at a time from now on."""
        self._screens, self._consistent = False, False
        self._influence.clear()
        return self.root()

    def in_order(self, node: _Subspace) -> Sequence[Part]:
        """Returns the parts of a subspace in the order they are asked."""
        return sorted(node.parts.values(), key=lambda part: self.order.index(part.choice.label))

    def node(self, given: Sample, outside: frozenset[str]) -> _Subspace:
        """Returns the subspace in which `given` is decided, without the labels in `outside`."""
        walk = self._walk(given)
        free = [label for label in walk.sample if label not in given and label not in outside]
        groups = self._groups(given, walk, free)
        inside = set().union(*groups.values())
        if leaked := inside & outside:  # these were thought to be always asked
            self._consistent = False
            for label in given.keys() & walk.choices.keys():
                self._influence[_name(walk.choices[label])] |= leaked
        asked = {label: walk.choices[label] for label in free if label not in inside}
        around = outside | asked.keys() | inside
        switches = [
            self._switch(given, walk, labels, frozenset(around - below))
            for labels, below in groups.items()
        ]
        return _Subspace(asked, switches)

    def _walk(self, given: Sample) -> Walk:
        """Returns the walk with the given values, and default values elsewhere and where another
        choice has the label."""

        def choose(choice: Choice) -> JsonValue:
            value = given.get(choice.label, choice.default)
            try:
                return choice.check(value)
            except SampleError:
                return choice.default

        name = sample_key(given)
        if name not in self._walks:
            walk = self.space.walk(choose)
            self._walks[name] = walk
            self._remember(list(walk.sample))
        return self._walks[name]

    def _remember(self, labels: Sequence[str]) -> None:
        """Inserts new labels after those they were asked after."""
        for before, label in zip([None, *labels], labels, strict=False):
            if label not in self.order:
                self.order.insert(self.order.index(before) + 1 if before else 0, label)

    def _groups(
        self, given: Sample, walk: Walk, free: Sequence[str]
    ) -> dict[tuple[str, ...], set[str]]:
        """Returns the outermost switches, grouped if they control the same labels, and these."""
        if self._screens:
            self._screen(given, walk, free)
        direct = {label: self._influenced(given, walk, label) for label in free}
        reach: dict[str, set[str]] = {}
        for label in reversed(free):  # a choice controls only later ones
            further = [reach[other] for other in direct[label] if other in reach]
            reach[label] = direct[label].union(*further)
        decided = set().union(*direct.values())
        groups: dict[tuple[str, ...], set[str]] = {}
        for label in free:
            if label in decided or not reach[label]:
                continue
            joined = [labels for labels, below in groups.items() if below & reach[label]]
            below = reach[label].union(*(groups.pop(labels) for labels in joined))
            groups[tuple(itertools.chain(*joined, [label]))] = below
        return groups

    def _screen(self, given: Sample, walk: Walk, labels: Sequence[str]) -> None:
        """Finds choices that influence none, by varying many at once (group testing): where that
        changes what is asked, tries each half of them."""
        unknown = [label for label in labels if _name(walk.choices[label]) not in self._influence]
        if len(unknown) < 2 or walk.broken is not None:
            return
        self.screened = True
        here = _asked(walk)
        for sample in _jointly([walk.choices[label] for label in unknown]):
            there = self._walk(given | sample)
            if there.broken is not None:  # which of them did it, is only found one at a time
                return
            if _asked(there) != here:
                middle = len(unknown) // 2
                self._screen(given, walk, unknown[:middle])
                self._screen(given, walk, unknown[middle:])
                return
        self._influence |= {_name(walk.choices[label]): set() for label in unknown}

    def _influenced(self, given: Sample, walk: Walk, label: str) -> set[str]:
        """Returns the labels that are asked, or whose candidates change, depending on one choice.

        A choice is probed where it is first met, and assumed to behave the same elsewhere.
        """
        choice = walk.choices[label]
        name = _name(choice)
        if name not in self._influence:
            here = _asked(walk)
            self._influence[name] = set()
            for value in _values(choice):
                there = _asked(self._walk(given | {label: value}))
                changed = {k for k in here.keys() | there.keys() if here.get(k) != there.get(k)}
                self._influence[name] |= changed
        return self._influence[name]

    def _switch(
        self, given: Sample, walk: Walk, labels: tuple[str, ...], outside: frozenset[str]
    ) -> _Switch:
        """Returns the switch of some labels; computed once for equal surroundings."""
        near = [label for label in walk.sample if label not in given and label not in outside]
        name = str(sorted(_name(walk.choices[label]) for label in {*near, *labels}))
        if name not in self._switches:
            cases = {}
            for values in self._joint([walk.choices[label] for label in labels]):
                sample = dict(zip(labels, values, strict=True))
                cases[key([*values])] = sample, self.node(given | sample, outside)
            self._switches[name] = _Switch(labels, cases)
        return self._switches[name]

    def _joint(self, choices: Sequence[Choice]) -> Iterator[Sequence[JsonValue]]:
        """Yields all joint values, or if they are too many, those with one non-default value."""
        if any(choice.size > _LISTED for choice in choices):
            self.complete = False
        if math.prod(len(_values(choice)) for choice in choices) <= _JOINT:
            yield from itertools.product(*map(_values, choices))
            return
        self.complete = False
        defaults = [choice.default for choice in choices]
        yield defaults
        for i, choice in enumerate(choices):
            for value in _values(choice)[1:]:
                yield [*defaults[:i], value, *defaults[i + 1 :]]


def _name(choice: Choice) -> str:
    return f"{choice.label}: {choice}"


def _asked(walk: Walk) -> dict[str, Choice]:
    return {label: walk.choices[label] for label in walk.sample}


def _values(choice: Choice) -> Sequence[JsonValue]:
    """Returns all values, or the default and some random ones; the default comes first."""
    if choice.size <= _LISTED:
        values: Iterable[JsonValue] = choice.values()
    else:
        values = [choice.random(generator(0, choice.label, i)) for i in range(_LISTED // 4)]
    return _unique([(choice.check(choice.default),), tuple(values)])


def _jointly(choices: Sequence[Choice]) -> Iterator[Sample]:
    """Yields samples that together hold each value of each choice but its default, in an order that
    differs from choice to choice, so that equal ones do not stay equal."""
    orders = {choice.label: [*_values(choice)[1:]] or [choice.default] for choice in choices}
    for label, values in orders.items():
        generator(0, "together", label).shuffle(values)
    for i in range(max(map(len, orders.values()))):
        yield {label: values[i % len(values)] for label, values in orders.items()}


def _random_walks(
    space: Walked, purpose: str, count: int, draw: Callable[[Random, Choice], JsonValue]
) -> Iterator[Walk]:
    """Yields random walks; the random numbers depend on `purpose` only."""
    for i in range(count):
        yield space.walk(partial(draw, generator(0, purpose, i)))


def _estimate(space: Walked) -> int:
    walks = _random_walks(space, "estimate", _ESTIMATES, _uniform)
    sizes = (math.prod(int(choice.size) for choice in _asked(w).values()) for w in walks)
    return round(sum(sizes) / _ESTIMATES)


def _uniform(rng: Random, choice: Choice) -> JsonValue:
    return (replace(choice, log=False) if isinstance(choice, Numeric) else choice).random(rng)
