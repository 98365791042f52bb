"""Repeated: each sample several times in a row, and one trial per sample for the strategy."""

from dataclasses import replace

import pytest

from runner.space.choice import Categorical
from runner.space.space import FlatSpace
from runner.strategies.repeated import Repeated
from runner.strategies.strategy import Strategy
from runner.trial import State, Trial

SPACE = FlatSpace([Categorical("a", tuple(range(50)))])


class Listing(Strategy):
    """Proposes 0, 1, 2, ..., each derived from trial 7, and remembers what it observes."""

    def __init__(self) -> None:
        super().__init__(SPACE, 0)
        self.seen: list[Trial] = []
        self.random = True

    def propose(self, number):
        self.parent = 7
        return {"a": len([trial for trial in self.seen if trial.running])}

    def observe(self, trial):
        self.seen.append(trial)


def recorded(strategy, number) -> Trial:
    sample = strategy.propose(number)
    assert strategy.propose(number) == sample  # a proposal that was not observed did not happen
    trial = Trial(number, sample, number, repeat_of=strategy.repeat_of, parent=strategy.parent,
                  random=strategy.random)  # fmt: skip
    strategy.observe(trial)
    return trial


def ended(trial, score) -> Trial:
    return replace(trial, state=State.FINISHED, scores=(score,), metrics={"m": score})


def test_each_sample_is_proposed_several_times_with_its_parent():
    strategy = Repeated(Listing(), 3)
    trials = [recorded(strategy, number) for number in range(6)]
    assert [trial.sample["a"] for trial in trials] == [0, 0, 0, 1, 1, 1]
    assert [trial.repeat_of for trial in trials] == [None, 0, 0, None, 3, 3]
    assert {trial.parent for trial in trials} == {7} and all(trial.random for trial in trials)


def test_it_owes_the_repeats_of_what_it_proposed():
    strategy = Repeated(Listing(), 2)
    owes = []
    for number in range(4):
        owes.append(strategy.owes)
        recorded(strategy, number)
    assert owes == [False, True, False, True] and not strategy.owes


def test_the_other_strategy_sees_one_trial_per_sample_with_the_mean():
    inner = Listing()
    strategy = Repeated(inner, 2)
    first, second = (recorded(strategy, number) for number in range(2))
    assert inner.seen == [first]
    strategy.observe(ended(second, 0.4))
    assert inner.seen == [first]
    strategy.observe(ended(first, 0.2))
    assert [trial.scores for trial in inner.seen] == [(), (pytest.approx(0.3),)]
    assert inner.seen[1].number == 0 and inner.seen[1].trainings == 2
