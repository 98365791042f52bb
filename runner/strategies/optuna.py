"""Any Optuna sampler as a strategy (https://optuna.readthedocs.io)."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial
from math import inf, isfinite
from typing import Any, final

from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    GridSampler,
    NSGAIIISampler,
    NSGAIISampler,
    PartialFixedSampler,
    QMCSampler,
    RandomSampler,
)
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from optuna.trial import Trial as Asked

from runner.errors import ConfigError, one_line, require
from runner.quiet_optuna import quiet
from runner.space.choice import Categorical, Choice, JsonValue, Numeric
from runner.space.sample import Sample, generator, lookup
from runner.space.space import FlatSpace, Space
from runner.strategies.decisions import encode, listed, sizes
from runner.strategies.strategy import Refusals, Strategy
from runner.trial import State, Trial

_THEN = datetime(2000, 1, 1)  # Optuna requires times; nothing may depend on them

# These samplers store attributes with a trial when they propose it, and read them later (a
# generation, the state of an optimizer, a position in a sequence).
_KEEP_NOTES = (NSGAIISampler, NSGAIIISampler, CmaEsSampler, QMCSampler)

# A sampler is tried on a space of its own, before a search; these know only the parameters of the
# searched one.
_NEED_SPACE = (GridSampler, PartialFixedSampler, BruteForceSampler)
_REHEARSED = FlatSpace([Categorical("a", (0, 1, 2)), Numeric("b", 0.0, 1.0)])
_REHEARSALS = 20  # more than the startup trials of the default config

Params = dict[str, Any]
Distributions = dict[str, BaseDistribution]


@dataclass
class _SamplerNotes:
    """Attributes stored by a sampler during a proposal: with the trial and with the study."""

    trial: dict[str, Any] = field(default_factory=dict)
    study: dict[str, Any] = field(default_factory=dict)


@final
class OptunaStrategy(Strategy):
    """A new sampler for each proposal, seeded from (seed, number), over all observed trials.

    `sampler(seed=...)` creates an `optuna.samplers.BaseSampler`. It maximizes the scores, sees
    running trials as running, and trials without a score as failed. A trial that was stopped early
    is a pruned one with its last value, if there is one objective (Optuna prunes no others): TPE,
    for example, ranks it behind all trials that finished, by its epochs and then its value. It is
    told by how much a trial breaks each constraint, also one that was refused because of them.
    After several refused trials in a row, samples are random until one is accepted. A sampler's
    `after_trial` hook is not called. A resumed run calls samplers that store attributes with their
    trials (NSGA-II, NSGA-III, CMA-ES, QMC) again for each trial; for all others the samples
    suffice. What they store is that of the usual proposal, also if another one is chosen.
    """

    several = True
    varies = True

    def __init__(self, space: Space, seed: int, *, sampler: Callable[..., BaseSampler]) -> None:
        super().__init__(space, seed)
        self.sampler = sampler
        self._keeps_notes = isinstance(self._sampler(0), _KEEP_NOTES)
        self.varies = not isinstance(self._sampler(0), QMCSampler)  # type: ignore[misc]
        self._trials: list[FrozenTrial] = []
        self._places: dict[int, int] = {}  # trial number -> index in `_trials`
        self._study_notes: dict[str, Any] = {}
        # The number and the notes of the last proposal, of those that may differ for one trial the
        # usual one; None once anything was observed since.
        self._proposed: tuple[int, _SamplerNotes] | None = None
        self._refusals = Refusals()

    def check(self) -> None:
        for name, value in getattr(self.sampler, "keywords", {}).items():
            _check_number(f"strategy.sampler.{name}", value)
        if isinstance(self._sampler(0), _NEED_SPACE):
            self.propose(0)
            return
        study = OptunaStrategy(_REHEARSED, self.seed, sampler=self.sampler)
        study.goals = self.goals
        try:
            for number in range(_REHEARSALS):
                scores = tuple(float(number % (i + 5)) for i in range(len(self.goals.objectives)))
                trial = Trial(number, _REHEARSED.random(generator(0, number)), seed=0)
                study.observe(trial)
                study.observe(replace(trial, state=State.FINISHED, scores=scores))
            study.propose(_REHEARSALS)
        except Exception as error:
            raise ConfigError(
                f"strategy.sampler cannot propose a sample after {_REHEARSALS} trials: "
                f"{one_line(error)}"
            ) from error

    def propose(self, number: int) -> Sample:
        self.random = self._refusals.lost or len(self._trials) < self._startup
        if self._refusals.lost:
            return self.space.random(self.rng(number, "lost"))
        asked, notes = self._ask(number)
        sample = self.space.draw(partial(_suggest, asked))
        if not self._variant:
            self._proposed = number, notes
        return sample

    def observe(self, trial: Trial) -> None:
        self._refusals.observe(trial)
        if trial.running:
            self._places[trial.number] = len(self._trials)
            self._trials.append(self._started(trial))
        else:
            place = self._places[trial.number]
            self._trials[place] = self._ended(self._trials[place], trial)
        self._proposed = None

    @cached_property
    def _startup(self) -> float:
        """The number of first trials that are certainly random."""
        if isinstance(self._sampler(0), RandomSampler):
            return inf
        given = getattr(self.sampler, "keywords", {})
        return int(given.get("n_startup_trials", given.get("population_size", 0)) or 0)

    def _ended(self, running: FrozenTrial, trial: Trial) -> FrozenTrial:
        state = TrialState.COMPLETE if trial.scored else TrialState.FAIL
        if trial.stopped or (trial.refused and trial.violation):
            state = TrialState.PRUNED  # it counts, but has no values
        params, distributions = running.params, running.distributions
        attrs = dict(running.system_attrs)  # to which constraints are added
        ended = _frozen(running.number, state, params, distributions, attrs, trial.scores)
        last = self.goals.scores(trial.metrics) if trial.stopped else ()
        if len(last) == 1:
            ended.intermediate_values = {trial.step: last[0]}
        broken = self.goals.violations(trial.metrics) if trial.metrics else ()
        for constraint, violation in zip(self.goals.constraints, broken, strict=bool(broken)):
            ended.set_constraint(constraint.text, violation)
        return ended

    def _started(self, trial: Trial) -> FrozenTrial:
        """Returns a running trial for the study, as implied by its sample."""
        attrs = self._commit(trial.number) if self._keeps_notes else {}
        walk = self.space.walk(lookup(trial.sample))
        params: Params = {}
        distributions: Distributions = {}
        for label, choice in walk.choices.items():
            if label in walk.sample and choice.size > 1:
                params |= _encode(choice, walk.sample[label])
                distributions |= _distributions(choice)
        return _frozen(len(self._trials), TrialState.RUNNING, params, distributions, attrs)

    def _commit(self, number: int) -> dict[str, Any]:
        """Keeps the notes of a proposal that became a trial, and returns those of the trial."""
        if self._refusals.lost:  # the sampler was not asked
            return {}
        if self._proposed is None or self._proposed[0] != number:
            asked, notes = self._ask(number)
            assert asked.relative_params is not None  # makes the sampler store its attributes
        else:
            _, notes = self._proposed
        self._study_notes = notes.study
        return notes.trial

    def _ask(self, number: int) -> tuple[Asked, _SamplerNotes]:
        """Returns a trial that suggests values, and the notes that are filled meanwhile."""
        notes = _SamplerNotes(study=dict(self._study_notes))
        sampler = self._sampler(self.rng(number).getrandbits(31))
        storage = _ProposalStorage(self._trials, notes, len(self.goals.objectives))
        study = Study(_NAME, storage, sampler)
        with quiet(ExperimentalWarning):
            return study.ask(), notes

    def _sampler(self, seed: int) -> BaseSampler:
        try:
            with quiet(ExperimentalWarning):
                return self.sampler(seed=seed)
        except Exception as error:
            raise ConfigError(f"strategy.sampler cannot be created: {one_line(error)}") from error


def _check_number(name: str, value: object) -> None:
    """Raises ConfigError for a number that no sampler can use: one below 0 or not finite, or a
    count of 0, other than of startup trials."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    require(value >= 0 and isfinite(value), name, value, "0 or more, and finite")
    counts = isinstance(value, int) and not name.endswith("_trials")
    require(value > 0 or not counts, name, value, "at least 1")


