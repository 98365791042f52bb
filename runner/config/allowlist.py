"""The allowlist: which import paths a `_target_` of a config may name, before any is imported."""

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runner.errors import ConfigError, as_yaml

ConfigNode = Mapping[str, Any]
KEYWORDS = ("_target_", "_partial_")
MANY = 1024  # import paths about which it is remembered whether they are allowed
FOREIGN = ("_args_", "_recursive_", "_convert_")  # keywords of Hydra's `instantiate`

# What a config may name without being trusted: the classes below a prefix that are of these kinds.
# `typing.Callable` stands for classes whose instances can be called.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "runner.data": ("runner.data.data.Data", "typing.Callable"),
    "runner.engines": ("runner.engines.engine.Engine",),
    "runner.evaluators": ("runner.evaluators.evaluator.Evaluator", "typing.Callable"),
    "runner.loggers": ("runner.loggers.logger.Logger",),
    "runner.measures": ("runner.measures.measure.Measure",),
    "runner.mutators": ("runner.graph.transforms.mutator.Mutator",),
    "runner.nn": ("torch.nn.Module",),
    "runner.proxies": ("runner.proxies.proxy.Proxy",),
    "runner.strategies": ("runner.strategies.strategy.Strategy",),
    "runner.stoppers": ("runner.stoppers.stopper.Stopper",),
    "runner.tables": ("runner.tables.table.ResultTable",),
    "runner.tasks": ("runner.tasks.task.Task",),
    "runner.training": ("runner.training.service.TrainingService",),
    "spaces": ("torch.nn.Module",),
    "torch.nn": ("torch.nn.Module",),
    "torch.optim": ("torch.optim.Optimizer", "torch.optim.lr_scheduler.LRScheduler"),
    "torch.utils.data": ("torch.utils.data.Dataset", "torch.utils.data.Sampler"),
    "torchvision.models": ("torch.nn.Module",),
    "torchvision.datasets": ("torch.utils.data.Dataset",),
    "torchvision.transforms": ("typing.Callable",),
    "optuna.samplers": ("optuna.samplers.BaseSampler", "optuna.samplers.nsgaii.BaseCrossover"),
    "optuna.pruners": ("optuna.pruners.BasePruner",),
}
# Functions that a config may name, beside the registered ones of `torchvision.models`, and the
# arguments that it may not give them, because they make files or the network be read as models.
BUILDERS: Mapping[str, tuple[str, ...]] = {
    "spaces.mutate.existing": (),
    "timm.create_model": (
        *("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"),
    ),
}
DENIED = (
    "torchvision.datasets.utils", "torch.utils.data.datapipes",  # these download files
    "torchvision.datasets.lsun",  # it unpickles a file beside its data
)  # fmt: skip


def check_targets(config: Any, trust: Sequence[str]) -> None:
    """Raises ConfigError for a `_target_` that is not allowed, and for an entry of `trust` that is
    no import path. Imports nothing."""
    for entry in trust:
        if not _is_path(entry):
            raise ConfigError(
                f"trust contains {as_yaml(entry)}; an entry must be an import path, such as mypkg."
            )
    for where, value in values(config):
        if isinstance(value, str) and value in (*KEYWORDS, *FOREIGN):
            raise ConfigError(f"{where} is {value!r}, which may only be the key of a node.")
    for where, node in nodes(config):
        check_allowed(node["_target_"], trust, where)
        for key in FOREIGN:
            if key in node:
                raise ConfigError(
                    f"{where}.{key}: a node has {' and '.join(KEYWORDS)}, and arguments by name."
                )


def values(config: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Yields all values in nested mappings and lists that are neither, each with its path."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from values(value, f"{where}.{key}" if where else str(key))
    elif isinstance(config, list):
        for i, value in enumerate(config):
            yield from values(value, f"{where}[{i}]")
    else:
        yield where, config


def lists(config: Any, where: str) -> Iterator[tuple[str, list[Any]]]:
    """Yields all lists in nested mappings and lists, outermost first, each with its path."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from lists(value, f"{where}.{key}")
    elif isinstance(config, list):
        yield where, config
        for i, value in enumerate(config):
            yield from lists(value, f"{where}[{i}]")


def nodes(config: Any, where: str = "") -> Iterator[tuple[str, ConfigNode]]:
    """Yields all nodes with a `_target_`, outermost first, each with its path in the config."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield where, config
        for key, value in config.items():
            yield from nodes(value, f"{where}.{key}" if where else str(key))
    elif isinstance(config, list):
        for i, value in enumerate(config):
            yield from nodes(value, f"{where}[{i}]")


def check_allowed(path: object, trust: Sequence[str], where: str) -> None:
    """Raises ConfigError, with a remedy, for an import path outside the allowlist."""
    if not _is_path(path):
        raise ConfigError(
            f"{where}._target_ is {as_yaml(path)}; it must be an import path like pkg.Name."
        )
    path = str(path)
    special = [part for part in path.split(".") if part.startswith("__")]
    if special:  # trusted or not
        raise ConfigError(
            f"{where}._target_ {path!r} is not on the allowlist of a config: {special[0]!r} is a "
            "name of Python's own. Name a class, or a function of a module."
        )
    if below(path, trust):
        return
    private = any(part.startswith("_") for part in path.split("."))
    if private or (path not in BUILDERS and not _is_of_allowed_package(path)):
        raise ConfigError(
            f"{where}._target_ {path!r} is not on the allowlist of a config. "
            f"{how_to_trust(path, trust)}"
        )


def is_defined_in_allowed(module: str, trust: Sequence[str]) -> bool:
    """Returns whether what a module defines may be named by a config."""
    return below(module, trust) or _is_of_allowed_package(module)


@functools.lru_cache(maxsize=MANY)
def kinds_of(module: str) -> tuple[str, ...]:
    """Returns the import paths of the kinds of classes that a config may name of a module."""
    return next((kinds for prefix, kinds in ALLOWED.items() if below(module, [prefix])), ())


def how_to_trust(path: str, trust: Sequence[str] = (), origin: str = "") -> str:
    """Advises to trust a user's package as a whole, but only single names of any other, in addition
    to what is trusted. `origin` is the module that defines what the path leads to."""
    package = (origin or path).split(".")[0]
    ours = {allowed.split(".")[0] for allowed in (*ALLOWED, *BUILDERS)}
    wide = package not in ours and package not in sys.stdlib_module_names
    name = package if wide and package not in trust else path
    return f"If you trust it, add trust=[{','.join([*trust, name])}]."


def below(path: str, prefixes: Sequence[str]) -> bool:
    """Returns whether an import path is one of some prefixes, or below one."""
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in prefixes)


@functools.lru_cache(maxsize=MANY)
def _is_of_allowed_package(path: str) -> bool:
    return not below(path, DENIED) and below(path, (*ALLOWED,))


def _is_path(path: object) -> bool:
    return isinstance(path, str) and all(part.isidentifier() for part in path.split("."))
