"""Builds the parts of a search from settings. Everything is validated before anything runs."""

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from runner.checkpoints import CheckpointKeeper, Checkpoints
from runner.config.allowlist import nodes
from runner.config.check_arguments import check_arguments
from runner.config.data_sizes import unset_sizes
from runner.config.instantiate import build
from runner.config.settings import FIRST, Settings
from runner.config.targets import locate
from runner.constraints import MetricUnit
from runner.engines.engine import RUNTIME, Engine, make
from runner.errors import (
    ConfigError,
    Refused,
    RunFailed,
    SpaceError,
    message,
    place,
    refusal,
    require,
)
from runner.evaluators.evaluator import Evaluator
from runner.first_samples import first_samples
from runner.goals import Goals
from runner.log_feed import LogFeed
from runner.loggers.logger import Logger
from runner.measures.measure import Measure
from runner.measuring import EarlyMeasures, Measures, needed
from runner.partial_training import goes_on
from runner.preflight import check_parts, check_stopper, naming
from runner.prescreen import Prescreen
from runner.proxies.proxy import Proxy
from runner.space.prior import WeightedSpace
from runner.space.sample import DrawError
from runner.space.space import FlatSpace, JointSpace, Space, search_space
from runner.stages import BaselineStage, ConfirmStage, Stage
from runner.stoppers.stopper import Stopper
from runner.strategies.first import First
from runner.strategies.repeated import Repeated
from runner.strategies.strategy import Strategy
from runner.training.service import TrainingService
from runner.trial import Setup

log = logging.getLogger(__name__)
CONTRACTS: Mapping[str, tuple[type, Sequence[str]]] = {  # with runtime arguments
    "engine": (Engine, RUNTIME),
    "space": (nn.Module, ()),
    "strategy": (Strategy, ("space", "seed")),
    "stopper": (Stopper, ("goals",)),
    "training": (TrainingService, ("setup",)),
}


def check(settings: Settings) -> Stopper:
    """Validates all groups against the signatures of their targets, and every candidate of
    `search`. Returns the stopper, which is the last to be validated.

    Raises ConfigError. Imports the targets, and with them torch.
    """
    plain = settings.model_dump() | {"space": settings.model, "strategy": settings.searcher}
    for group, (contract, runtime) in CONTRACTS.items():
        with _as_given(settings):
            check_arguments(plain[group], settings.trust, group, runtime, expected=contract)
    _check_measures(settings)
    for name, node in settings.proxy.items():
        check_arguments(node, settings.trust, f"proxy.{name}", expected=Proxy)
    for name, node in settings.logger.items():
        require(name.isidentifier(), "logger", name, "names, such as [csv, tensorboard]")
        check_arguments(node, settings.trust, f"logger.{name}", expected=Logger)
        with naming(f"logger.{name}"):
            made: Logger = build(node, settings.trust)
            made.check()
    check_parts(settings)
    if (weights := settings.initial_weights) is not None and not Path(weights).is_file():
        raise ConfigError(
            f"initial_weights is {weights!r}, which is no file; give a weights.safetensors of a "
            "trial, or null."
        )
    return _make_stopper(settings)


def _check_measures(settings: Settings) -> None:
    for name, node in settings.measure.items():
        check_arguments(node, settings.trust, f"measure.{name}", expected=Measure)
    for i, constraint in enumerate(Goals.of_settings(settings).constraints):
        node = settings.measure.get(constraint.metric, {})
        unit: MetricUnit = locate(node["_target_"], settings.trust).unit if node else ""
        constraint.check_unit(unit, f"constraints[{i}]")
    needed(settings)


@contextmanager
def _as_given(settings: Settings) -> Iterator[None]:
    """Raises errors about an argument of the space that it takes from the data under the key of the
    data, which is what a user would change."""
    try:
        yield
    except ConfigError as error:
        for key in ("shape", "classes"):
            at, value = f"space.{key}", settings.space.get(key)
            if re.match(rf"{at}\b", str(error)) and value == settings.data.get(key):
                text = str(error).replace(at, f"data.{key}", 1)
                raise ConfigError(f"{text} The space takes it as {at}.") from error
        raise


