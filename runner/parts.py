"""Builds the parts of a search from settings. Everything is validated before anything runs."""

import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from runner.config.allowlist import ConfigNode
from runner.config.check_arguments import check_arguments
from runner.config.instantiate import build, put
from runner.config.settings import Settings
from runner.data.data import Data
from runner.engines.engine import RUNTIME, Engine, make
from runner.errors import ConfigError, Refused, RunFailed, RunnerError, message, one_line, refusal
from runner.evaluators.evaluator import Evaluator
from runner.space.choice import JsonValue
from runner.space.sample import DrawError
from runner.space.space import FlatSpace, JointSpace, Space, search_space
from runner.strategies.strategy import Strategy
from runner.training.service import TrainingService
from runner.trial import Setup, Trial

log = logging.getLogger(__name__)
CONTRACTS: Mapping[str, tuple[type, Sequence[str]]] = {  # of the groups, with runtime arguments
    "engine": (Engine, RUNTIME),
    "space": (nn.Module, ()),
    "strategy": (Strategy, ("space", "seed")),
    "evaluator": (Evaluator, ()),
    "data": (Data, ()),
    "training": (TrainingService, ("setup",)),
}


def check(settings: Settings) -> None:
    """Validates all groups against the signatures of their targets, and every candidate of
    `search`.

    Raises ConfigError. Imports the targets, and with them torch.
    """
    plain = settings.model_dump() | {"space": settings.model}
    for group in CONTRACTS:
        _check_group(settings, group, plain[group])
    for choice in search_space(settings.search).choices:
        for value in choice.values(resolution=3):
            _check_candidate(settings, choice.label, value)
    for group in ("evaluator", "data"):
        with _naming(group):
            build(plain[group], settings.trust)


def _check_group(settings: Settings, group: str, node: ConfigNode) -> None:
    contract, runtime = CONTRACTS[group]
    check_arguments(node, settings.trust, group, runtime, expected=contract)


def _check_candidate(settings: Settings, label: str, value: JsonValue) -> None:
    group = label.split(".")[0]
    if group not in ("evaluator", "data"):
        raise ConfigError(
            f"search names {label!r}; it can vary keys of evaluator and data, such as evaluator.lr."
        )
    plain = settings.model_dump()
    put(plain, label, value)
    _check_group(settings, group, plain[group])
    with _naming(group):
        build(plain[group], settings.trust)


@contextmanager
def _naming(group: str) -> Iterator[None]:
    """Raises errors of the block as ConfigError that names a group of the config."""
    try:
        yield
    except RunnerError:
        raise
    except Exception as error:
        raise ConfigError(f"{group}: {one_line(error)}{_place(error)}") from error


def make_engine(settings: Settings) -> Engine:
    """Returns the engine. Raises RunFailed if the default model cannot be built, and ConfigError if
    it cannot be exported as configured. If its mutations are incompatible, logs a warning, since
    other samples may be valid."""
    with _naming("engine"):
        engine = make(settings)
    if engine.notice:
        log.warning("%s", engine.notice)
    try:
        default = engine.space.default()
        if settings.export.standalone:  # now, rather than at the end of the search
            engine.source(Trial(number=0, sample=default, seed=0), standalone=True)
    except (DrawError, Refused) as error:
        if (refused := refusal(error)) is None:
            raise RunFailed(f"The default model cannot be built: {error}{_place(error)}") from error
        reason = message(refused).rstrip(".")
        if isinstance(error, DrawError) and not error.sample:
            raise RunFailed(
                f"The space refuses every sample, before any choice is made: {reason}."
            ) from error
        log.warning(
            "The sample of all first candidates has no valid model: %s; others are tried.", reason
        )
    return engine


def _place(error: BaseException) -> str:
    """Returns the file and line where the original cause of an error was raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    *_, last = traceback.extract_tb(error.__traceback__)
    return f" ({last.filename}:{last.lineno}). HYDRA_FULL_ERROR=1 shows the whole traceback."


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
    with _naming("strategy"):
        made: Strategy = build(settings.strategy, settings.trust, space=space, seed=settings.seed)
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
    with _naming("training"):
        made: TrainingService = build(settings.training, settings.trust, setup=setup)
    return made
