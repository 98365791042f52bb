"""Tries a random program: writes it to a module, converts it, and holds it against eager."""

import importlib
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import oracle
import torch

from random_programs.program import RandomProgram
from runner.engines.example import Example
from runner.engines.model_space import ModelSpace
from runner.engines.symbolic_graph import SymbolicGraph
from runner.graph import convert, recording
from runner.nn import sample as building
from runner.space.sample import Sample, generator

SAMPLES = 2  # of a program with open choices


@contextmanager
def written(program: RandomProgram, name: str) -> Iterator[Any]:
    """The imported module of a program, in a file that `inspect` can read."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{name}.py").write_text(program.text)
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            yield importlib.import_module(name)
        finally:
            sys.path.remove(folder)
            oracle.forget(name)


def try_program(
    program: RandomProgram, name: str, *, validate: bool = False, frontend: str = "auto"
) -> oracle.Finding:
    """What becomes of a program; of one with open choices, the first bad one of a few samples.
    `validate`: whether conversions are validated, as by the engines, on the first call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with written(program, name) as module:
            return _tried(program, module, name, validate=validate, frontend=frontend)


def _tried(
    program: RandomProgram, module: Any, name: str, *, validate: bool, frontend: str
) -> oracle.Finding:
    if not program.open:
        graph = partial(_read, module, validate=validate, frontend=frontend)
        return oracle.examine(name, lambda: _made(module), graph, _calls(module))
    space = ModelSpace({"_target_": f"{name}.Net"}, [name])
    graphs = SymbolicGraph(space.node, [name], _example(module) if validate else None, frontend)
    for number in range(SAMPLES):
        found = _sample(module, space.random(generator(0, number)), graphs, name)
        if found.verdict != "equal":
            break
    return found


def _calls(module: Any) -> oracle.Calls:
    return lambda: [oracle.Call(args) for args in module.calls()]


def _made(module: Any) -> Any:
    torch.manual_seed(0)
    return module.Net()


def _read(module: Any, *, validate: bool, frontend: str) -> Any:
    with recording():
        model = _made(module)
    return convert(model, *(module.calls()[0] if validate else ()), frontend=frontend)


def _example(module: Any) -> Example:
    """The first call, on which engines would try graphs if they could have several inputs."""
    example = Example((4, 4))
    example.inputs = module.calls()[0]
    return example


def _sample(module: Any, sample: Sample, graphs: SymbolicGraph, name: str) -> oracle.Finding:
    """A sample of a space, as its own Python makes it and as the graph of the space has it."""

    def make() -> Any:
        with building(sample):
            return _made(module)

    return oracle.examine(name, make, lambda: graphs.resolved(sample), _calls(module))