@contextmanager
def _naming_empty(settings: Settings) -> Iterator[None]:
    """Raises errors about a space with an empty list of candidates under the key of that list."""
    try:
        yield
    except SpaceError as error:
        for where, node in nodes(settings.model, "space"):
            for key, value in node.items():
                if value in ([], {}):
                    text = f"{where}.{key} is {value}; give at least one candidate: {error}"
                    raise ConfigError(text) from error
        raise


def make_engine(settings: Settings) -> Engine:
    """Returns the engine. Raises RunFailed if the default model cannot be built. If its mutations
    are incompatible, logs a warning, since other samples may be valid."""
    with naming("engine"):
        engine = make(settings)
    if engine.notice:
        log.warning("%s", engine.notice)
    try:
        with _naming_empty(settings):
            engine.space.default()
    except (DrawError, Refused) as error:
        if (refused := refusal(error)) is None:
            unset = "; ".join(unset_sizes(settings.space, settings.data, settings.trust))
            said = f"The default model cannot be built: {error}{place(error)}"
            if unset:
                said = f"{said.rstrip('.')}. In the config, {unset}."
            raise ConfigError(said) from error
        reason = message(refused).rstrip(".")
        if isinstance(error, DrawError) and not error.sample:
            raise RunFailed(
                f"The space refuses every sample, before any choice is made: {reason}."
            ) from error
        log.warning(
            "The sample of all first candidates has no valid model: %s; others are tried.", reason
        )
    return engine


def check_group(settings: Settings, engine: Engine) -> None:
    """Raises ConfigError if trials are to be trained as one, and each on several devices."""
    devices = settings.training.get("devices_per_trial", 1)
    if engine.group > 1 and type(devices) is int and devices > 1:
        raise ConfigError(
            f"training.devices_per_trial is {devices}, but engine.group is {engine.group}: trials "
            "that are trained as one share a device. Use engine.group=1, or engine=base."
        )


def make_space(settings: Settings, engine: Engine) -> Space:
    """Returns the space of the model, joined with the hyper-parameters of `search` and with the
    rungs of the fidelity, if any, and with the priors of the config. Raises ConfigError."""
    others: list[FlatSpace] = [search_space(settings.search)] if settings.search else []
    if (fidelity := Goals.of_settings(settings).fidelity) is not None:
        others.append(fidelity.space)
    space = engine.space
    if others:
        space = JointSpace([space, *others])
        space.walk(lambda choice: choice.default)  # raises on conflicting labels
    return WeightedSpace(space, settings.prior) if settings.prior else space


def with_first_samples(settings: Settings, space: Space) -> Settings:
    """Returns the settings in which `strategy.first` lists complete samples, so that the run does
    not depend on other folders later. Raises ConfigError for samples that are not in the space."""
    if not settings.first:
        return settings
    found = first_samples(settings.first, space, settings.seed)
    return settings.model_copy(update={"strategy": {**settings.strategy, FIRST: found}})


def make_strategy(settings: Settings, space: Space) -> Strategy:
    """Returns the strategy for a space. Raises ConfigError, also if it takes only one objective and
    the search has several, or takes no fidelity and the search has one. `settings.first` must be
    complete samples."""
    goals = Goals.of_settings(settings)
    with naming("strategy"):
        made: Strategy = build(settings.searcher, settings.trust, space=space, seed=settings.seed)
        made.goals = goals
        made.check()
    if goals.several and not made.several:
        raise ConfigError(
            f"objective lists {len(goals.objectives)} objectives, but {type(made).__name__} takes "
            "one; nsga2, nsga3, tpe, evolution, local_search, random and grid take several."
        )
    if goals.fidelity is not None and not made.promotes:
        raise ConfigError(
            f"fidelity is given, but {type(made).__name__} promotes no trials from rung to rung; "
            "asha and hyperband do."
        )
    if settings.screen is not None and not made.varies:
        raise ConfigError(
            f"screen is given, but {type(made).__name__} has one sample for each trial, and not "
            "several to choose from; random, evolution, rl, bananas, asha, hyperband, tpe, gp, "
            "cmaes, nsga2 and nsga3 can be screened."
        )
    if settings.first and made.promotes:
        raise ConfigError(
            f"strategy.first is given, but {type(made).__name__} promotes trials, which begin "
            "with samples of its own; strategies other than asha and hyperband take it."
        )
    if settings.first:
        made = First(made, settings.first)
    return Repeated(made, settings.repeat) if settings.repeat > 1 else made


