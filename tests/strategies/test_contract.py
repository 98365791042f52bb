"""What every strategy promises."""

import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from operator import methodcaller
from pathlib import Path

import numpy
import optuna
import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from runner.fidelity import Fidelity
from runner.goals import Goals, Objective
from runner.space.choice import Categorical
from runner.space.sample import DrawError, Sample, generator, sample_key
from runner.space.space import FlatSpace, JointSpace, Space
from runner.strategies.asha import Asha
from runner.strategies.bananas import Bananas
from runner.strategies.evolution import Evolution
from runner.strategies.first import First
from runner.strategies.grid import Grid
from runner.strategies.hyperband import Hyperband
from runner.strategies.local_search import LocalSearch
from runner.strategies.optuna import OptunaStrategy
from runner.strategies.random import Random
from runner.strategies.repeated import Repeated
from runner.strategies.rl import Reinforce
from runner.strategies.strategy import Strategy
from runner.trial import State, Trial

TPE = partial(
    optuna.samplers.TPESampler,
    n_startup_trials=4,
    multivariate=True,
    group=True,
    constant_liar=True,
)
FIDELITY = Fidelity("rung", min=1, max=9, eta=3)


def under_fidelity(kind: Callable[[Space, int], Strategy]) -> Callable[[Space, int], Strategy]:
    """A strategy of this kind for a space that is joined with rungs."""

    def make(space: Space, seed: int) -> Strategy:
        made = kind(JointSpace([space, FIDELITY.space]), seed)
        made.goals = Goals(fidelity=FIDELITY)
        made.check()
        return made

    return make


STRATEGIES: dict[str, Callable[[Space, int], Strategy]] = {
    "random": Random,
    "grid": partial(Grid, resolution=3),
    "evolution": partial(Evolution, population_size=4, sample_size=2, crossover=0.5, retries=3),
    "local_search": partial(LocalSearch, starts=2, first_improvement=False, values=3),
    "rl": partial(
        Reinforce, hidden=4, learning_rate=0.05, decay=0.9, entropy=0.1, bins=3, retries=2
    ),
    "bananas": partial(
        Bananas,
        startup=3,
        best=3,
        candidates=8,
        rounds=2,
        members=2,
        width=4,
        steps=3,
        learning_rate=0.01,
        paths=None,
    ),
    "tpe": partial(OptunaStrategy, sampler=TPE),
    "univariate tpe": partial(
        OptunaStrategy,
        sampler=partial(optuna.samplers.TPESampler, n_startup_trials=4, multivariate=False),
    ),
    "nsga2": partial(
        OptunaStrategy, sampler=partial(optuna.samplers.NSGAIISampler, population_size=4)
    ),
    "qmc": partial(OptunaStrategy, sampler=optuna.samplers.QMCSampler),
    "asha": under_fidelity(Asha),
    "hyperband": under_fidelity(Hyperband),
}


@pytest.fixture(params=STRATEGIES)
def make(request: pytest.FixtureRequest) -> Callable[[Space, int], Strategy]:
    return STRATEGIES[request.param]


def score(sample: Sample) -> float | None:
    """Something that looks like a result, and that one sample in six fails to give."""
    rng = generator(1, str(sorted(sample.items())))
    return None if rng.random() < 1 / 6 else rng.gauss(0, 1)


def samples(events: list[Trial]) -> list[Sample]:
    return [event.sample for event in events if event.running]


