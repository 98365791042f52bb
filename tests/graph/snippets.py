"""Small models written as text, compared with what is generated for them, to the type of each
number."""

import copy
import itertools
import linecache
import sys
import types
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from runner.graph.codegen.generate import generate
from runner.graph.frontend.convert import convert

_numbers = itertools.count()
HEAD = """import math
from typing import Dict, List, Optional, Tuple
import torch
from torch import nn
"""


class Outcome(NamedTuple):
    """What became of a model: how its root was read, what is noted, and the first difference."""

    grade: str
    notes: str
    difference: str


def module_of(text: str) -> Any:
    """A module of Python's with a source of its own, that can be imported by its name."""
    name = f"snippet_{next(_numbers)}"
    module = types.ModuleType(name)
    module.__file__ = f"/snippets/{name}.py"
    linecache.cache[module.__file__] = (len(text), None, text.splitlines(True), module.__file__)
    sys.modules[name] = module
    exec(compile(text, module.__file__, "exec"), module.__dict__)
    return module


def model(body: str, arguments: str = "", init: str = "pass", head: str = "") -> nn.Module:
    """A model whose forward takes `x` and more arguments, and has this body."""
    lines = [
        *(HEAD + head).splitlines(),
        "class M(nn.Module):",
        "    def __init__(self):",
        "        super().__init__()",
        *(f"        {line}" for line in init.splitlines()),
        f"    def forward(self, x, {arguments}):",
        *(f"        {line}" for line in body.strip("\n").splitlines()),
    ]
    made: nn.Module = module_of("\n".join(lines) + "\n").M()
    return made


def outcome(made: nn.Module, inputs: Sequence[tuple[Any, ...]]) -> Outcome:
    """Convert a model, and run what is generated beside it."""
    graph = convert(made)
    notes = " ".join(note.text for note in graph.notes)
    if graph.root.grade != "graph":
        return Outcome(graph.root.grade, notes, "")
    twin = module_of(str(generate(graph, standalone=True))).build()
    twin.load_state_dict(made.state_dict())
    for given in inputs:
        expected, found = _run(made, given), _run(twin, given)
        if not same(expected, found):
            return Outcome("graph", notes, f"{expected!r} became {found!r}")
    return Outcome("graph", notes, "")


def _run(made: nn.Module, given: tuple[Any, ...]) -> Any:
    torch.manual_seed(0)
    try:
        return made(*copy.deepcopy(given))
    except Exception as error:
        return type(error).__name__


def same(one: Any, other: Any) -> bool:
    """Whether two results are equal, and of the same types throughout."""
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        plain = one.dtype == other.dtype and one.shape == other.shape
        return plain and torch.equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return [*one] == [*other] and all(map(same, one.values(), other.values()))
    return bool(one == other) or (one != one and other != other)
