"""Hyperband (Li et al. 2016, https://arxiv.org/abs/1603.06560)."""

from functools import cached_property
from typing import final

from runner.space.sample import Sample
from runner.space.space import Space
from runner.strategies.rungs import Rungs, has_result, merit, needs_rungs
from runner.strategies.strategy import NotYet, Strategy
from runner.trial import Trial


def bracket_sizes(rungs: int, eta: int) -> list[list[int]]:
    """Returns the numbers of trials in each bracket, on each of its rungs, the lowest one first;
    the last rung is the highest of all. The brackets are in their order (Table 1 of the paper).

    The paper's table rounds (s_max + 1) / (s + 1) down, its Algorithm 1 the product with eta^s up;
    this is the table, whose brackets halve without a rest.
    """
    return [
        [(rungs // (s + 1)) * eta**s // eta**i for i in range(s + 1)]
        for s in reversed(range(rungs))
    ]


@final
class Bracket:
    """One run of successive halving: rungs of trials, each trained when the one below is done."""

    def __init__(self, sizes: list[int], first: int) -> None:
        """Takes the numbers of trials on its rungs; `first` is the lowest of them in the search."""
        self._sizes = sizes
        self.first = first
        # By rung, the trials by the key of their sample; None: running. In the order they began.
        self._members: list[dict[str, Trial | None]] = [{} for _ in sizes]

    def has_room(self) -> bool:
        """Returns whether it takes another new sample."""
        return len(self._members[0]) < self._sizes[0]

    def begin(self, key: str, rung: int) -> None:
        """Adds a trial, which is running."""
        self._members[max(0, rung - self.first)][key] = None

    def end(self, key: str, rung: int, trial: Trial) -> None:
        """Ends a trial. A refused one leaves its place to another."""
        members = self._members[max(0, rung - self.first)]
        if trial.refused:
            del members[key]
        else:
            members[key] = trial

    @property
    def running(self) -> bool:
        return any(trial is None for members in self._members for trial in members.values())

    def promotion(self, *, full: bool) -> Trial | None:
        """Returns the next trial to promote. `full` is whether its lowest rung takes no further
        samples, even if it has room."""
        full = full or not self.has_room()
        for above, survivors in enumerate(self._survivors(full), start=1):
            for key, trial in survivors.items():
                if key not in self._members[above]:
                    return trial
        return None

    @property
    def is_over(self) -> bool:
        """True if all of its trials have ended, and none is to be promoted."""
        return not (self.has_room() or self.running or self.promotion(full=True))

    def needed(self) -> set[int]:
        """Returns the trials that may still be promoted, or whose promoted ones are running."""
        found: set[int] = set()
        survivors = self._survivors(full=not self.has_room())
        for rung, members in enumerate(self._members[:-1]):
            left = survivors[rung] if rung < len(survivors) else members
            above = self._members[rung + 1]
            found |= {
                trial.owner
                for key, trial in left.items()
                if trial is not None and has_result(trial) and above.get(key, None) is None
            }
        return found

    def _survivors(self, full: bool) -> list[dict[str, Trial]]:
        """Returns the best trials of each rung that is done, up to the first that is not."""
        found: list[dict[str, Trial]] = []
        done = full
        for rung, members in enumerate(self._members[:-1]):
            if found:
                done = members.keys() >= found[-1].keys()
            ended = {key: trial for key, trial in members.items() if trial is not None}
            if not done or len(ended) < len(members):
                break
            scored = [(merit(trial), key) for key, trial in ended.items() if has_result(trial)]
            best = sorted(scored)[: self._sizes[rung + 1]]
            found.append({key: ended[key] for _, key in best})
        return found


@final
class Hyperband(Strategy):
    """Hyperband (Li et al. 2016, https://arxiv.org/abs/1603.06560, Algorithm 1), again and again.

    Each bracket is one run of successive halving: many trials that begin on a low rung, or few on a
    high one. New samples are random, without repetition. While the trials of a rung are running,
    free slots work on the next bracket; only with a finite space that is used up do they wait.
    """

    exhausts = True
    promotes = True
    varies = True

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__(space, seed)
        self._brackets: list[Bracket] = []  # those that are not over
        self._opened = 0
        self._bracket_of: dict[str, Bracket] = {}  # by the key of a sample, while it is in one

    @cached_property
    def _rungs(self) -> Rungs:
        return Rungs(self.space, self.goals.fidelity)

    @cached_property
    def _sizes(self) -> list[list[int]]:
        fidelity = self.goals.fidelity
        return bracket_sizes(self._rungs.count, 2 if fidelity is None else fidelity.eta)

    @property
    def needed(self) -> set[int]:
        return set[int]().union(*(bracket.needed() for bracket in self._brackets))

    def check(self) -> None:
        needs_rungs(self.goals, "hyperband")

    def propose(self, number: int) -> Sample:
        self.parent, self.fixed = None, False
        if (found := self._promotion(full=False)) is None:
            bracket = self._with_room()
            lowest = self._next if bracket is None else bracket.first
            try:
                return self._rungs.new(lowest, self.rng(number))
            except StopIteration:  # the last bracket gets no more samples
                if (found := self._promotion(full=True)) is None:
                    if any(bracket.running for bracket in self._brackets):
                        raise NotYet from None
                    raise
        self.parent, self.fixed = found.owner, True
        return self._rungs.at(found.sample, self._rungs.rung(found.sample) + 1)

    def observe(self, trial: Trial) -> None:
        key, rung = self._rungs.key(trial.sample), self._rungs.rung(trial.sample)
        if trial.running:
            self._rungs.see(trial.sample)
            if trial.parent is None:
                self._bracket_of[key] = self._joined()
            self._bracket_of[key].begin(key, rung)
            return
        self._bracket_of[key].end(key, rung, trial)
        self._brackets = [b for b in self._brackets if not b.is_over]

    def _promotion(self, *, full: bool) -> Trial | None:
        for bracket in self._brackets:
            if (found := bracket.promotion(full=full)) is not None:
                return found
        return None

    def _with_room(self) -> Bracket | None:
        """Returns the bracket that the next new sample joins; None: a new one."""
        return next((bracket for bracket in self._brackets if bracket.has_room()), None)

    @property
    def _next(self) -> int:
        """The next bracket, counted from the one with the most trials, which is also the lowest
        rung of it."""
        return self._opened % len(self._sizes)

    def _joined(self) -> Bracket:
        """Returns the bracket that a new sample joins, which is opened if need be."""
        if (found := self._with_room()) is not None:
            return found
        self._brackets.append(Bracket(self._sizes[self._next], self._next))
        self._opened += 1
        return self._brackets[-1]