class TestStrategy:
    def test_proposals_lie_in_the_space(self, make, space, drive) -> None:
        strategy = make(space, 0)
        for sample in samples(drive(strategy, score, trials=14)):
            try:
                assert strategy.space.contains(sample)
            except DrawError as error:
                assert error.sample == sample

    def test_proposals_follow_from_the_seed(self, make, space, drive) -> None:
        one, two = (drive(make(space, 0), score, trials=8, slots=2) for _ in range(2))
        assert samples(one) == samples(two)

    def test_seeds_differ(self, make, space_of, drive) -> None:
        space = FlatSpace([Categorical(f"c{i}", (1, 2, 3)) for i in range(9)])
        runs = [samples(drive(make(space, seed), score, trials=8)) for seed in (0, 1)]
        assert (runs[0] == runs[1]) == isinstance(make(space, 0), Grid)

    def test_a_parent_is_a_trial_that_ended_with_a_result(self, make, space, drive) -> None:
        scored = set()
        strategy = make(space, 0)
        for event in drive(strategy, score, trials=14, slots=2):
            if event.scored:
                scored.add(event.number)
            may_have = strategy.parents or strategy.promotes
            assert event.parent is None or (event.parent in scored and may_have)

    def test_global_random_state_is_neither_read_nor_changed(self, make, space, drive) -> None:
        runs = []
        for seed in (0, 1):
            random.seed(seed)
            numpy.random.seed(seed)
            before = random.getstate(), numpy.random.get_state()[1].tolist()
            runs.append(samples(drive(make(space, 0), score, trials=8)))
            assert (random.getstate(), numpy.random.get_state()[1].tolist()) == before
        assert runs[0] == runs[1]

    @pytest.mark.sampled(5)
    @pytest.mark.parametrize("slots", [1, 3])
    def test_a_run_resumed_at_any_event_goes_on_as_it_would_have(
        self, make, space, drive, slots
    ) -> None:
        whole = drive(make(space, 0), score, trials=12, slots=slots)
        for cut in range(len(whole)):
            resumed = drive(make(space, 0), score, trials=12, slots=slots, events=whole[:cut])
            assert resumed == whole

    def test_a_proposal_that_was_not_observed_did_not_take_place(self, make, space_of) -> None:
        space = FlatSpace([Categorical(f"c{i}", (1, 2, 3)) for i in range(9)])
        strategy = make(space, 0)
        assert strategy.propose(0) == strategy.propose(0)

    def test_variants_are_other_samples_of_the_same_trial_and_the_usual_one_stays(
        self, make, drive
    ) -> None:
        space = FlatSpace([Categorical(f"c{i}", (1, 2, 3)) for i in range(9)])
        for known in (0, 6):
            strategy = make(space, 0)
            drive(strategy, score, trials=known)
            usual = strategy.propose(known)
            found = []
            for variant in (1, 2, 3, 4):
                strategy.vary(variant)
                found.append(strategy.propose(known))
                assert strategy.propose(known) == found[-1]
            strategy.vary(0)
            assert strategy.propose(known) == usual
            if strategy.varies and not known:  # later ones may be sure of what is best
                assert any(sample != usual for sample in found)

    @pytest.mark.sampled(5)
    @pytest.mark.parametrize("slots", [1, 3])
    def test_a_run_in_which_variants_are_chosen_resumes(self, make, space, drive, slots) -> None:
        whole = drive(make(space, 0), score, trials=10, slots=slots, variants=3)
        for cut in range(len(whole)):
            again = drive(
                make(space, 0), score, trials=10, slots=slots, variants=3, events=whole[:cut]
            )
            assert again == whole

    def test_trials_without_a_result_are_survived(self, make, space, drive) -> None:
        assert drive(make(space, 0), lambda sample: None, trials=9, slots=2)

    def test_a_space_without_choices_has_one_sample(self, make, drive) -> None:
        strategy = make(FlatSpace([]), 0)
        found = samples(drive(strategy, score, trials=3))
        assert found[0] == strategy.space.default()

    def test_exhaustion_ends_it_or_it_is_replaced(self, make, space, drive) -> None:
        strategy = make(space, 0)
        if not strategy.exhausts or strategy.promotes or space.count() > 200:
            return
        found = samples(drive(strategy, score, trials=400, slots=2))
        keys = {sample_key(sample) for sample in found}
        assert len(found) == len(keys) < 400
        if not isinstance(strategy, Grid):  # it takes few points of a range
            assert keys == {sample_key(sample) for sample in space.enumerate()}

    def test_given_samples_come_first_and_the_run_resumes(self, make, space, drive) -> None:
        if make(space, 0).promotes:
            return  # these take none
        first = list({sample_key(s): s for s in (_built(space, i) for i in range(3))}.values())

        def make_first() -> First:
            return First(make(space, 0), first)

        whole = drive(make_first(), score, trials=12, slots=2)
        assert samples(whole)[: len(first)] == first
        for cut in range(0, len(whole), 3):
            assert drive(make_first(), score, trials=12, slots=2, events=whole[:cut]) == whole

    @pytest.mark.sampled(3)
    @pytest.mark.parametrize("slots", [1, 3])
    def test_each_sample_may_be_trained_twice_and_the_run_resumes(
        self, make, space, drive, slots
    ) -> None:
        if make(space, 0).promotes:
            return  # a trial on a rung is a part of a training
        whole = drive(Repeated(make(space, 0), 2), score, trials=14, slots=slots)
        proposed = {event.number: event for event in whole if event.running}
        for event in proposed.values():
            if event.repeat_of is not None:
                first = proposed[event.repeat_of]
                assert (event.sample, event.parent) == (first.sample, first.parent)
        again = [event.repeat_of for event in proposed.values() if event.repeat_of is not None]
        assert again and len({*again}) == len(again)
        for cut in range(0, len(whole), 4):
            resumed = Repeated(make(space, 0), 2)
            assert drive(resumed, score, trials=14, slots=slots, events=whole[:cut]) == whole

    @pytest.mark.parametrize("violations", [False, True])
    def test_several_objectives_and_constraints_are_taken_and_resume(
        self, make, space, violations
    ) -> None:
        strategy = make(space, 0)
        if not strategy.several:
            return
        strategy.goals = TWO
        whole = _drive_two(strategy, 12, violations)
        for cut in range(0, len(whole), 5):
            resumed = make(space, 0)
            resumed.goals = TWO
            assert _drive_two(resumed, 12, violations, whole[:cut]) == whole


