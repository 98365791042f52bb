"""What every strategy promises."""

import inspect
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy
import optuna
import pytest
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf

from runner.fidelity import Fidelity
from runner.goals import Goals
from runner.space.choice import Categorical
from runner.space.sample import DrawError, Sample, generator
from runner.space.space import FlatSpace, JointSpace, Space
from runner.strategies.asha import Asha
from runner.strategies.evolution import Evolution
from runner.strategies.grid import Grid
from runner.strategies.hyperband import Hyperband
from runner.strategies.optuna import OptunaStrategy
from runner.strategies.random import Random
from runner.strategies.strategy import Strategy
from runner.trial import Trial

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
    "evolution": partial(Evolution, population_size=4, sample_size=2, retries=3),
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

    @pytest.mark.sampled(3)
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

    def test_trials_without_a_result_are_survived(self, make, space, drive) -> None:
        assert drive(make(space, 0), lambda sample: None, trials=9, slots=2)

    def test_a_space_without_choices_has_one_sample(self, make, drive) -> None:
        strategy = make(FlatSpace([]), 0)
        found = samples(drive(strategy, score, trials=3))
        assert found[0] == strategy.space.default()


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
        whole = drive(make(space, 0), score, trials=15, slots=2)
        assert drive(make(space, 0), score, trials=15, slots=2, events=whole[:17]) == whole
