"""The contract of tables: what a benchmark recorded of each architecture of its space."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final

from runner.trial import Metrics

Better = Mapping[str, Literal["max", "min"]]  # metric -> the direction in which it is better


@final
@dataclass(frozen=True)
class ResultRow:
    """The results of one architecture."""

    search: Metrics  # what a search may see, such as {"val/accuracy": 0.91, "cost": 86.7}
    test: Metrics = field(default_factory=dict)  # on test splits: {"accuracy": 0.94}


class ResultTable(ABC):
    """The results of all architectures of a benchmark. Built from its config alone; it loads on
    first use.

    Accuracies are fractions; `cost` is in seconds of the published training, `latency` in seconds,
    and `params` a number of parameters.
    """

    @property
    @abstractmethod
    def reports(self) -> Better:
        """The metrics of a search."""

    @property
    @abstractmethod
    def tests(self) -> Better:
        """The metrics on test splits, without a prefix; none if the table lacks them."""

    @abstractmethod
    def check(self) -> None:
        """Raises ConfigError if the table cannot be read, or has other contents than it must."""

    @abstractmethod
    def look_up(self, architecture: str, seed: int) -> ResultRow:
        """Returns the results of an architecture, as the benchmark writes it. Where it was trained
        several times, `seed` may select one. Raises Refused if the table lacks it."""
