"""Random programs of loops that are left anywhere do the same when they are generated again."""

import random
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from runner.graph.codegen.generate import generate
from runner.graph.frontend.convert import convert
from runner.nn.recording.construction_record import recording

HEAD = """import torch
from torch import Tensor, nn


class Net(nn.Module):
    def forward(self, x: Tensor, xs: list[Tensor], n: int):
        y, k, t = x.clone(), 0, 0
"""
RESULTS = ("x, y, k", "y, x, t", "x * 2, y, k + n")
SIMPLE = (
    *(
        "x = x * 2",
        "x = x + k",
        "x = x - y",
        "k += 1",
        "k = (k * 2 + n) % 7",
        "y.add_(k)",
        "y[0] = k",
    ),
    *("x, y = y, x", "y = x.clone()", "y = x", "x += 1", "t += 1", "k, t = t, k", "xs[0] = x"),
)
CONDITIONS = (
    *("k == n", "n > 1", "k > 3", "x.sum() > 9", "y[0] < 4", "k % 2 == 0 and n > 0", "t > 3"),
    *("not n == 2", "k > 5 or t > 2", "bool(y.sum() > x.sum())", "n % 2 == 1"),
)


class Writer:
    """Writes one random program. Each loop ends: a counter of its own sees to that."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.loops = 0
        self.size = 0

    def program(self) -> str:
        lines = [line for _ in range(3) for line in self.statement(0, False)]
        lines = [*self.loop(0), *lines, *self.loop(0)]
        lines += [f"return {self.random.choice(RESULTS)}"]
        return HEAD + "".join(f"        {line}\n" for line in lines)

    def block(self, depth: int, in_loop: bool) -> Iterator[str]:
        """The lines of a block, with a margin; it may be left at its end."""
        for _ in range(self.random.randint(0, 2 if depth > 2 else 3)):
            yield from (f"    {line}" for line in self.statement(depth, in_loop))
        yield f"    {self.end(in_loop) if self.random.random() < 0.4 else self.simple()}"

    def statement(self, depth: int, in_loop: bool) -> Iterator[str]:
        kind, self.size = self.random.random(), self.size + 1
        if kind < 0.4 or depth > 3 or self.size > 25:
            yield self.simple()
        elif kind < 0.8:
            yield from self.branch(depth, in_loop)
        elif kind < 0.92:
            yield from self.loop(depth)
        else:
            yield "with torch.no_grad():"
            yield from self.block(depth + 1, in_loop)

    def branch(self, depth: int, in_loop: bool) -> Iterator[str]:
        yield f"if {self.random.choice(CONDITIONS)}:"
        yield from self.block(depth + 1, in_loop)
        if self.random.random() < 0.3:
            yield f"elif {self.random.choice(CONDITIONS)}:"
            yield from self.block(depth + 1, in_loop)
        if self.random.random() < 0.4:
            yield "else:"
            yield from self.block(depth + 1, in_loop)

    def loop(self, depth: int) -> Iterator[str]:
        self.loops += 1
        i, count = f"i{self.loops}", f"c{self.loops}"
        heads = [f"for {i} in range(n):", f"for {i} in range(1, 6, 2):", f"for {i} in range(4):"]
        heads += [
            f"for {i}, v in enumerate(xs):",
            f"for {i}, (v, w) in enumerate(zip(xs, xs[1:])):",
        ]
        whiles = [f"while {count} < 5:", "while True:", f"while {self.random.choice(CONDITIONS)}:"]
        head = self.random.choice([*heads, *whiles, *whiles])
        if head in heads:
            yield head
            yield f"    k += {i}"
            if "v" in head:
                yield "    x = x + v"
        else:
            yield f"{count} = 0"
            yield head
            yield f"    {count} += 1"
            yield f"    if {count} > 6:"
            yield "        break"
        yield from self.block(depth + 1, True)

    def simple(self) -> str:
        return self.random.choice(SIMPLE)

    def end(self, in_loop: bool) -> str:
        returned = f"return {self.random.choice(RESULTS)}"
        return self.random.choice(["break", "continue", returned]) if in_loop else returned


def loaded(text: str, path: Path) -> nn.Module:
    """The model of a program, from a file: TorchScript reads the source."""
    path.write_text(text)
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    with recording():
        made: nn.Module = module.Net()
    return made


def outcome(model: nn.Module, n: int) -> list[Any]:
    """What a model gives, and what it leaves in its arguments."""
    x = torch.tensor([1.0, -2.0, 3.0])
    xs = [torch.full((3,), float(i)) for i in range(4)]
    given = model(x, xs, n)
    return [value.tolist() if isinstance(value, Tensor) else value for value in (*given, x, *xs)]


def difference(seed: int, folder: Path) -> str | None:
    """How the generated source of a random program differs from it; "" for not at all, None for a
    program that cannot be converted."""
    text = Writer(seed).program()
    model = loaded(text, folder / f"program_{seed}.py")
    graph = convert(model)
    if graph.root.grade != "graph":
        assert "INTERNAL ASSERT FAILED" in str(graph.notes), graph.notes  # of TorchScript itself
        return None
    source = generate(graph, standalone=True)
    space: dict[str, Any] = {"__name__": "generated"}
    exec(source, space)
    again = space["build"]()
    for n in range(-1, 5):
        expected, found = outcome(model, n), outcome(again, n)
        if str(expected) != str(found):
            return f"n = {n}: {found} instead of {expected}\n{text}\n{source}"
    return ""


@pytest.mark.parametrize("seed", range(40))
def test_generated_source_leaves_loops_as_the_program_does(seed: int, tmp_path: Path) -> None:
    assert not difference(seed, tmp_path)
