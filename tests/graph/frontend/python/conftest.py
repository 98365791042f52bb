"""Small models written as text, which the front end of Python's source must read, or refuse."""

import copy
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest
import torch
from snippets import HEAD as IMPORTS
from snippets import module_of, same
from torch import nn

from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert
from runner.graph.validation.conversion_check import check_conversion
from runner.nn.recording.construction_record import recording

sys.path.insert(0, str(Path(__file__).parent))
HEAD = (
    IMPORTS
    + "import enum, functools\nfrom dataclasses import dataclass\nfrom typing import NamedTuple\n"
)
ATTRIBUTES = {
    "lin": "nn.Linear(3, 3)",
    "layers": "nn.ModuleList([nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)])",
    "named": 'nn.ModuleDict({"one": nn.Linear(3, 3), "two": nn.ReLU()})',
    "weight": "nn.Parameter(torch.ones(3))",
    "seen": "nn.Buffer(torch.zeros(3))",
    "scale": "2.0",
    "times": "2",
    "flag": "True",
    "none": "None",
    "word": "'half'",
    "sizes": "[1, 2, 3]",
    "pairs": "[(1, 2.0), (3, 4.0)]",
    "table": "{'a': 1, 'b': 2}",
}  # of the models, each if the text uses it
X = torch.tensor([[1.5, -2.0, 0.5], [0.25, 3.0, -1.0]])
CALLS = [(X, 3, True), (-X, 0, False), (X + 2, 1, False), (X[:1], 4, True)]  # of forward(x, n, on)


@pytest.fixture
def reads() -> Callable[..., str]:
    """Has a forward of this text read and compared; returns the source. `again`: whether one model
    is called several times, rather than several models once."""

    def run(
        body: str, *, init: str = "", head: str = "", base: str = "nn.Module", again: bool = False
    ) -> str:
        made = _made(body, init, head, base)
        twin = copy.deepcopy(made)
        expected = [_run(twin if again else copy.deepcopy(made), each) for each in CALLS]
        graph = convert(made, frontend="python")
        if graph.root.grade != "graph" or graph.notes:
            pytest.fail("\n".join(map(str, graph.notes)), pytrace=False)
        text = generate(graph, standalone=True, carries=False)  # results of the very classes
        for number, (each, theirs) in enumerate(zip(CALLS, expected, strict=True)):
            if number == 0 or not again:
                twin = load_source(text, graph.tensors).build()
                twin.load_state_dict(made.state_dict())
            ours = _run(twin, each)
            if not _same(ours, theirs):
                pytest.fail(f"{each}: {theirs} became {ours}\n{text}", pytrace=False)
        runs = [each for each, (out, _) in zip(CALLS, expected, strict=True) if not _failed(out)]
        for each in runs[:1]:
            check_conversion(made, *each, frontend="python").raise_if_wrong()
        return str(text)

    return run


@pytest.fixture
def refuses() -> Callable[..., None]:
    """Has a forward of this text kept as it is, for the reason that a comment `# <- why` gives."""

    def run(body: str, *, init: str = "", head: str = "", compare: bool = True) -> None:
        made = _made(body, init, head)
        graph = convert(made, frontend="python")
        if graph.root.grade not in ("shell", "basic"):
            pytest.fail(generate(graph, standalone=True), pytrace=False)
        if compare:
            check_conversion(made, *CALLS[0], frontend="python").raise_if_wrong()
        line, why = next(_marked(made))
        file = PurePath(type(made).forward.__code__.co_filename).name
        assert f"python: {file}:{line}: " in (said := graph.notes[0].text), said
        assert why in said, said

    return run


def _made(body: str, init: str, head: str, base: str = "nn.Module") -> nn.Module:
    torch.manual_seed(0)
    used = [name for name in ATTRIBUTES if f"self.{name}" in body + init + head]
    lines = [
        *f"{HEAD}{head}".splitlines(),
        f"class M({base}):",
        "    def __init__(self):",
        "        super().__init__()",
        *(f"        self.{name} = {ATTRIBUTES[name]}" for name in used),
        *(f"        {line}" for line in init.splitlines()),
        "    def forward(self, x, n, on):",
        *(f"        {line}" for line in body.splitlines() if line[0] != "|"),
        *(f"    {line[2:]}" for line in body.splitlines() if line[0] == "|"),
    ]
    with recording():
        return module_of("\n".join(lines) + "\n").M()


def _marked(made: nn.Module) -> Iterator[tuple[int, str]]:
    """The line that is marked as refused, and why it is."""
    for number, line in enumerate(linecache.getlines(type(made).forward.__code__.co_filename), 1):
        if "# <- " in line:
            yield number, line.partition("# <- ")[2].strip()


def _run(made: nn.Module, given: tuple[Any, ...]) -> tuple[Any, Any]:
    """What a model gives, or raises, and what it makes of its inputs."""
    torch.manual_seed(0)
    passed = copy.deepcopy(given)
    try:
        return made(*passed), passed
    except Exception as error:
        return error, None


def _failed(output: Any) -> bool:
    return isinstance(output, Exception)


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    if _failed(one[0]) or _failed(other[0]):
        return type(one[0]) is type(other[0]) and str(one[0]) == str(other[0])
    return same(one, other)


@pytest.fixture
def forward_of() -> Callable[[str], str]:
    """The body of forward in a source, without indentation."""

    def cut(text: str) -> str:
        lines = text.splitlines()
        start = next(i for i, line in enumerate(lines) if "def forward(" in line) + 1
        body = []
        for line in lines[start:]:
            if line.strip() and not line.startswith("        "):
                break
            body.append(line[8:])
        return "\n".join(body).strip()

    return cut
