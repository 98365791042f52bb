"""Goals: the objectives of a search, and the constraints on what it may find."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, final

from runner.config.settings import Settings
from runner.constraints import Constraint, parse_all
from runner.errors import ConfigError
from runner.fidelity import Fidelity
from runner.trial import Metrics

Direction = Literal["max", "min"]


@final
@dataclass(frozen=True)
class Objective:
    """One objective of a search: a metric, and whether to maximize or minimize it."""

    metric: str = "val/accuracy"
    mode: Direction = "max"
    reference: float | None = None  # of the hypervolume of several objectives; None: the worst

    def turned(self, value: float) -> float:
        """Returns a value so that more is better, or such a score as the value it stands for."""
        return value if self.mode == "max" else -value

    def score(self, metrics: Metrics) -> float | None:
        """Returns the metric, negated if it is minimized; None if it is missing or not finite."""
        value = metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            return None
        return self.turned(value)


@final
@dataclass(frozen=True)
class Goals:
    """What a search aims at: one objective or several, and bounds that results must keep. Results
    are compared at the highest rung of the fidelity, if there is one."""

    objectives: tuple[Objective, ...] = (Objective(),)
    constraints: tuple[Constraint, ...] = ()
    fidelity: Fidelity | None = None

    @classmethod
    def of_settings(cls, settings: Settings) -> Self:
        """Returns the goals of a run. Raises ConfigError."""
        given = None if settings.fidelity is None else settings.fidelity.model_dump()
        objectives = [entry.model_dump() for entry in settings.objectives]
        return cls.of(objectives, settings.constraints, given)

    @classmethod
    def of(cls, objective: Any, constraints: Iterable[str] = (), fidelity: Any = None) -> Self:
        """Returns the goals of a config: `objective` is one entry or a list of them. Raises
        ConfigError."""
        entries = objective if isinstance(objective, list | tuple) else [objective]
        objectives = tuple(Objective(**entry) for entry in entries)
        names = [one.metric for one in objectives]
        if not names:
            raise ConfigError("objective is []; it must be {metric: ..., mode: ...}, or a list.")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ConfigError(f"objective names {twice!r} twice; each objective needs its own.")
        rungs = None if fidelity is None else Fidelity.of(fidelity)
        return cls(objectives, parse_all(constraints), rungs)

    @property
    def several(self) -> bool:
        """Whether there are several objectives, so that results are a trade-off."""
        return len(self.objectives) > 1

    @property
    def metrics(self) -> Sequence[str]:
        """The metrics of the objectives, and then those of the constraints."""
        bounded = (one.metric for one in self.constraints)
        return [*dict.fromkeys([*(one.metric for one in self.objectives), *bounded])]

    def scores(self, metrics: Metrics) -> tuple[float, ...]:
        """Returns a number per objective, each turned so that more is better; () without all."""
        found = [one.score(metrics) for one in self.objectives]
        return tuple(score for score in found if score is not None) if None not in found else ()

    def violations(self, metrics: Metrics) -> tuple[float, ...]:
        """Returns by how much each constraint is broken, relative to its bound; 0 for those that
        are kept, and for those whose metric is not known."""
        return tuple(
            one.violation(metrics[one.metric]) if one.metric in metrics else 0.0
            for one in self.constraints
        )

    def broken(self, metrics: Mapping[str, float]) -> Constraint | None:
        """Returns the constraint that is broken the most, of those whose metric is known."""
        violations = self.violations(metrics)
        worst = max(violations, default=0.0)
        return self.constraints[violations.index(worst)] if worst > 0 else None
