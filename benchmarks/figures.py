"""Figures of benchmarks and the limits they are held to, as plain data."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, final


@final
@dataclass(frozen=True)
class Target:
    """A figure with a limit: the most that it may be, or the least."""

    name: str
    figure: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.figure >= self.limit if self.at_least else self.figure <= self.limit

    @property
    def bound(self) -> str:
        """The limit as a reader sees it."""
        return f"{'at least ' * self.at_least}{self.limit:g} {self.unit}"


def as_figures(targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Targets as plain data, with their verdicts."""
    return [{**asdict(target), "met": target.met} for target in targets]