def make_further_stages(
    settings: Settings, space: Space, tell: Callable[[str], None]
) -> list[Stage]:
    """Returns the stages of a run that follow its search; `tell` receives sentences for the
    user."""
    stages: list[Stage] = []
    if settings.compare is not None:
        fidelity = Goals.of_settings(settings).fidelity
        stages.append(BaselineStage(space, settings.seed, fidelity, settings.repeat, tell))
    if settings.confirm is not None:
        best, seeds = settings.confirm.top, settings.confirm.seeds
        stages.append(ConfirmStage(best, seeds, settings.repeat, tell))
    return stages


def make_evaluator(settings: Settings) -> Evaluator:
    """Returns the evaluator as configured, without what `search` chooses."""
    made: Evaluator = build(settings.evaluator, settings.trust)
    return made


def _make_stopper(settings: Settings) -> Stopper:
    """Returns the stopper. Raises ConfigError, also if trials do not report, epoch by epoch, the
    metric that it decides on."""
    with naming("stopper"):
        made: Stopper = build(settings.stopper, settings.trust, goals=Goals.of_settings(settings))
        made.check()
    if made.decides and settings.fidelity is not None:
        raise ConfigError(
            "fidelity ends trials early already, on lower rungs; use stopper=none with it."
        )
    if made.decides:
        check_stopper(settings, made.objective.metric)
    return made


def make_feed(settings: Settings, folder: Path, tell: Callable[[str], None]) -> LogFeed:
    """Returns what tells the loggers, with their processes starting; `tell` receives sentences for
    the user."""
    secrets = settings.secret_texts
    return LogFeed(settings.logger, settings.trust, folder, tell, secrets)


def make_early_measures(settings: Settings, engine: Engine) -> EarlyMeasures:
    """Returns what measures samples before they become trials."""
    with naming("measure"):
        measures = Measures(
            needed(settings), Goals.of_settings(settings).constraints, settings.trust
        )
    return EarlyMeasures(engine, measures, build(settings.data, settings.trust))


def make_prescreen(settings: Settings) -> Prescreen | None:
    """Returns the memory of the pre-screen; None without one."""
    if settings.screen is None:
        return None
    objective = Goals.of_settings(settings).objectives[0]
    screen = settings.screen
    return Prescreen(screen.proxy, screen.candidates, objective, settings.repeat)


def make_checkpoint_keeper(
    settings: Settings,
    needed: Callable[[], Collection[int]],
    folder: Path,
    tell: Callable[[str], None],
) -> CheckpointKeeper | None:
    """Returns what keeps the checkpoints of the trials that are `needed`; None without a
    fidelity."""
    if (fidelity := Goals.of_settings(settings).fidelity) is None:
        return None
    evaluator = locate(settings.evaluator["_target_"], settings.trust)
    checkpoints = Checkpoints(folder, fidelity)
    return CheckpointKeeper(checkpoints, needed, tell, goes_on=goes_on(fidelity, evaluator))


def make_service(settings: Settings, folder: Path, *, heirs: bool = False) -> TrainingService:
    """Returns the training service, with its workers starting. With `heirs`, trials keep their
    weights for others to inherit, even if none are kept in the end."""
    fidelity, weights = Goals.of_settings(settings).fidelity, settings.initial_weights
    rungs = () if fidelity is None else (fidelity.key,)
    setup = Setup(
        engine=settings.engine["_target_"],
        evaluator=settings.evaluator,
        data=settings.data,
        search=(*(settings.search or ()), *rungs),
        trust=tuple(settings.trust),
        folder=folder,
        keep_weights=heirs or settings.export.keep_weights != 0,
        measures=needed(settings),
        constraints=tuple(settings.constraints),
        fidelity=fidelity and vars(fidelity),
        screen=_screen_of(settings),
        initial_weights=weights and str(Path(weights).resolve()),
        secrets=settings.secret_texts,
    )
    with naming("training"):
        made: TrainingService = build(settings.training, settings.trust, setup=setup)
    return made


def _screen_of(settings: Settings) -> Mapping[str, Any] | None:
    """Returns what a worker needs to know of the pre-screen; None without one."""
    if (screen := settings.screen) is None:
        return None
    return {"proxy": settings.proxy[screen.proxy], "batch_size": screen.batch_size}
