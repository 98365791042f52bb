"""Questions about open choices: read once, and answered as Python does for each sample."""

import itertools
import linecache
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from snippets import same
from source_rows import rows

from runner import nn
from runner.engines.model_space import ModelSpace
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import convert
from runner.graph.ir.graph import Graph
from runner.graph.ir.lint import lint
from runner.graph.transforms.resolve_choices import decided
from runner.nested import rebuild
from runner.nn.symbolic import symbolic
from runner.nn.values.build import sample as building
from runner.nn.values.value import is_decided
from runner.space.sample import lookup


class Plain(nn.Module):
    """A candidate with an attribute, and a method."""

    kind = "plain"

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.width = width
        self.sizes = [1] * width

    def twice(self, x):
        return self.inner(self.inner(x))

    def forward(self, x):
        return self.inner(x) + 1


class Space(nn.Module):
    """One choice, or two; its forward asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.build()


def kinds(self):
    parts = {"plain": Plain(), "linear": nn.Linear(4, 4), "relu": nn.ReLU()}
    self.g = nn.LayerChoice(parts, label="g")


def plains(self):
    self.g = nn.LayerChoice([Plain(2), Plain(3)], label="g")


def repeat(self):
    self.blocks = nn.Repeat(lambda i: nn.Linear(4, 4), (1, 3), label="blocks")


def values(self):
    self.depth = nn.ValueChoice([1, 2, 3], label="depth")
    self.flag = nn.ValueChoice([True, False], label="flag")
    self.lin = nn.Linear(4, 4)


def maybe(self):
    self.x = nn.ValueChoice([None, 2, 0], label="x")
    self.how = nn.ValueChoice(["sum", "mean"], label="how")


def wide(self):
    self.lin = nn.Linear(4, nn.ValueChoice([4, 8, 12], label="wide"))


def several(self):
    self.parts = nn.ModuleList(
        [nn.LayerChoice([nn.Linear(4, 4), nn.ReLU()], label=f"p{i}") for i in range(2)]
    )


def nested(self):
    inner = nn.Repeat(lambda i: nn.Linear(4, 4), (0, 2), label="inner")
    self.g = nn.LayerChoice({"repeat": inner, "plain": Plain()}, label="g")


FORWARDS = rows("""
# kinds: isinstance
return self.g(x) * 3 if isinstance(self.g, Plain) else self.g(x)

# kinds: isinstance of two
if isinstance(self.g, (Plain, nn.Linear)):
    x = x + 1
return self.g(x)

# kinds: isinstance, with a return
if not isinstance(self.g, Plain):
    return self.g(x)
x = x * 2
return self.g(x) + 1

# kinds: type
return self.g(x) * 3 if type(self.g) is Plain else self.g(x)

# kinds: hasattr
y = self.g(x)
if hasattr(self.g, 'in_features'):
    y = y * self.g.in_features
return y

# kinds: by another name
g = self.g
if hasattr(g, 'kind'):
    x = x + 1
return g(x)

# kinds: and data
if isinstance(self.g, Plain) and x.sum() > 0:
    x = x * 2
return self.g(x)

# kinds: in a loop
for i in range(3):
    if isinstance(self.g, Plain):
        continue
    x = x + i
return self.g(x)

# plains: an attribute
return self.g(x) * self.g.width

# plains: an attribute in a condition
if self.g.width > 2:
    x = x * 2
return self.g(x)

# plains: an attribute of the class
return self.g(x), self.g.kind

# plains: an attribute as a range
for i in range(self.g.width):
    x = x + i
return self.g(x)

# repeat: len
return self.blocks(x) * len(self.blocks)

# repeat: a loop
for block in self.blocks:
    x = block(x)
return x

# repeat: a loop with break
for block in self.blocks:
    x = block(x)
    if x.sum() > 0:
        break
return x

# repeat: a loop with continue
for block in self.blocks:
    if x.sum() > 0:
        x = -x
        continue
    x = block(x)
return x

# repeat: a loop with return
for block in self.blocks:
    x = block(x)
    if x.sum() > 0:
        return x
return -x

# repeat: a loop with else
for block in self.blocks:
    x = block(x)
    if x.sum() > 0:
        break
else:
    x = x * 100
return x

# repeat: a loop into a list
ys = []
for block in self.blocks:
    x = block(x)
    ys.append(x)
return ys

# repeat: a comprehension
return [block(x) for block in self.blocks]

# repeat: a question of its length
if len(self.blocks) > 1:
    x = x * 2
return self.blocks(x)

# repeat: its first
return self.blocks[0](x)

# values: ==
if self.depth == 2:
    x = x * 2
