"""Preflight: checks of evaluator, data and objective, before any model is built."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from runner.config.allowlist import KEYWORDS
from runner.config.check_arguments import check_arguments
from runner.config.instantiate import at, build, put
from runner.config.settings import INHERIT, Settings
from runner.config.targets import locate
from runner.data.data import Data, TargetKind
from runner.engines.inheritance import PRESERVED
from runner.errors import ConfigError, RunnerError, did_you_mean, one_line, place
from runner.evaluators.evaluator import Evaluator
from runner.goals import Goals
from runner.proxies.proxy import Proxy
from runner.space.choice import Choice, JsonValue, Numeric
from runner.space.space import search_space

log = logging.getLogger(__name__)

CONTRACTS: Mapping[str, type] = {"evaluator": Evaluator, "data": Data}
SEARCHED = (*CONTRACTS,)  # groups whose keys `search` can vary


def check_parts(settings: Settings) -> None:
    """Checks the evaluator and the data, as configured and with each candidate of `search`, and
    whether they fit each other and the objective. Raises ConfigError."""
    evaluator, data = (_part(settings, group) for group in SEARCHED)
    _check_goals(settings, evaluator)
    _check_targets(evaluator, data)
    if settings.search is not None and not settings.search:
        raise ConfigError("search is {}; give it keys to vary, or null for none.")
    _check_fidelity(settings)
    _check_repeats(settings, evaluator)
    _check_screen(settings, evaluator)
    for choice in search_space(settings.search).choices:
        group = _searched_group(choice.label)
        _check_apart(choice.label, settings.search or {})
        for i, value in enumerate(_values(choice)):
            with _naming_candidate(choice, i, value):
                part = _part(settings, group, choice.label, value)
                _check_targets(*(part, data) if group == "evaluator" else (evaluator, part))


def _check_fidelity(settings: Settings) -> None:
    """Raises ConfigError for a fidelity whose key is none of the config, is no whole number, or is
    searched as well, or whose rungs are no values for it."""
    fidelity = Goals.of_settings(settings).fidelity
    if fidelity is None:
        return
    key = fidelity.key
    group, *rest = key.split(".")
    node: Any = getattr(settings, group) if group in SEARCHED else {}
    for part in rest:
        keys = [*node] if isinstance(node, dict) else []
        if part not in keys:
            raise ConfigError(
                f"fidelity.key is {key!r}, which is no key of the config.{did_you_mean(part, keys)}"
            )
        node = node[part]
    if group not in SEARCHED or type(node) is not int:
        what = repr(node) if group in SEARCHED and rest else "no number"
        raise ConfigError(
            f"fidelity.key is {key!r}, which is {what}; it must be a key of evaluator or data that "
            "is a whole number, such as evaluator.epochs."
        )
    for label in settings.search or {}:
        if f"{label}.".startswith(f"{key}.") or f"{key}.".startswith(f"{label}."):
            raise ConfigError(
                f"search names {label!r}, which fidelity sets; leave one of them out."
            )
    for rung in fidelity.rungs:
        try:
            _part(settings, group, key, rung)
        except ConfigError as error:
            raise ConfigError(f"fidelity, with {key}={rung}: {error}") from error


def _check_repeats(settings: Settings, evaluator: Evaluator) -> None:
    """Raises ConfigError if samples are to be trained several times where that tells nothing, or
    where a trial is only a part of a training."""
    given = "confirm" if settings.repeat == 1 else "repeat"
    if settings.repeat == 1 and settings.confirm is None:
        return
    if not type(evaluator).trains:
        raise ConfigError(
            f"{given} trains samples under several seeds, but {type(evaluator).__name__} looks "
            f"results up, which are the same for each; leave {given} out."
        )
    if settings.weights == INHERIT:
        raise ConfigError(
            f"{given} trains samples under several seeds, but with space.weights={INHERIT} they "
            f"start from given weights under each, so seeds tell little; leave {given} out."
        )
    if given == "repeat" and settings.fidelity is not None:
        raise ConfigError(
            "repeat and fidelity are both given, but a trial on a rung is only a part of a "
            "training; confirm={top: 5, seeds: 3} trains the best again, to the end."
        )


def _check_screen(settings: Settings, evaluator: Evaluator) -> None:
    """Raises ConfigError for a pre-screen by a proxy that is not there, or that needs what the
    evaluator has not."""
    if settings.screen is None:
        return
    name = settings.screen.proxy
    if name not in settings.proxy:
        raise ConfigError(
            f"screen.proxy is {name!r}; there are {', '.join(settings.proxy)}."
            f"{did_you_mean(name, settings.proxy)}"
        )
    if not evaluator.trains:
        raise ConfigError(
            f"screen is given, but evaluator ({type(evaluator).__name__}) looks results up, whose "
            "models have no layers to be screened; leave screen out."
        )
    with naming(f"proxy.{name}"):
        proxy: Proxy = build(settings.proxy[name], settings.trust)
    if proxy.needs_loss and evaluator.training_loss() is None:
        raise ConfigError(
            f"screen.proxy is {name!r}, which needs a training loss, and evaluator "
            f"({type(evaluator).__name__}) has none to offer; params, synflow, naswot and "
            "jacob_cov need none."
        )


def _part(settings: Settings, group: str, label: str = "", value: JsonValue = None) -> Any:
    """Returns the evaluator or the data, checked; with a label, that key has another value."""
    node = getattr(settings, group)
    if label:
        config = {group: deepcopy(node)}
        _check_partial(config, label, value)
        put(config, label, value)
        node = config[group]
    check_arguments(node, settings.trust, group, expected=CONTRACTS[group])
    with naming(group):
        part = build(node, settings.trust)
        part.check()
        devices = settings.training.get("devices_per_trial", 1)
        if group == "evaluator" and type(devices) is int and devices > 1:
            part.check_devices(devices)
    return part


def _searched_group(label: str) -> str:
    group, _, rest = label.partition(".")
    if group not in SEARCHED or not rest:
        raise ConfigError(
            f"search names {label!r}; it can vary keys of evaluator and data, such as evaluator.lr."
        )
    return group


def _check_apart(label: str, labels: Iterable[str]) -> None:
    """Raises ConfigError for labels whose candidates cannot be checked one by one: one that decides
    what others are given to."""
    node, _, name = label.rpartition(".")
    above = node if name in KEYWORDS else label
    for other in labels:
        if other != label and other.startswith(f"{above}."):
            raise ConfigError(
                f"search names both {label!r} and {other!r}, which depend on each other; vary the "
                f"whole node: {above}: [{{_target_: ...}}]."
            )


def _values(choice: Choice) -> list[JsonValue]:
    """Returns all candidates, or the ends and the middle of a range."""
    if isinstance(choice, Numeric) and choice.size > 3:
        middle = choice.low + (choice.high - choice.low) / 2
        inner = middle if choice.step is None else choice.values()[int(choice.size) // 2]
        top = choice.high if choice.step is None else choice.values()[-1]
        return [choice.low, inner, top]
    return [*choice.values(resolution=3)]


@contextmanager
def _naming_candidate(choice: Choice, i: int, value: JsonValue) -> Iterator[None]:
    """Raises errors about a candidate of `search` with its place, if it is one of a list."""
    try:
        yield
    except ConfigError as error:
        place = f"={value}" if isinstance(choice, Numeric) else f"[{i}]"
        raise ConfigError(f"search.{choice.label}{place}: {error}") from error


def _check_partial(config: dict[str, Any], label: str, value: JsonValue) -> None:
    """Raises ConfigError for a candidate that lacks the `_partial_` of the node it replaces."""
    node = at(config, label)
    replaces = isinstance(node, dict) and node.get("_partial_") is True
    if replaces and isinstance(value, dict) and value.get("_partial_") is not True:
        raise ConfigError(
            f"it replaces {label}, which has `_partial_: true`, and needs that, too: the rest of "
            "its arguments are given later."
        )


def _check_goals(settings: Settings, evaluator: Evaluator) -> None:
    """Raises ConfigError for a metric that the evaluator does not report; warns of a mode that is
    obviously reversed."""
    reported = evaluator.reported()
    if reported is None:
        return
    check_metrics(settings, evaluator, reported)
    for one in Goals.of_settings(settings).objectives:
        if reported.get(one.metric, one.mode) != one.mode:
            log.warning("objective.mode is %s, but %s is better if it is %s.", one.mode, one.metric,
                        {"min": "lower", "max": "higher"}[reported[one.metric]])  # fmt: skip


def check_metrics(settings: Settings, evaluator: Evaluator, reported: Collection[str]) -> None:
    """Raises ConfigError for an objective or a constraint that is neither reported nor measured."""
    goals = Goals.of_settings(settings)
    inherited = [PRESERVED] if settings.weights == INHERIT else []
    measured = [name for name in settings.measure if name not in reported]
    measured = ["params", *measured] if type(evaluator).trains else []
    known = [*dict.fromkeys([*reported, *measured]), *inherited]
    many = "" if not goals.several else "[{}]"
    named = [(f"objective{many.format(i)}.metric", one.metric)
             for i, one in enumerate(goals.objectives)]  # fmt: skip
    named += [(f"constraints[{i}]", one.metric) for i, one in enumerate(goals.constraints)]
    for key, name in named:
        if name not in known:
            raise ConfigError(
                f"{key} is {name!r}, which {type(evaluator).__name__} does not report; it "
                f"reports {', '.join(known)}.{did_you_mean(name, known)}"
            )


def check_stopper(settings: Settings, name: str) -> None:
    """Raises ConfigError if a stopper decides on a metric that trials do not report epoch by
    epoch."""
    reported = locate(settings.evaluator["_target_"], settings.trust).reports
    measured = {*settings.measure, "params", PRESERVED} - {*(reported or ())}
    if name not in measured and (reported is None or name in reported):
        return
    what = "is measured before training" if name in measured else "is not reported"
    offer = f", one of {', '.join(reported)}" if reported else ""
    raise ConfigError(
        f"stopper decides on {name!r}, which {what}; set stopper.metric to a metric of each epoch"
        f"{offer}.{did_you_mean(name, reported or ())}"
    )


def _check_targets(evaluator: Evaluator, data: Data) -> None:
    wanted, kind = type(evaluator).targets, data.kind()
    if wanted is None or kind is None or wanted == kind:
        return
    words: dict[TargetKind, str] = {"classes": "indices of classes", "numbers": "numbers"}
    task = {"classes": "classification", "numbers": "regression"}[kind]
    raise ConfigError(
        f"evaluator is {type(evaluator).__name__}, which needs {words[wanted]} as targets, but "
        f"those of data ({type(data).__name__}) are {words[kind]}; evaluator={task} suits them."
    )


@contextmanager
def naming(group: str) -> Iterator[None]:
    """Raises errors of the block as ConfigError that names a group of the config."""
    try:
        yield
    except (RunnerError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also SystemExit, which would end the program without a word
        raise ConfigError(f"{group}: {one_line(error)}{place(error)}") from error