TWO = Goals((Objective("a"), Objective("b")))


def _built(space: Space, number: int) -> Sample:
    """A sample whose model can be built."""
    walks = (space.walk(methodcaller("random", generator(number, i))) for i in range(100))
    return next(walk.sample for walk in walks if walk.broken is None)


def _drive_two(
    strategy: Strategy, trials: int, violations: bool, events: Sequence[Trial] = ()
) -> list[Trial]:
    """Runs a search for two objectives, one trial after the other, going on behind `events`."""
    seen = [*events]
    for event in seen:
        strategy.observe(event)
    running = seen[-1] if seen and seen[-1].running else None
    while running is not None or sum(event.running for event in seen) < trials:
        if running is None:
            number = sum(event.running for event in seen)
            try:
                sample = strategy.propose(number)
            except DrawError as error:
                sample = error.sample
            except StopIteration:
                break
            event = running = Trial(number, sample, seed=0, parent=strategy.parent)
        else:
            rng = generator(2, str(sorted(running.sample.items())))
            broken = rng.random() if violations and rng.random() < 0.4 else 0.0
            scores = (rng.gauss(0, 1), rng.gauss(0, 9))
            event = replace(running, state=State.FINISHED, scores=scores, violation=broken)
            running = None
        strategy.observe(event)
        seen.append(event)
    return seen


CONF = Path(__file__).parents[2] / "conf" / "strategy"


@pytest.mark.parametrize("name", sorted(file.stem for file in CONF.glob("*.yaml")))
class TestConfig:
    def test_it_lists_every_argument_of_the_constructor(self, name) -> None:
        config = OmegaConf.load(CONF / f"{name}.yaml")
        arguments = inspect.signature(get_class(config._target_)).parameters
        assert config.keys() - {"_target_"} == arguments.keys() - {"space", "seed"}
        assert all(p.default is inspect.Parameter.empty for p in arguments.values())

    def test_it_makes_a_strategy_that_resumes(self, name, drive) -> None:
        space = FlatSpace([Categorical(f"c{i}", (1, 2, 3)) for i in range(5)])
        make = instantiate(OmegaConf.load(CONF / f"{name}.yaml"), _partial_=True)
        first = [space.random(generator(0, "first", i)) for i in range(12)]

        def made() -> Strategy:
            strategy: Strategy = make(space, 0)
            return First(strategy, first) if name == "given" else strategy

        whole = drive(made(), score, trials=15, slots=2)
        assert drive(made(), score, trials=15, slots=2, events=whole[:17]) == whole
        assert len(whole) > 17