return self.lin(x) * self.depth

# values: in
if self.depth in (1, 3):
    x = x * 2
return x

# values: not
if not self.flag:
    x = x * 2
return x

# values: with a return
if self.flag:
    return x
return -x

# values: and
if self.flag and self.depth > 1:
    x = x * 2
return x, self.flag or self.depth

# values: a chain
return x * 2 if 1 < self.depth < 3 else x

# values: a range
for i in range(self.depth):
    x = self.lin(x) + i
return x

# values: a while
i = 0
while i < self.depth:
    x = self.lin(x)
    i += 1
return x

# values: arithmetic
k = self.depth * 2 + 1
return x * k if k % 3 else x, k // 2, -k, self.depth

# values: an argument
def f(y, k):
    return y if k == 1 else y * k
return f(x, self.depth)

# values: an index
ys = [x, x * 2, x * 3]
return ys[self.depth - 1]

# values: an f-string
return x, f'{self.depth}'

# values: elif
if self.depth == 1:
    y = x
elif self.depth == 2:
    y = x * 2
else:
    y = x * 3
return y

# values: match
match self.depth:
    case 1:
        return x
    case 2:
        return -x
return x * 5

# values: a raise
if self.depth > 5:
    raise ValueError('deep')
assert self.depth < 5
return x

# values: set
self.depth = self.depth + 1
return x * self.depth

# maybe: is None
if self.x is None:
    return x
return x * self.x

# maybe: is not None
return x * self.x if self.x is not None else x

# maybe: or
return x * (self.x or 5), self.x

# maybe: a truth
if self.x:
    x = x * self.x
return x

# maybe: a text
if self.how == 'sum':
    x = x.sum()
else:
    x = x.mean()
return x

# maybe: an entry
return {'sum': torch.sum, 'mean': torch.mean}[self.how](x)

# wide: an attribute of a layer
y = self.lin(x)
if self.lin.out_features > 8:
    y = y * 2
return y

# wide: a number of a layer
return self.lin(x) / self.lin.out_features

# wide: a weight of a layer
return self.lin(x), self.lin.weight.sum(), self.lin.weight.shape[0]

# several: in a loop
for part in self.parts:
    x = part(x)
    if isinstance(part, nn.Linear):
        x = x * 2
return x

# several: any
k = sum(isinstance(part, nn.ReLU) for part in self.parts)
for part in self.parts:
    x = part(x)
return x * k
""")
INPUTS = [torch.linspace(-1, 1, 8).view(2, 4), torch.linspace(2, -3, 8).view(2, 4)]
_HEAD = """
import torch
from runner import nn
class Net(Space):
    build = build
    def forward(self, x):
"""
_numbers = itertools.count()


def made(name: str, body: str) -> tuple[type[nn.Module], ModelSpace]:
    """The class of a space whose forward has this body, and its samples."""
    file = f"/spaces/space_{next(_numbers)}.py"
    text = _HEAD + "".join(f"        {line}\n" for line in body.splitlines())
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    module = sys.modules[Path(file).stem] = types.ModuleType(Path(file).stem)
    vars(module).update(Space=Space, Plain=Plain, build=globals()[name.partition(":")[0]])
    exec(compile(text, file, "exec"), vars(module))
    target = f"{module.__name__}.Net"
    return module.Net, ModelSpace({"_target_": target}, [module.__name__])


def opened(cls: type[nn.Module]) -> Graph:
    with symbolic():
        model = cls()
    graph = convert(model, frontend="python")
    if graph.root.grade != "graph" or graph.notes:
        pytest.fail("\n".join(map(str, graph.notes)), pytrace=False)
    lint(graph)
    return graph


def plain(output: Any) -> Any:
    """An output with numbers in place of values that a sample decided."""
    return rebuild(output, lambda leaf: leaf() if is_decided(leaf) else leaf)


@pytest.mark.parametrize("name", FORWARDS)
def test_each_sample_is_answered_as_python_answers(name):
    cls, space = made(name, FORWARDS[name])
    graph = opened(cls)
    for sample in space.enumerate():
        with building(sample):
            fixed = cls()
        found = decided(graph, lookup(sample))
        lint(found, decided=True)
        text = generate(found, standalone=True)
        twin = load_source(text, found.tensors).build()
        assert [*twin.state_dict()] == [*fixed.state_dict()], f"{sample}\n{text}"
        twin.load_state_dict(fixed.state_dict())
        for x in INPUTS:
            ours, theirs = twin(x), plain(fixed(x))
            assert same(ours, theirs), f"{sample}: {theirs} became {ours}\n{text}"
