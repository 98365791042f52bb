"""The space of a sweep: Hydra's syntax of sweeps as choices, and samples as overrides.

`choice(a, b)` and `a,b` are categories, as are `glob(*)` and a range that is not of whole numbers;
`range(1, 9)` are whole numbers, and `interval(0.1, 1)` is continuous. The tag `log` makes a scale
logarithmic, and `int` makes an interval one of whole numbers.
"""

from collections.abc import Mapping, Sequence
from typing import final

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Sweep

from runner.errors import ConfigError, few
from runner.space.choice import Categorical, Choice, JsonValue, Numeric
from runner.space.sample import Sample
from runner.space.space import FlatSpace

TAGS = {"log", "int", "float"}
SYNTAX = "choice(a, b), range(1, 9), interval(0.1, 1), or tag(log, interval(1e-4, 1e-1))"


@final
class SweptSpace:
    """The keys that a sweep searches, and the overrides that all of its members share."""

    def __init__(self, overrides: Sequence[str], loader: ConfigLoader) -> None:
        """Raises ConfigError for what no member could have."""
        parsed = OverridesParser.create(config_loader=loader).parse_overrides([*overrides])
        last = {one.get_key_element(): one for one in parsed}  # of one key, the last counts
        self._fixed = {
            key: f"{key}={one.get_value_element_as_str()}" if not one.is_delete() else key
            for key, one in last.items() if not one.is_sweep_override()
        }  # fmt: skip
        choices = {key: _choice(one) for key, one in last.items() if one.is_sweep_override()}
        if not choices:
            raise ConfigError(
                f"This sweeper searches, but no key has alternatives; give one, as in KEY={SYNTAX}."
            )
        self._keys: Mapping[str, str] = {one.label: key for key, one in choices.items()}
        self.space = FlatSpace([*choices.values()])

    def overrides(self, sample: Sample) -> list[str]:
        """Returns the overrides of the member with a sample."""
        own = [f"{self._keys[label]}={_written(value)}" for label, value in sample.items()]
        return [*self._fixed.values(), *own]


def _choice(override: Override) -> Choice:
    """Returns the choice of a swept key: categories are the texts of overrides."""
    label, value = str(override.key_or_group), override.value()
    tags = {*value.tags} if isinstance(value, Sweep) else set()
    if tags - TAGS:
        raise ConfigError(
            f"{label} has the tag {few(sorted(tags - TAGS), 3)}; known are {few(sorted(TAGS), 3)}."
        )
    if isinstance(value, IntervalSweep):
        return _interval(label, value, tags)
    if isinstance(value, RangeSweep) and not tags & {"float"}:
        whole = value.range()
        if isinstance(whole, range) and whole.step > 0 and len(whole) > 1:
            return Numeric(label, whole[0], whole[-1], step=whole.step, log="log" in tags)
    if tags:
        raise ConfigError(
            f"{override.input_line} has tags, which are for an interval, or a rising range of "
            "whole numbers."
        )
    return Categorical(label, tuple(override.sweep_string_iterator()))


def _interval(label: str, value: IntervalSweep, tags: set[str]) -> Numeric:
    assert value.start is not None and value.end is not None
    if "int" in tags or isinstance(value.start, int):
        if value.start != int(value.start) or value.end != int(value.end):
            raise ConfigError(
                f"{label} is an interval of whole numbers from {value.start} to {value.end}; both "
                "ends must be whole numbers."
            )
        return Numeric(label, int(value.start), int(value.end), step=1, log="log" in tags)
    return Numeric(label, value.start, value.end, log="log" in tags)


def _written(value: JsonValue) -> str:
    return value if isinstance(value, str) else repr(value)
