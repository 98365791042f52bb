"""Optuna's samplers as strategies."""

import logging
from dataclasses import replace
from functools import partial
from statistics import mean

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from runner.errors import ConfigError
from runner.goals import Goals, Objective
from runner.space.choice import Categorical, Numeric, Subset
from runner.space.sample import generator
from runner.space.space import FlatSpace
from runner.strategies.optuna import OptunaStrategy, _decode, _distributions, _encode
from runner.strategies.random import Random
from runner.trial import State, Trial

SPACE = FlatSpace([Categorical(f"c{i}", tuple("abcd")) for i in range(8)])
TPE = partial(optuna.samplers.TPESampler, n_startup_trials=5, multivariate=True, group=True)


def score(sample):
    return sum(value == "c" for value in sample.values())


def test_tpe_finds_more_than_random_search(drive):
    def best(strategy):
        return max(event.score or 0 for event in drive(strategy, score, trials=60))

    guided = mean(best(OptunaStrategy(SPACE, seed, sampler=TPE)) for seed in range(6))
    drawn = mean(best(Random(SPACE, seed)) for seed in range(6))
    assert guided > drawn + 1


def test_tpe_finds_more_than_random_search_where_choices_are_conditional(drive, space_of):
    def nested(ask):
        for i in range(ask(Numeric("depth", 1, 4, step=1))):
            if ask(Categorical(f"op{i}", ("conv", "pool", "skip"))) == "conv":
                ask(Categorical(f"kernel{i}", (1, 3, 5, 7)))

    def fives(sample):
        return sum(value == 5 for value in sample.values())

    def best(strategy):
        return max(event.score or 0 for event in drive(strategy, fives, trials=50))

    space = space_of(nested)
    guided = mean(best(OptunaStrategy(space, seed, sampler=TPE)) for seed in range(6))
    drawn = mean(best(Random(space, seed)) for seed in range(6))
    assert guided > drawn + 0.5


@pytest.mark.parametrize(
    "sampler",
    [
        optuna.samplers.RandomSampler,
        pytest.param(
            partial(optuna.samplers.GPSampler, n_startup_trials=3), marks=pytest.mark.exhaustive
        ),
        partial(optuna.samplers.CmaEsSampler, n_startup_trials=2, warn_independent_sampling=False),
        partial(optuna.samplers.NSGAIIISampler, population_size=4),
    ],
    ids=["random", "gp", "cmaes", "nsga3"],
)
def test_other_samplers_work_and_resume(sampler, drive):
    if isinstance(sampler, partial) and sampler.func is optuna.samplers.CmaEsSampler:
        pytest.importorskip("cmaes")
    if isinstance(sampler, partial) and sampler.func is optuna.samplers.GPSampler:
        pytest.importorskip("scipy")
    space = FlatSpace([Numeric("x", -1.0, 1.0), Numeric("y", -1.0, 1.0), Numeric("n", 1, 9, 1)])

    def peak(sample):
        return -(sample["x"] ** 2) - sample["y"] ** 2

    whole = drive(OptunaStrategy(space, 0, sampler=sampler), peak, trials=12, slots=2)
    for cut in range(0, len(whole), 5):
        fresh = OptunaStrategy(space, 0, sampler=sampler)
        assert drive(fresh, peak, trials=12, slots=2, events=whole[:cut]) == whole


def test_genetic_samplers_go_through_generations(drive):
    sampler = partial(optuna.samplers.NSGAIISampler, population_size=10)

    def best(strategy):
        return max(event.score or 0 for event in drive(strategy, score, trials=150))

    bred = mean(best(OptunaStrategy(SPACE, seed, sampler=sampler)) for seed in range(4))
    drawn = mean(best(Random(SPACE, seed)) for seed in range(4))
    assert bred > drawn + 1


def test_the_sampler_sees_running_finished_and_failed_trials():
    seen = []

    class Spy(optuna.samplers.RandomSampler):
        def infer_relative_search_space(self, study, trial):
            seen.append([(t.state, t.value) for t in study.get_trials()])
            assert study.direction == optuna.study.StudyDirection.MAXIMIZE
            assert (study.best_trial.value if len(seen) > 3 else 0.5) == 0.5
            return {}

    strategy = OptunaStrategy(SPACE, 0, sampler=Spy)
    trials = [Trial(number, strategy.propose(number), seed=0) for number in range(3)]
    for trial in trials:
        strategy.observe(trial)
    strategy.observe(replace(trials[1], state=State.FINISHED, scores=(0.5,)))
    strategy.observe(replace(trials[0], state=State.FAILED))
    strategy.propose(3)
    assert seen[-1] == [
        (TrialState.FAIL, None),
        (TrialState.COMPLETE, 0.5),
        (TrialState.RUNNING, None),
        (TrialState.RUNNING, None),
    ]


@pytest.mark.parametrize(("metrics", "last"), [({"val/accuracy": 0.25}, {3: 0.25}), ({}, {})])
def test_a_trial_that_was_stopped_early_is_pruned_with_its_last_value(metrics, last):
    seen = []

    class Spy(optuna.samplers.RandomSampler):
        def infer_relative_search_space(self, study, trial):
            seen.append([(t.state, t.values, t.intermediate_values) for t in study.get_trials()])
            return {}

    strategy = OptunaStrategy(SPACE, 0, sampler=Spy)
    trial = Trial(0, strategy.propose(0), seed=0)
    strategy.observe(trial)
    strategy.observe(replace(trial, state=State.STOPPED, metrics=metrics, step=3))
    strategy.propose(1)
    assert seen[-1][0] == (TrialState.PRUNED, None, last)