def _frozen(
    number: int,
    state: TrialState,
    params: Params,
    distributions: Distributions,
    attrs: dict[str, Any],
    values: Sequence[float] = (),
) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        state=state,
        value=None,
        values=[*values] or None,
        datetime_start=_THEN,
        datetime_complete=None if state is TrialState.RUNNING else _THEN,
        params=params,
        distributions=distributions,
        user_attrs={},
        system_attrs=attrs,
        intermediate_values={},
        trial_id=number,
    )


# A choice becomes one Optuna parameter or several. Categories are passed as indices, because Optuna
# supports no lists or dicts. Parameter names include the candidates, because Optuna allows only one
# set of candidates per name.


def _suggest(asked: Asked, choice: Choice) -> JsonValue:
    if choice.size == 1:
        return choice.default
    given = {name: _ask_for(asked, name, d) for name, d in _distributions(choice).items()}
    return _decode(choice, given)


def _ask_for(asked: Asked, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case CategoricalDistribution(choices=choices):
            return asked.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return asked.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, log=log):
            return asked.suggest_float(name, low, high, log=log)
    raise AssertionError(distribution)


def _distributions(choice: Choice) -> Distributions:
    """Returns the distributions of a choice's parameters by name."""
    name = f"{choice.label}: {choice}"
    match choice:
        case Numeric(low=low, step=int(step), log=log):
            high = int(low) + step * (int(choice.size) - 1)
            return {name: IntDistribution(int(low), high, log=log, step=step)}
        case Numeric(low=low, high=high, log=log):
            return {name: FloatDistribution(low, high, log=log)}
    counts = sizes(choice, 0)
    names = [name] if len(counts) == 1 else [f"{name} [{i}]" for i in range(len(counts))]
    return dict(zip(names, map(_indices, counts), strict=True))


