"""Choices: decisions, each with a label and candidates. Values are plain JSON. No torch."""

import itertools
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any, Self, final

from runner.errors import SampleError, SpaceError, shown

JsonValue = Any  # plain JSON: bool, int, float, str, None, and lists and dicts of them
LARGEST = 1e300  # of the ends of a range, so that its length is finite, too
_quote = json.encoder.encode_basestring_ascii


@final
class BadCandidates(SpaceError):
    """A choice without candidates, or with one of them twice; they are in JSON form."""

    def __init__(self, message: str, candidates: Sequence[JsonValue]) -> None:
        super().__init__(message)
        self.candidates = candidates


def to_json(value: object) -> JsonValue:
    """Returns a candidate in JSON form; tuples become lists. Raises SpaceError for other types, and
    for a container that contains itself."""
    try:
        return _to_json(value)
    except RecursionError:
        raise SpaceError(
            f"{shown(value)} cannot be a candidate: it contains itself, or is nested too deeply."
        ) from None


def _to_json(value: object) -> JsonValue:
    match value:
        case None | bool():
            return value
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case str():
            return str(value)
        case list() | tuple():
            return [_to_json(item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {str(key): _to_json(item) for key, item in value.items()}
    raise SpaceError(
        f"{shown(value)} cannot be a candidate: a sample is plain JSON (finite numbers, strings, "
        "booleans, None, lists, dicts with string keys). Give it a name in a dict of candidates, "
        "or use a LayerChoice for modules."
    )


def key(value: JsonValue) -> str:
    """Returns a text that is equal for equal values; 1 and 1.0 are equal, 1 and True are not.

    This is the hottest function of a search. It handles plain types first, because `json.dumps`
    takes 3 us per call.
    """
    kind = type(value)
    if kind is str:
        return _quote(value)
    if kind is int:
        return str(value)
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else float.__repr__(value)
    if isinstance(value, list):
        return f"[{','.join(map(key, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join([f'{_quote(k)}:{key(v)}' for k, v in sorted(value.items())])}}}"
    return json.dumps(value)


def weights_of(prior: Sequence[float] | None) -> tuple[float, ...] | None:
    """Returns a prior as a choice has it."""
    return None if prior is None else tuple(prior)


def one_prior(
    prior: Sequence[float] | None, weights: Sequence[float] | None, where: str
) -> Sequence[float] | None:
    """Returns the prior, given by either of its names. Raises SpaceError if it is given by both, or
    is no list."""
    if prior is not None and weights is not None:
        raise SpaceError(f"{where} has a prior and weights, which are the same; give one of them.")
    given = prior if weights is None else weights
    if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable | None):
        raise SpaceError(f"{where} has the prior {shown(given)}; give a list of weights.")
    return given


def _is_weight(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < math.inf  # type: ignore[operator]


@dataclass(frozen=True)
class Choice(ABC):
    """One decision. A label identifies the choice and is asked once per walk of a space.

    `prior` has a weight for each value, with which random draws pick it; without one, they are
    uniform. Two choices that differ only in it are equal.
    """

    label: str
    prior: tuple[float, ...] | None = field(default=None, kw_only=True, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raises SpaceError for a prior that does not fit the values."""
        if self.prior is None:
            return
        where = f"Choice '{self.label}' has the prior {[*self.prior]}"
        if self.size == math.inf:
            raise SpaceError(f"{where}, but is continuous ({self}); only a list of values has one.")
        if len(self.prior) != self.size:
            raise SpaceError(
                f"{where}; it must be {self.size} weights, one for each of its values ({self})."
            )
        if not all(_is_weight(weight) for weight in self.prior):
            raise SpaceError(f"{where}; a weight must be a finite number, 0 or more.")
        if not any(self.prior):
            raise SpaceError(f"{where}; at least one weight must be above 0.")

    @final
    def with_prior(self, prior: Sequence[float]) -> Self:
        """Returns the choice with weights of its values. Raises SpaceError if they do not fit."""
        return replace(self, prior=tuple(prior))

    @final
    def random(self, rng: Random) -> JsonValue:
        """Returns a random value: by the prior, or else uniform, on a log scale if the choice has
        one."""
        if self.prior is None:
            return self.uniform(rng)
        return rng.choices(self.values(), self.prior)[0]

    @final
    def mutate(self, value: JsonValue, rng: Random) -> JsonValue:
        """Returns a random value other than `value`, by the prior if there is one; or `value` if
        there is no other one, or none with a weight."""
        if self.prior is None:
            return self.varied(value, rng)
        weights = [*self.prior]
        weights[self.place(value)] = 0.0
        return rng.choices(self.values(), weights)[0] if any(weights) else value

    @property
    @abstractmethod
    def size(self) -> int | float:
        """The number of values; `math.inf` for a continuous range."""

    @property
    @abstractmethod
    def default(self) -> JsonValue:
        """The value of the default model: the first candidate."""

    @abstractmethod
    def uniform(self, rng: Random) -> JsonValue:
        """Returns a uniformly random value, on a log scale if the choice has one."""

    @abstractmethod
    def varied(self, value: JsonValue, rng: Random) -> JsonValue:
        """Returns a random value other than `value`, or `value` if it is the only one; near it
        where that means something."""

    @abstractmethod
    def check(self, value: JsonValue) -> JsonValue:
        """Returns the value in canonical form. Raises SampleError if it is not a candidate."""

    @abstractmethod
    def values(self, resolution: int | None = None) -> Sequence[JsonValue]:
        """Returns all values in order. A continuous range returns `resolution` points, and raises
        SpaceError without a resolution."""

    def place(self, value: JsonValue, resolution: int | None = None) -> int:
        """Returns the index of a value in `values(resolution)`."""
        return self.values(resolution).index(value)

    @abstractmethod
    def __str__(self) -> str:
        """Returns the candidates in readable form, without the label."""

    def _refuse(self, value: JsonValue) -> SampleError:
        return SampleError(f"Choice '{self.label}' was given {value!r}; its candidates are {self}.")


@final
@dataclass(frozen=True)
class Categorical(Choice):
    """One of a list of candidates in no particular order. `candidates` are in JSON form."""

    candidates: tuple[JsonValue, ...]

    def __post_init__(self) -> None:
        if not self.candidates:
            raise BadCandidates(f"Choice '{self.label}' has no candidates.", ())
        if len(self._index) < len(self.candidates):
            text = f"Choice '{self.label}' lists a candidate twice: {self}."
            raise BadCandidates(text, self.candidates)
        super().__post_init__()

    @cached_property
    def _index(self) -> dict[str, int]:
        return {key(candidate): i for i, candidate in enumerate(self.candidates)}

    @property
    def size(self) -> int:
        return len(self.candidates)

    @property
    def default(self) -> JsonValue:
        return self.candidates[0]

    def index(self, value: JsonValue) -> int:
        """Returns the index of a value among the candidates. Raises SampleError if it is none."""
        try:
            return self._index[key(value)]
        except (KeyError, TypeError):
            texts = [str(one) for one in self.candidates if type(one) is int]
            if value in texts and len(texts) == len(self.candidates):  # as NNI 2 writes it
                return texts.index(value)
            raise self._refuse(value) from None

    def uniform(self, rng: Random) -> JsonValue:
        return self.candidates[rng.randrange(len(self.candidates))]

    def varied(self, value: JsonValue, rng: Random) -> JsonValue:
        if self.size == 1:
            return value
        here = self.index(value)
        return self.candidates[(here + rng.randrange(1, self.size)) % self.size]

    def check(self, value: JsonValue) -> JsonValue:
        return self.candidates[self.index(value)]

    def values(self, resolution: int | None = None) -> Sequence[JsonValue]:
        return self.candidates

    def place(self, value: JsonValue, resolution: int | None = None) -> int:
        return self.index(value)

    def __str__(self) -> str:
        return ", ".join(repr(candidate) for candidate in self.candidates)


@final
@dataclass(frozen=True)
class Numeric(Choice):
    """A number from `low` to `high`, inclusive; integers in steps of `step` if it is given."""

    low: float
    high: float
    step: int | None = None  # None: continuous
    log: bool = False

    def __post_init__(self) -> None:
        where = f"Choice '{self.label}' ({self.low} to {self.high})"
        for end in (self.low, self.high):
            if not abs(end) <= LARGEST:  # also not if it is NaN
                raise SpaceError(f"{where}: both ends must be finite, and at most {LARGEST:g}.")
        if self.low > self.high:
            raise SpaceError(f"{where}: low is above high.")
        if self.log and self.low <= 0:
            raise SpaceError(f"{where}: a log scale needs low > 0.")
        if self.step is not None and self.step < 1:
            raise SpaceError(f"{where}: step is {self.step}; it must be at least 1.")
        if self.log and self.step not in (None, 1):
            raise SpaceError(f"{where}: a log scale requires step 1, not {self.step}.")
        super().__post_init__()

    @property
    def size(self) -> int | float:
        if self.low == self.high:
            return 1
        return math.inf if self.step is None else int((self.high - self.low) // self.step) + 1

    @property
    def default(self) -> JsonValue:
        return self.low

    def uniform(self, rng: Random) -> JsonValue:
        return self.at(rng.random())

    def varied(self, value: JsonValue, rng: Random) -> JsonValue:
        """Adds normal noise of a fifth of the range; integers move at least one step."""
        if self.size == 1:
            return value
        for _ in range(100):
            here = self.position(value) + rng.gauss(0, 0.2)
            other = self.at(min(max(here, 0.0), 1.0))
            if other != value:
                return other
        return self.at(1.0 if value == self.low else 0.0)

    def check(self, value: JsonValue) -> JsonValue:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refuse(value)
        if not self.low <= value <= self.high:
            raise self._refuse(value)
        if self.step is None:
            return float(value)
        if (value - self.low) % self.step:
            raise self._refuse(value)
        return int(value)

    def values(self, resolution: int | None = None) -> Sequence[JsonValue]:
        if self.step is not None:
            return range(int(self.low), int(self.high) + 1, self.step)
        if self.size == 1:
            return [self.low]
        if resolution is None:
            raise SpaceError(
                f"Choice '{self.label}' ({self}) is continuous and cannot be listed; "
                "give a resolution, for example strategy.resolution=5."
            )
        points = (self.at(i / max(resolution - 1, 1)) for i in range(resolution))
        return [*dict.fromkeys(points)]  # a range of a few floats has fewer points than requested

    def at(self, place: float) -> JsonValue:
        """Returns the value at a position from 0 (low) to 1 (high)."""
        if self.step is not None and not self.log:
            return int(self.low) + self.step * min(int(place * self.size), int(self.size) - 1)
        if self.step is not None:  # integers own half a step on either side
            low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
            whole = round(math.exp(low + place * (high - low)))
            return int(min(max(whole, self.low), self.high))
        if place == 1:
            return float(self.high)
        if self.log:
            value = self.low * (self.high / self.low) ** place
        else:
            value = self.low + place * (self.high - self.low)
        return float(min(max(value, self.low), self.high))

    def position(self, value: float) -> float:
        """Returns the position of a value from 0 to 1; integers are centred in their interval."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        if self.step is not None:
            return ((value - self.low) / self.step + 0.5) / self.size
        return (value - self.low) / (self.high - self.low)

    def __str__(self) -> str:
        step = f" in steps of {self.step}" if self.step not in (None, 1) else ""
        kind = "a number" if self.step is None else "a whole number"
        return f"{kind} from {self.low} to {self.high}{step}{' (log)' if self.log else ''}"


@final
@dataclass(frozen=True)
class Subset(Choice):
    """A subset of `n` items: exactly `chosen` of them, or any number (`chosen=None`).

    A value is the sorted list of the chosen indices.
    """

    n: int
    chosen: int | None

    def __post_init__(self) -> None:
        if self.n < 1 or not (self.chosen is None or 1 <= self.chosen <= self.n):
            raise SpaceError(
                f"Choice '{self.label}' picks {self.chosen} of {self.n} inputs; "
                "it must pick at least 1 and at most all of them."
            )
        super().__post_init__()

    @property
    def size(self) -> int:
        return 2**self.n if self.chosen is None else math.comb(self.n, self.chosen)

    @property
    def default(self) -> JsonValue:
        return [*range(self.chosen or 1)]

    def uniform(self, rng: Random) -> JsonValue:
        if self.chosen is None:
            return [i for i in range(self.n) if rng.random() < 0.5]
        return sorted(rng.sample(range(self.n), self.chosen))

    def varied(self, value: JsonValue, rng: Random) -> JsonValue:
        """Exchanges one member for another; if any number is allowed, adds or removes one."""
        if self.chosen is None:
            return sorted(set(value) ^ {rng.randrange(self.n)})
        out = [i for i in range(self.n) if i not in value]
        if not out:
            return value
        return sorted((set(value) - {rng.choice(value)}) | {rng.choice(out)})

    def check(self, value: JsonValue) -> JsonValue:
        if self.chosen == 1 and type(value) is int:  # as NNI writes it
            value = [value]
        whole = isinstance(value, list) and all(type(i) is int and 0 <= i < self.n for i in value)
        if not whole or len(set(value)) < len(value):
            raise self._refuse(value)
        if self.chosen is not None and len(value) != self.chosen:
            raise self._refuse(value)
        return sorted(value)

    def values(self, resolution: int | None = None) -> Sequence[JsonValue]:
        sizes = range(self.n + 1) if self.chosen is None else [self.chosen]
        return [[*pick] for k in sizes for pick in itertools.combinations(range(self.n), k)]

    def __str__(self) -> str:
        number = "any number" if self.chosen is None else f"{self.chosen}"
        return f"{number} of the indices 0 to {self.n - 1}"
