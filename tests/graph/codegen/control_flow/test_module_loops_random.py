"""Random unrolled loops over modules, some disturbed, compute the same once they are written."""

import random

import torch
from handbuilt import function, named

from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.interpreter.interpreter import Interpreter
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.ir.node import Value
from runner.graph.ir.unit import Ref, Unit

COUNT = 3
X = torch.arange(8.0).reshape(2, 4) / 8
CONTAINERS = {"layers": "ModuleList", "norms": "ModuleDict", "acts": "Sequential"}
OPERATIONS = ["call", "call", "add", "index", "append", "weight", "branch", "swap", "last"]


class UnrolledLoop:
    """Writes a random loop body once for each child."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.f: Function
        self.f, self.x = function("x")
        self.start = self.x
        self.y = named(self.f.call_function("operator:mul", self.x, 2), "y")
        self.items = named(self.f.create("list", "").output, "items")
        size = self.random.randint(1, 4)
        self.body = [(self.random.choice(OPERATIONS), self.random.choice([*CONTAINERS]),
                      self.random.choice(["x", "y", ""])) for _ in range(size)]  # fmt: skip
        for _ in range(self.random.randint(1, 2)):
            for i in range(COUNT):
                self.segment(i)
        for _ in range(self.random.randint(0, 2)):
            self.step(self.random.randrange(COUNT), *self.random.choice(self.body))
        total = self.f.call_function("operator:add", self.x, self.y)
        self.f.result = (total, self.items)

    def segment(self, i: int) -> None:
        for step in self.body:
            if self.random.random() < 0.04:
                self.step(self.random.randrange(COUNT), *self.random.choice(self.body))
            self.step(i, *step)

    def step(self, i: int, operation: str, container: str, name: str) -> None:
        f, child = self.f, "abc"[i] if container == "norms" else str(i)
        match operation:
            case "call":
                self.x = named(f.call_module(f"{container}.{child}", self.x), name)
            case "add":
                self.x = named(f.call_function("operator:add", self.x, self.y), "x")
            case "index":
                self.y = named(f.call_function("operator:add", self.y, i), "y")
            case "append":
                f.create("call_method", "append", (self.items, self.x), outputs=())
            case "weight":
                weight = f.get_attr(f"layers.{i}.bias")
                self.y = named(f.call_function("operator:sub", self.y, weight), name)
            case "branch":
                self.x = self.branch(f"{container}.{child}")
            case "swap":
                self.x, self.y = self.y, self.x
            case "last":
                self.y = self.start if self.random.random() < 0.5 else self.x

    def branch(self, path: str) -> Value:
        f = self.f
        is_large = f.call_function("operator:gt", f.call_method("sum", self.x), 1)
        node = f.create("if", "", (is_large,), outputs=("x",))
        with f.inserting_into(node.add_block()):
            node.blocks[0].results = (f.call_module(path, self.x),)
        node.add_block().results = (self.y,)
        return node.output


def differences(seed: int) -> tuple[bool, bool]:
    """Whether the source of a random loop has a loop, and whether it computes something else."""
    root = Unit("graph", Ref("made.up:Net"))
    linear = [Unit.of("torch.nn:Linear", 4, 4) for _ in range(COUNT)]
    norms = {name: Unit.of("torch.nn:LayerNorm", 4, eps=2.0**-i) for i, name in enumerate("abc")}
    acts = [Unit.of(f"torch.nn:{name}") for name in ("Tanh", "Sigmoid", "GELU")]
    root.children.update(
        layers=Unit.of("torch.nn:ModuleList", linear),
        norms=Unit.of("torch.nn:ModuleDict", norms),
        acts=Unit.of("torch.nn:Sequential", *acts),
    )
    root.define(UnrolledLoop(seed).f)
    graph = Graph(root)
    lint(graph)
    torch.manual_seed(seed)
    interpreter = Interpreter(graph)
    source = generate(graph)
    model = load_source(source).build()
    model.load_state_dict(interpreter.model.state_dict())
    (total, items), (expected, others) = model(X), interpreter(X)
    is_equal = len(items) == len(others) and all(
        torch.equal(one, other)
        for one, other in zip([total, *items], [expected, *others], strict=True)
    )
    return " in self." in source, not is_equal


def test_random_unrolled_loops_compute_the_same() -> None:
    found = [differences(seed) for seed in range(150)]
    assert not [seed for seed, (_, differs) in enumerate(found) if differs]
    assert sum(has_loop for has_loop, _ in found) > 20
