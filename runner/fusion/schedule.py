"""Scheduling: batches equal steps of several programs into launches, and orders these.

Agenda-based batching (Neubig et al. 2017, https://arxiv.org/abs/1705.07860): among the ready steps,
equal ones of different programs form one launch; the launch with the longest mean critical path to
the end runs first.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import final

from runner.fusion.program.program import Program

Label = Callable[[int, int], Hashable]  # (program, step) -> equal for steps that may share a launch


@final
@dataclass(frozen=True, slots=True)
class ScheduledStep:
    """A step of one of the programs."""

    model: int
    step: int


Launch = tuple[ScheduledStep, ...]  # at most one step per program, sorted by program


def schedule(programs: Sequence[Program], label: Label, ordered: Label) -> list[Launch]:
    """Returns launches with every step in exactly one, after all its dependencies.

    Steps of one program with equal values of `ordered` (not None) keep their relative order.
    """
    ways = [_Dependencies(program, i, ordered) for i, program in enumerate(programs)]
    ready: dict[Hashable, dict[int, list[int]]] = defaultdict(dict)  # label -> program -> steps
    for i, way in enumerate(ways):
        for step in way.first():
            ready[label(i, step)].setdefault(i, []).append(step)
    launches = []
    while ready:
        chosen = max(ready, key=lambda name: _urgency(ready[name], ways))
        waiting = ready[chosen]
        launch = tuple(ScheduledStep(i, waiting[i].pop(0)) for i in sorted(waiting))
        for i in [i for i, steps in waiting.items() if not steps]:
            del waiting[i]
        if not waiting:
            del ready[chosen]
        launches.append(launch)
        for member in launch:
            for step in ways[member.model].done(member.step):
                found = ready[label(member.model, step)].setdefault(member.model, [])
                found.append(step)
    return launches


def _urgency(waiting: dict[int, list[int]], ways: "Sequence[_Dependencies]") -> tuple[float, int]:
    heights = [ways[i].height[steps[0]] for i, steps in waiting.items()]
    return sum(heights) / len(heights), len(heights)


@final
class _Dependencies:
    """Unmet dependencies of the steps of a program, and heights: longest paths to the end."""

    def __init__(self, program: Program, number: int, ordered: Label) -> None:
        steps = program.steps
        makers = {var: at for at, step in enumerate(steps) for var in step.outputs}
        self._users: list[list[int]] = [[] for _ in steps]
        self._left = [0] * len(steps)
        last: dict[Hashable, int] = {}
        for at, step in enumerate(steps):
            needs = {makers[var] for var in step.inputs if var in makers}
            if (name := ordered(number, at)) is not None:
                needs |= {last[name]} if name in last else set()
                last[name] = at
            self._left[at] = len(needs)
            for need in needs:
                self._users[need].append(at)
        self.height = [0] * len(steps)
        for at in reversed(range(len(steps))):
            self.height[at] = 1 + max((self.height[user] for user in self._users[at]), default=0)

    def first(self) -> list[int]:
        """Returns the steps without dependencies."""
        return [at for at, left in enumerate(self._left) if not left]

    def done(self, step: int) -> list[int]:
        """Marks a step as done; returns the steps that have become ready."""
        for user in self._users[step]:
            self._left[user] -= 1
        return [user for user in self._users[step] if not self._left[user]]
