"""Hyperband: the sizes of its brackets, and what runs when."""

from collections import Counter
from dataclasses import replace

import pytest

from runner.errors import ConfigError
from runner.fidelity import Fidelity
from runner.goals import Goals
from runner.space.choice import Categorical, Numeric
from runner.space.space import FlatSpace, JointSpace
from runner.strategies.hyperband import Hyperband, bracket_sizes
from runner.trial import Failure, State, Trial

NINE = Fidelity("rung", 1, 9, 3)  # brackets: 9 of 1, 3 of 3, 1 of 9; 3 of 3, 1 of 9; 3 of 9


def hyperband(fidelity=NINE, space=None):
    space = space or FlatSpace([Numeric("x", 0.0, 1.0)])
    made = Hyperband(JointSpace([space, fidelity.space]), 0)
    made.goals = Goals(fidelity=fidelity)
    return made


def score(sample):
    return sample.get("x", sample.get("a"))


def test_brackets_are_those_of_the_paper():
    """Table 1, R = 81 and eta = 3: the numbers n of configurations, and resources r of each."""
    rungs = Fidelity("rung", 1, 81, 3).rungs
    assert rungs == (1, 3, 9, 27, 81)
    brackets = [[*zip(sizes, rungs[place:], strict=True)]
                for place, sizes in enumerate(bracket_sizes(5, 3))]  # fmt: skip
    assert brackets == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(27, 3), (9, 9), (3, 27), (1, 81)],
        [(9, 9), (3, 27), (1, 81)],
        [(6, 27), (2, 81)],
        [(5, 81)],
    ]


def begun(events):
    return [event for event in events if event.running]


@pytest.mark.parametrize("slots", [1, 4])
def test_all_brackets_are_run_and_again(slots, drive):
    trials = drive(hyperband(), lambda sample: score(sample) if sample else None, trials=20 + 20,
                   slots=slots)  # fmt: skip
    kinds = Counter((t.sample["rung"], t.parent is None) for t in begun(trials)[:20])
    if slots == 1:
        assert [t.sample["rung"] for t in begun(trials)][:20] == [
            *[1] * 9, *[3] * 3, 9, *[3] * 3, 9, *[9] * 3,
        ]  # fmt: skip
        again = Counter((t.sample["rung"], t.parent is None) for t in begun(trials)[20:])
        assert kinds == again and kinds[1, True] == 9 and kinds[9, True] == 3
    assert len(begun(trials)) == 40


def test_the_best_of_a_rung_go_on(drive):
    trials = begun(drive(hyperband(), score, trials=13))
    ended = drive(hyperband(), score, trials=13)
    finished = {t.number for t in ended if t.state == "finished"}
    lowest = [t for t in trials[:9] if t.number in finished]
    best = sorted(lowest, key=lambda t: -score(t.sample))[:3]
    assert [t.parent for t in trials[9:12]] == [t.number for t in best]


def test_with_free_slots_the_next_bracket_begins(drive):
    """Nine begin; the tenth to twelfth slot takes samples of the second bracket, on rung 3."""
    strategy = hyperband()
    trials = begun(drive(strategy, score, trials=12, slots=12))
    assert [t.sample["rung"] for t in trials] == [1] * 9 + [3] * 3


def test_refused_samples_leave_their_place_to_others():
    strategy = hyperband()
    for number in range(12):
        trial = Trial(number, strategy.propose(number), 0)
        assert trial.sample["rung"] == 1
        strategy.observe(trial)
        refused = Failure("refused", "") if number < 3 else None
        state = State.FAILED if refused else State.FINISHED
        scores = () if refused else (float(number),)
        strategy.observe(replace(trial, state=state, failure=refused, scores=scores))
    assert strategy.propose(12)["rung"] == 3 and strategy.parent == 11


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("count", [1, 2, 9, 10, 12, 14, 30])
def test_a_used_up_space_ends_it_and_the_best_have_reached_the_top(count, slots, drive):
    space = FlatSpace([Categorical("a", tuple(range(count)))])
    events = drive(hyperband(space=space), score, trials=1000, slots=slots)
    assert len({t.sample["a"] for t in begun(events)}) == count
    assert len({str(t.sample) for t in begun(events)}) == len(begun(events)) < 1000
    ended = [t for t in events if t.state == "finished"]
    if any(t.sample["rung"] == 1 for t in ended):
        assert any(t.sample["rung"] == 3 for t in events)


def test_checkpoints_of_losers_are_not_needed_once_their_rung_is_done(drive):
    strategy = hyperband()
    events = drive(strategy, score, trials=10)
    promoted = [t.parent for t in begun(events) if t.parent is not None]
    assert len(promoted) == 1
    ended = {t.number for t in events if t.state == "finished"}
    lowest = [t for t in begun(events)[:9] if t.number in ended]
    ranked = sorted(lowest, key=lambda t: -score(t.sample))
    waiting = {t.number for t in ranked[1:3]}
    assert strategy.needed == waiting | ({9} & ended)


def test_what_running_trials_go_on_from_is_needed(drive):
    strategy, running = hyperband(), {}
    for event in drive(hyperband(), score, trials=60, slots=4):
        strategy.observe(event)
        if event.running and event.parent is not None:
            running[event.number] = event.parent
        elif not event.running:
            running.pop(event.number, None)
        assert {*running.values()} <= strategy.needed


def test_it_needs_rungs():
    made = hyperband()
    made.goals = Goals()
    with pytest.raises(ConfigError, match="strategy=hyperband promotes trials from rung to rung"):
        made.check()
