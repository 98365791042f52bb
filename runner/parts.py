"""Builds the parts of a search from settings. Everything is validated before anything runs."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from runner.config.check_arguments import check_arguments
from runner.config.instantiate import build
from runner.config.settings import Settings
from runner.engines.engine import RUNTIME, Engine, make
from runner.errors import ConfigError, Refused, RunFailed, message, place, refusal
from runner.preflight import check_parts, naming
from runner.space.sample import DrawError
from runner.space.space import FlatSpace, JointSpace, Space, search_space
from runner.strategies.strategy import Strategy
from runner.training.service import TrainingService
from runner.trial import Setup, Trial

log = logging.getLogger(__name__)
CONTRACTS: Mapping[str, tuple[type, Sequence[str]]] = {  # with runtime arguments
    "engine": (Engine, RUNTIME),
    "space": (nn.Module, ()),
    "strategy": (Strategy, ("space", "seed")),
    "training": (TrainingService, ("setup",)),
}


def check(settings: Settings) -> None:
    """Validates all groups against the signatures of their targets, and every candidate of
    `search`.

    Raises ConfigError. Imports the targets, and with them torch.
    """
    plain = settings.model_dump() | {"space": settings.model}
    for group, (contract, runtime) in CONTRACTS.items():
        check_arguments(plain[group], settings.trust, group, runtime, expected=contract)
    check_parts(settings)


def make_engine(settings: Settings) -> Engine:
    """Returns the engine. Raises RunFailed if the default model cannot be built, and ConfigError if
    it cannot be exported as configured. If its mutations are incompatible, logs a warning, since
    other samples may be valid."""
    with naming("engine"):
        engine = make(settings)
    if engine.notice:
        log.warning("%s", engine.notice)
    try:
        default = engine.space.default()
        if settings.export.standalone:  # now, rather than at the end of the search
            engine.source(Trial(number=0, sample=default, seed=0), standalone=True)
    except (DrawError, Refused) as error:
        if (refused := refusal(error)) is None:
            raise ConfigError(
                f"The default model cannot be built: {error}{place(error)}"
            ) from error
        reason = message(refused).rstrip(".")
        if isinstance(error, DrawError) and not error.sample:
            raise RunFailed(
                f"The space refuses every sample, before any choice is made: {reason}."
            ) from error
        log.warning(
            "The sample of all first candidates has no valid model: %s; others are tried.", reason
        )
    return engine


def make_space(settings: Settings, engine: Engine) -> Space:
    """Returns the space of the model, joined with the hyper-parameters of `search`, if any."""
    if not settings.search:
        return engine.space
    hyper: FlatSpace = search_space(settings.search)
    joint = JointSpace([engine.space, hyper])
    joint.walk(lambda choice: choice.default)  # raises on conflicting labels
    return joint


def make_strategy(settings: Settings, space: Space) -> Strategy:
    """Returns the strategy for a space."""
    with naming("strategy"):
        made: Strategy = build(settings.strategy, settings.trust, space=space, seed=settings.seed)
        made.check()
    return made


def make_service(settings: Settings, folder: Path, *, heirs: bool = False) -> TrainingService:
    """Returns the training service, with its workers starting. With `heirs`, trials keep their
    weights for others to inherit, even if none are kept in the end."""
    setup = Setup(
        engine=settings.engine["_target_"],
        evaluator=settings.evaluator,
        data=settings.data,
        search=tuple(settings.search or ()),
        trust=tuple(settings.trust),
        folder=folder,
        keep_weights=heirs or settings.export.keep_weights != 0,
    )
    with naming("training"):
        made: TrainingService = build(settings.training, settings.trust, setup=setup)
    return made
