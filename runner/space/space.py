"""Spaces: sets of choices, and the ways to traverse them. No torch."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import methodcaller
from random import Random
from typing import Any, final

from runner.errors import ConfigError, SampleError, SpaceError, as_yaml, did_you_mean
from runner.space.choice import Categorical, Choice, JsonValue, Numeric, to_json
from runner.space.sample import Chooser, DrawError, Sample, Walk, generator, lookup
from runner.space.structure import Structure, describe

_WALKS = 200  # random ones, in which a label is looked for


class Space(ABC):
    """All choices of a model or a search. Later choices may depend on earlier values."""

    @property
    def refuses(self) -> bool:
        """True once the space's own code has refused a sample."""
        return False

    @property
    def slow(self) -> bool:
        """True if each walk builds a model, so that `describe` should make few."""
        return False

    @abstractmethod
    def draw(self, choose: Chooser) -> Sample:
        """Walks the space, calling `choose` once for every choice met, and returns the sample.

        Labels are in the order they were asked. Raises DrawError if the space's own code raises or
        refuses the sample; the cause is then the refusal.
        """

    def walk(self, choose: Chooser) -> Walk:
        """Draws a sample as `draw` does, and records the choices. A broken walk holds the values
        chosen so far."""
        walk = Walk(choose)
        try:
            walk.sample = self.draw(walk.ask)
        except DrawError as broken:
            walk.sample, walk.broken = broken.sample, broken
        return walk

    def default(self) -> Sample:
        """Returns the sample of the default model: the first candidate of every choice."""
        return self.draw(lambda choice: choice.default)

    def random(self, rng: Random) -> Sample:
        """Returns a sample in which every choice met is uniform."""
        return self.draw(lambda choice: choice.random(rng))

    def meet(self, labels: Collection[str]) -> dict[str, Choice]:
        """Returns the choices met in the default walk, and in random ones until all of some labels
        are among them, or 200 were made."""
        met = self.walk(lambda choice: choice.default).choices
        for i in range(_WALKS):
            if met.keys() >= {*labels}:
                break
            draw = methodcaller("random", generator(0, "meet", i))
            met = self.walk(draw).choices | met
        return met

    def describe(self) -> Structure:
        """Returns the choices, their conditions and the number of samples. Walks the space
        often."""
        return describe(self)

    def count(self) -> int | float:
        """Returns the number of samples; infinity with a continuous choice, see `Structure`."""
        return describe(self).count

    def contains(self, sample: Mapping[str, JsonValue]) -> bool:
        """Returns whether a sample answers exactly the choices of this space, with valid values."""
        try:
            drawn = self.draw(lookup(sample))
        except SampleError:
            return False
        return drawn.keys() == sample.keys()

    def enumerate(
        self, after: Mapping[str, JsonValue] | None = None, resolution: int | None = None
    ) -> Iterator[Sample]:
        """Yields all samples in order, starting after `after`; the last choice varies fastest.

        A continuous choice contributes `resolution` points; without a resolution it raises
        SpaceError.
        """

        def answer(start: Mapping[str, JsonValue]) -> Chooser:
            def choose(choice: Choice) -> JsonValue:
                if choice.label in start:
                    return start[choice.label]
                return choice.values(resolution)[0]

            return choose

        walk = self.walk(answer(after or {}))
        if after is None:
            yield walk.sample
        while start := _next_start(walk, resolution):
            walk = self.walk(answer(start))
            yield walk.sample


def _next_start(walk: Walk, resolution: int | None) -> Sample | None:
    """Returns the shortest prefix of the next sample in order; None after the last."""
    order = list(walk.sample)
    for i in reversed(range(len(order))):
        values = walk.choices[order[i]].values(resolution)
        place = walk.choices[order[i]].place(walk.sample[order[i]], resolution) + 1
        if place < len(values):
            kept = {label: walk.sample[label] for label in order[:i]}
            return kept | {order[i]: values[place]}
    return None


@final
class FlatSpace(Space):
    """Independent choices that are always asked: the hyper-parameters of a search."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        self.choices = choices

    def draw(self, choose: Chooser) -> Sample:
        walk = Walk(choose)
        for choice in self.choices:
            walk.ask(choice)
        return walk.sample


@final
class JointSpace(Space):
    """Several spaces side by side; each label belongs to one of them."""

    def __init__(self, spaces: Sequence[Space]) -> None:
        self.spaces = spaces

    @property
    def slow(self) -> bool:
        return any(space.slow for space in self.spaces)

    def draw(self, choose: Chooser) -> Sample:
        sample: Sample = {}
        for space in self.spaces:
            part = self._draw_part(space, choose, sample)
            if clash := sample.keys() & part.keys():
                raise ConfigError(
                    f"Label {min(clash)!r} is used by the model space and by search; "
                    "rename the one in the model space."
                )
            sample |= part
        return sample

    @staticmethod
    def _draw_part(space: Space, choose: Chooser, before: Sample) -> Sample:
        try:
            return space.draw(choose)
        except DrawError as broken:
            raise DrawError(str(broken), before | broken.sample) from broken


def search_space(search: Mapping[str, object] | None) -> FlatSpace:
    """Returns the space of `search: {path: candidates}`, each a list or a range {low, high,
    ...}."""
    return FlatSpace([_search_choice(label, given) for label, given in (search or {}).items()])


def _search_choice(label: str, given: object) -> Choice:
    try:
        if isinstance(given, list):
            listed = enumerate(given)
            return Categorical(label, tuple(_candidate(f"{label}[{i}]", v) for i, v in listed))
        if isinstance(given, Mapping) and {"low", "high"} <= given.keys():
            return _range(label, given)
    except SpaceError as error:
        raise SpaceError(str(error).replace(f"Choice '{label}'", f"search.{label}")) from None
    raise ConfigError(
        f"search.{label} is {as_yaml(given)}; it must be a list of candidates or a range such as "
        "{low: 1e-4, high: 1e-1, log: true}."
    )


def _candidate(place: str, value: object) -> JsonValue:
    try:
        return to_json(value)
    except SpaceError:
        raise SpaceError(
            f"search.{place} is {as_yaml(value)}; a candidate must be a finite number, a text, "
            "true, false, null, or a list or a mapping of these whose keys are texts."
        ) from None


def _range(label: str, given: Mapping[str, Any]) -> Numeric:
    if unknown := sorted(map(str, given.keys() - {"low", "high", "step", "log"})):
        raise ConfigError(
            f"search.{label} has the unknown key {unknown[0]!r}; a range takes low, high, step and "
            f"log.{did_you_mean(unknown[0], ('step', 'log'))}"
        )
    low, high, step, log = (given.get(name) for name in ("low", "high", "step", "log"))
    for name, value in (("low", low), ("high", high)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"search.{label}.{name} is {as_yaml(value)}; it must be a number.")
    whole = isinstance(low, int) and isinstance(high, int)
    if step is not None and not whole:
        raise ConfigError(f"search.{label}: a step requires whole numbers.")
    if step is not None and type(step) is not int:
        raise ConfigError(f"search.{label}.step is {as_yaml(step)}; it must be a whole number.")
    if log is not None and not isinstance(log, bool):
        raise ConfigError(f"search.{label}.log is {as_yaml(log)}; it must be true or false.")
    if step is None and whole:
        step = 1
    return Numeric(label, given["low"], given["high"], step=step, log=bool(log))
