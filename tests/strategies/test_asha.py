"""ASHA: who is promoted, and when; it never waits before the space is used up."""

from dataclasses import replace

import pytest

from runner.errors import ConfigError
from runner.fidelity import Fidelity
from runner.goals import Goals
from runner.space.choice import Categorical
from runner.space.space import FlatSpace, JointSpace
from runner.strategies.asha import Asha
from runner.strategies.strategy import NotYet
from runner.trial import State, Trial

FIDELITY = Fidelity("rung", 1, 4, 2)


def asha(count=100):
    space = FlatSpace([Categorical("a", tuple(range(count)))])
    made = Asha(JointSpace([space, FIDELITY.space]), 0)
    made.goals = Goals(fidelity=FIDELITY)
    return made


class Search:
    """Steps through a search: begins and ends trials one by one."""

    def __init__(self, strategy):
        self.strategy, self.trials = strategy, []

    def begin(self):
        number = len(self.trials)
        sample = self.strategy.propose(number)
        trial = Trial(number, sample, 0, parent=self.strategy.parent)
        self.trials.append(trial)
        self.strategy.observe(trial)
        return trial

    def end(self, trial, score, state=State.FINISHED, **given):
        scores = () if score is None else (score,)
        self.strategy.observe(replace(trial, state=state, scores=scores, **given))


def test_the_better_half_of_a_rung_goes_on_one_trial_at_a_time():
    search = Search(asha())
    first = search.begin()
    search.end(first, 0.5)
    second = search.begin()
    assert second.parent is None and second.sample["rung"] == 1, "a half of one is none"
    search.end(second, 0.7)
    third = search.begin()
    assert third.parent == second.number and third.sample == second.sample | {"rung": 2}
    search.end(third, 0.8)
    fourth, fifth = search.begin(), search.begin()
    assert fourth.parent is None and fifth.parent is None
    search.end(fourth, 0.6)
    search.end(fifth, 0.9)
    sixth = search.begin()
    assert sixth.parent == fifth.number, "the best two of four; the other one was promoted"
    search.end(sixth, 0.95)
    assert search.begin().parent == sixth.number, "the highest rung comes first"


def test_it_never_waits():
    search = Search(asha())
    assert all(search.begin().parent is None for _ in range(20))


@pytest.mark.parametrize("fate", [
    {"score": None, "state": State.FAILED}, {"score": 0.9, "state": State.STOPPED},
])  # fmt: skip
def test_trials_that_did_not_reach_their_rung_are_not_promoted(fate):
    search = Search(asha())
    for trial in [search.begin() for _ in range(4)]:
        search.end(trial, **fate)
    assert search.begin().parent is None


def test_trials_that_keep_the_constraints_go_first():
    search = Search(asha())
    trials = [search.begin() for _ in range(2)]
    search.end(trials[0], 0.9, violation=0.5)
    search.end(trials[1], 0.1)
    assert search.begin().parent == 1


def test_once_the_space_is_used_up_it_waits_and_then_one_trial_reaches_the_top():
    search = Search(asha(count=3))
    trials = [search.begin() for _ in range(3)]
    with pytest.raises(NotYet):
        search.begin()
    for trial in trials:
        search.end(trial, float(trial.sample["a"]))
    best = search.begin()
    assert best.sample == {"a": 2, "rung": 2}
    with pytest.raises(NotYet):
        search.begin()
    search.end(best, 2.0)
    last = search.begin()
    assert last.sample == {"a": 2, "rung": 4}
    search.end(last, 2.0)
    with pytest.raises(StopIteration):
        search.begin()


def test_a_repeat_is_promoted_from_the_trial_that_was_trained():
    search = Search(asha())
    trials = [search.begin() for _ in range(2)]
    search.end(trials[0], 0.1)
    search.end(trials[1], 0.9, duplicate_of=0)
    assert search.begin().parent == 0


def test_checkpoints_are_needed_until_the_promoted_trial_has_ended():
    search = Search(asha())
    trials = [search.begin() for _ in range(2)]
    for trial in trials:
        search.end(trial, float(trial.number))
    assert search.strategy.needed == {0, 1}
    promoted = search.begin()
    assert search.strategy.needed == {0, 1}
    search.end(promoted, 1.0)
    assert search.strategy.needed == {0, 2}


def test_it_needs_rungs():
    made = asha()
    made.goals = Goals()
    with pytest.raises(ConfigError, match="strategy=asha promotes trials from rung to rung"):
        made.check()