def _indices(size: int) -> CategoricalDistribution:
    return CategoricalDistribution(tuple(range(size)))


def _encode(choice: Choice, value: JsonValue) -> Params:
    """Returns the parameter values that represent a value of a choice."""
    values = [value] if isinstance(choice, Numeric) else encode(choice, value, 0)
    return dict(zip(_distributions(choice), values, strict=True))


def _decode(choice: Choice, given: Mapping[str, Any]) -> JsonValue:
    """Returns the value of a choice that parameter values represent."""
    values = [*given.values()]
    return values[0] if isinstance(choice, Numeric) else listed(choice, values)


_NAME = "runner"


@final
class _ProposalStorage(InMemoryStorage):
    """The storage seen by a sampler: the observed trials, followed by the proposed one.

    Its cost does not grow with the number of trials, so each proposal can have a new one; the
    observed trials are never modified.
    """

    def __init__(
        self, trials: Sequence[FrozenTrial], notes: _SamplerNotes, objectives: int
    ) -> None:
        super().__init__()
        self._observed = trials
        self._notes = notes
        self._new: list[FrozenTrial] = []
        study = self.create_new_study([StudyDirection.MAXIMIZE] * objectives, _NAME)
        for key, value in notes.study.items():
            super().set_study_system_attr(study, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._notes.study[key] = value
        super().set_study_system_attr(study_id, key, value)

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = len(self._observed)
        self._new = [_frozen(number, TrialState.RUNNING, {}, {}, self._notes.trial)]
        return number

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        trial = self.get_trial(trial_id)
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        assert trial_id == len(self._observed), "only the proposed trial can be written to"
        self._notes.trial[key] = value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return [*self._observed[trial_id : trial_id + 1], *self._new][0]

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = [*self._observed, *self._new]
        return trials if states is None else [trial for trial in trials if trial.state in states]

    get_best_trial = BaseStorage.get_best_trial