@pytest.mark.parametrize("sampler", ["TPESampler", "NSGAIISampler", "CmaEsSampler", "GPSampler"])
def test_samplers_go_on_after_stopped_trials(sampler):
    """Also if nothing else has ended, and with several objectives if they take them."""
    made = getattr(optuna.samplers, sampler)
    for objectives in (1, 2) if sampler != "CmaEsSampler" else (1,):
        strategy = OptunaStrategy(SPACE, 0, sampler=made)
        strategy.goals = Goals(tuple(Objective(f"m{i}") for i in range(objectives)))
        for number in range(14):
            trial = Trial(number, strategy.propose(number), seed=0)
            strategy.observe(trial)
            metrics = {f"m{i}": float(number * (i + 1) % 5) for i in range(objectives)}
            strategy.observe(replace(trial, state=State.STOPPED, metrics=metrics, step=1))


def test_running_trials_are_kept_away_from():
    proposals = {}
    for liar in (False, True):
        sampler = partial(TPE, constant_liar=liar)
        strategy = OptunaStrategy(SPACE, 0, sampler=sampler)
        for number in range(10):
            trial = Trial(number, SPACE.random(generator(0, number)), seed=0)
            strategy.observe(trial)
            if number < 7:
                scored = replace(trial, state=State.FINISHED, scores=(score(trial.sample),))
                strategy.observe(scored)
        proposals[liar] = [strategy.propose(number) for number in range(10, 20)]
    assert proposals[False] != proposals[True]


def test_nothing_is_logged(caplog):
    with caplog.at_level(logging.INFO):
        optuna.logging.enable_propagation()
        try:
            OptunaStrategy(SPACE, 0, sampler=TPE).propose(0)
        finally:
            optuna.logging.disable_propagation()
    assert not caplog.records


@pytest.mark.parametrize("sampler", [lambda: None, partial(TPE, n_startup=3)])
def test_a_sampler_that_cannot_be_made_is_refused(sampler):
    with pytest.raises(ConfigError, match=r"strategy.sampler cannot be created: .*argument"):
        OptunaStrategy(SPACE, 0, sampler=sampler)


CHOICES = st.one_of(
    st.builds(Categorical, st.just("c"), st.just((None, True, 1, "x", [1], {"k": [2]}))),
    st.builds(
        lambda low, width, step: Numeric("c", low, low + width, step=step),
        st.integers(-50, 50),
        st.integers(0, 60),
        st.integers(1, 9),
    ),
    st.builds(lambda high: Numeric("c", 1, high, step=1, log=True), st.integers(1, 500)),
    st.builds(lambda width: Numeric("c", 0.5, 0.5 + width), st.floats(0.1, 9)),
    st.integers(1, 10).flatmap(
        lambda n: st.builds(
            Subset, st.just("c"), st.just(n), st.one_of(st.none(), st.integers(1, n))
        )
    ),
).filter(lambda choice: choice.size > 1)


@given(choice=CHOICES, seed=st.integers(0, 1000))
@settings(max_examples=200, deadline=None)
def test_values_survive_the_way_through_parameters(choice, seed):
    value = choice.random(generator(seed))
    params, distributions = _encode(choice, value), _distributions(choice)
    assert params.keys() == distributions.keys()
    for name, distribution in distributions.items():
        assert distribution._contains(distribution.to_internal_repr(params[name]))
    assert choice.check(_decode(choice, params)) == value


@given(choice=CHOICES, seed=st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_whatever_a_sampler_suggests_is_a_value(choice, seed):
    space = FlatSpace([choice])
    strategy = OptunaStrategy(space, seed, sampler=optuna.samplers.RandomSampler)
    assert space.contains(strategy.propose(0))


def test_large_subsets_are_drawn_uniformly():
    space = FlatSpace([Subset("c", 12, 3)])
    strategy = OptunaStrategy(space, 0, sampler=optuna.samplers.RandomSampler)
    drawn = [index for number in range(400) for index in strategy.propose(number)["c"]]
    counts = [drawn.count(index) for index in range(12)]
    assert min(counts) > 65
    assert max(counts) < 135


@pytest.mark.parametrize(
    "given", [{"n_startup_trials": -1}, {"n_ei_candidates": 0}, {"n_ei_candidates": -3}]
)
def test_numbers_that_no_sampler_can_use_are_refused_before_a_search(given):
    strategy = OptunaStrategy(SPACE, 0, sampler=partial(optuna.samplers.TPESampler, **given))
    with pytest.raises(ConfigError, match=rf"strategy.sampler.{next(iter(given))} is "):
        strategy.check()


class Late(optuna.samplers.RandomSampler):
    def sample_independent(self, study, *rest):
        if len(study.get_trials()) > 12:
            raise RuntimeError("no model of so many trials")
        return super().sample_independent(study, *rest)


def test_a_sampler_that_fails_after_some_trials_is_refused_before_a_search():
    with pytest.raises(ConfigError, match=r"after 20 trials: RuntimeError: no model of so many"):
        OptunaStrategy(SPACE, 0, sampler=Late).check()


def test_the_check_does_not_change_what_is_proposed():
    one, two = (OptunaStrategy(SPACE, 3, sampler=TPE) for _ in range(2))
    one.check()
    assert one.propose(0) == two.propose(0)
