"""The front ends that benchmarks compare, and what a conversion by one of them is worth."""

import argparse
import ast
from collections.abc import Iterator

from torch import nn

from runner.graph import Graph, Unit
from runner.nn.values.build import is_basic_unit

FRONTENDS = ("torchscript", "python")  # each alone; "auto" is both, one after the other


def frontend_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--frontend`, whose value is a tuple of front ends."""
    parser.add_argument(
        "--frontend", type=_frontends, default=FRONTENDS, metavar="NAME[,NAME]",
        help=f"those of {', '.join(FRONTENDS)}, auto to try; without it {' and '.join(FRONTENDS)}",
    )  # fmt: skip


def _frontends(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in (*FRONTENDS, "auto"):
            raise argparse.ArgumentTypeError(f"{name!r} is not a front end")
    return names


def kept_units(graph: Graph, model: nn.Module) -> list[str]:
    """The paths of units that are kept as they are: shells, and basic units but those that are
    meant to be, which are the layers of torch and classes with @basic_unit."""
    return [path or unit.name for path, unit in graph.units() if _is_kept(path, unit, model)]


def _is_kept(path: str, unit: Unit, model: nn.Module) -> bool:
    if unit.grade == "basic" and unit.cls.module.split(".")[0] != "torch":
        return not is_basic_unit(type(model.get_submodule(path)))
    return unit.grade == "shell"


def users_modules(source: str, model: nn.Module) -> list[str]:
    """The modules that a source imports of the package that the class of a model is from; if that
    is torch, of the packages of all classes in it."""
    packages = {_package(model)} - {"torch"} or {_package(m) for m in model.modules()} - {"torch"}
    return sorted({name for name in _imported(source) if name.split(".")[0] in packages})


def _package(module: nn.Module) -> str:
    return type(module).__module__.split(".")[0]


def _imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
