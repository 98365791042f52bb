"""Constraints, such as `params <= 200k` or `val/accuracy >= 0.9`: parsed, never evaluated."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self, final

from runner.errors import ConfigError, shown

MetricUnit = Literal["", "s", "B"]  # of a metric: a plain number, seconds, or bytes
Relation = Literal["<=", "<", ">=", ">"]

FORM = "a metric, <=, <, >= or >, and a number, such as 'params <= 200k' or 'latency <= 2ms'"
# Each with the unit of the metrics that it fits (None: of any), and its size.
UNITS: Mapping[str, tuple[MetricUnit | None, float]] = {
    "k": (None, 1e3), "K": (None, 1e3), "M": (None, 1e6), "G": (None, 1e9), "T": (None, 1e12),
    "%": ("", 1e-2),
    "ns": ("s", 1e-9), "us": ("s", 1e-6), "µs": ("s", 1e-6), "ms": ("s", 1e-3), "s": ("s", 1.0),
    "min": ("s", 60.0), "h": ("s", 3600.0),
    "B": ("B", 1.0), "kB": ("B", 1e3), "KB": ("B", 1e3), "MB": ("B", 1e6), "GB": ("B", 1e9),
    "KiB": ("B", 2.0**10), "MiB": ("B", 2.0**20), "GiB": ("B", 2.0**30),
}  # fmt: skip
NAMES: Mapping[MetricUnit, str] = {"": "a plain number", "s": "in seconds", "B": "in bytes"}
FITTING: Mapping[MetricUnit, str] = {
    "": "k, M, G or %", "s": "ns, us, ms, s, min or h", "B": "B, kB, MB, GB, KiB, MiB or GiB",
}  # fmt: skip
_COMPARISON = re.compile(r"\s*([^<>=\s][^<>=]*?)\s*(<=|>=|<|>)\s*([^<>=\s][^<>=]*?)\s*")
_NUMBER = re.compile(r"([+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)\s*([^\d\s.]*)")


@final
@dataclass(frozen=True)
class Constraint:
    """A bound on a metric, in the unit of the metric. `text` is how the user wrote it."""

    metric: str
    relation: Relation
    bound: float
    unit: (
        MetricUnit | None
    )  # that the bound was given in; None: a plain number, which fits any metric
    text: str

    @classmethod
    def parse(cls, text: object, where: str = "constraints") -> Self:
        """Returns the constraint that a text states. Raises ConfigError."""
        found = _COMPARISON.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ConfigError(f"{where} is {shown(text)}; it must be {FORM}.")
        metric, relation, bound = found.groups()
        number = _NUMBER.fullmatch(bound)
        if number is None:
            raise ConfigError(f"{where}: {shown(bound)} is no number; it must be {FORM}.")
        digits, name = number.groups()
        if name and name not in UNITS:
            raise ConfigError(
                f"{where}: there is no unit {shown(name)}; the units are {', '.join(UNITS)}."
            )
        unit, size = UNITS[name] if name else (None, 1.0)
        value = float(digits.replace("_", "")) * size
        if not math.isfinite(value):
            raise ConfigError(f"{where}: {shown(bound)} is too large.")
        return cls(metric, _relation(relation), value, unit, str(text).strip())

    @property
    def rule(self) -> str:
        """The bound, as the user wrote it: `<= 200k`."""
        return self.text[self.text.index(self.relation) :]

    def check_unit(self, unit: MetricUnit, where: str = "constraints") -> None:
        """Raises ConfigError if the bound was given in another kind of unit than the metric's."""
        if self.unit is not None and self.unit != unit:
            raise ConfigError(
                f"{where} is {self.text!r}, but {self.metric} is {NAMES[unit]}; its bound may be "
                f"a plain number, or one with {FITTING[unit]}."
            )

    def violation(self, value: float) -> float:
        """Returns by how much a value breaks the constraint, relative to the bound; 0 if it keeps
        it, and infinity for a value that is no number."""
        if math.isnan(value):
            return math.inf
        beyond = value - self.bound if self.relation in ("<=", "<") else self.bound - value
        if beyond < 0 or (beyond == 0 and self.relation in ("<=", ">=")):
            return 0.0
        tiny = math.ulp(0.0)  # the bound itself breaks a strict constraint
        return max(beyond / (abs(self.bound) or 1.0), tiny)


def parse_all(texts: Iterable[object]) -> tuple[Constraint, ...]:
    """Returns the constraints of a config. Raises ConfigError, which names the place."""
    return tuple(Constraint.parse(text, f"constraints[{i}]") for i, text in enumerate(texts))


def _relation(text: str) -> Relation:
    match text:
        case "<=" | "<" | ">=" | ">":
            return text
    raise AssertionError(text)
