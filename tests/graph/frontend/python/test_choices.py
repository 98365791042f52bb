"""Questions about open choices: read once, and answered as Python does for each sample."""

import itertools
import linecache
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from snippets import same
from source_rows import rows

from runner import nn
from runner.engines.model_space import ModelSpace
from runner.engines.symbolic_graph import SymbolicGraph
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


class Counting(nn.Module):
    """A candidate with attributes that change."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.calls = 0

    @property
    def gain(self):
        return self.step * 2 if self.training else self.step

    def forward(self, x):
        self.calls += self.step
        return x + self.calls


@dataclass
class Size:
    """A record that holds a choice."""

    width: int


class Named(nn.Module):
    """A candidate with an attribute that is named like one of a choice."""

    kind = "Repeat"

    def forward(self, x):
        return x + 1


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


def mixed(self):
    def block(i):
        return nn.LayerChoice([nn.Linear(4, 4), nn.ReLU()], label=f"b{i}")

    self.blocks = nn.Repeat(block, (1, 2), label="blocks")


def biased(self):
    self.lin = nn.Linear(4, 4, bias=nn.ValueChoice([True, False], label="bias"))
    self.bn = nn.BatchNorm1d(4, affine=nn.ValueChoice([True, False], label="affine"))


def shared(self):
    self.lin = nn.Linear(4, 4)
    self.g = nn.LayerChoice([nn.ReLU(), nn.Linear(4, 4)], label="g")


def listed(self):
    w = nn.ValueChoice([2, 4], label="w")
    self.lin = nn.Linear(4, 4)
    self.sizes = [w, w * 2]
    self.pair = (w, nn.ValueChoice([1, 3], label="v"))


def zero(self):
    self.n = nn.ValueChoice([0, 1, 2], label="n")
    self.lin = nn.Linear(4, 4)


def called(self):
    self.first = Named()
    self.g = nn.LayerChoice([Named(), nn.ReLU()], label="g")


def half(self):
    self.half = 4 // nn.ValueChoice([1, 2], label="n")


def record(self):
    self.size = Size(nn.ValueChoice([2, 4], label="w"))


def wider(self):
    w = nn.ValueChoice([4, 8], label="w")
    self.g = nn.LayerChoice([nn.Linear(4, w), nn.Linear(4, w, bias=False)], label="g")


def changing(self):
    self.g = nn.LayerChoice([Counting(1), Counting(2)], label="g")


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

# repeat: its last
return self.blocks[-1](x)

# repeat: a slice
for block in self.blocks[:2]:
    x = block(x)
return x

# repeat: an item that not all have
return self.blocks[1](x) if len(self.blocks) > 1 else x

# repeat: enumerate
for i, block in enumerate(self.blocks, 1):
    x = block(x) * i
return x

# repeat: enumerate with break
for i, block in enumerate(self.blocks):
    if x.sum() > 0:
        break
    x = block(x) - i
return x, i

# repeat: zip
for block, k in zip(self.blocks, (1, 2)):
    x = block(x) * k
return x

# repeat: enumerate of a zip
for i, (k, block) in enumerate(zip([5, 6, 7, 8], self.blocks)):
    x = block(x) * k + i
return x

# repeat: zip with itself
for one, other in zip(self.blocks, self.blocks):
    x = other(one(x))
return x

# repeat: zip with outputs
ys = [x, x + 1, x + 2]
for block, y in zip(self.blocks, ys):
    x = block(x) + y
return x

# repeat: zip with what is not known
for k, block, y in zip([1, 2, 3], self.blocks, x.unbind()):
    x = block(x) * k + y
return x

# repeat: reversed
for block in reversed(self.blocks):
    x = block(x)
return x

# repeat: a list
blocks = list(self.blocks)
return blocks[-1](x), len(blocks)

# repeat: starred
first, *others = self.blocks
x = first(x)
for block in others:
    x = block(x) * 2
return x

# mixed: a question about a block that not all have
for block in self.blocks:
    x = block(x) * 2 if isinstance(block, nn.Linear) else block(x)
return x

# mixed: any
k = any(isinstance(block, nn.Linear) for block in self.blocks)
return x * 2 if k else x

# shared: is
return self.g(x) * 2 if self.g is self.lin else self.lin(x)

# shared: ==
return self.g(x) * 2 if self.g == self.lin else self.lin(x)

# shared: is not None
return self.g(x) if self.g is not None else x

# biased: is not None
return self.lin(x) * 2 if self.lin.bias is not None else self.lin(x)

# biased: a kind
return self.lin(x) * 2 if isinstance(self.lin.bias, nn.Parameter) else self.lin(x)

# biased: getattr
return x if getattr(self.lin, 'bias', None) is None else x + self.lin.bias

# biased: both
if self.lin.bias is not None and self.bn.weight is not None:
    x = x * 2
return self.bn(self.lin(x))

# listed: an item
return x * self.sizes[1] + len(self.sizes)

# listed: a loop
for k in self.sizes:
    x = x + k
return x

# listed: texts
return x, f'{self.sizes}', '{}'.format(self.sizes), str(self.sizes) == '[2, 4]'

# listed: ==
return x * 2 if self.sizes == [2, 4] else x

# listed: tuples
a, b = self.pair
return x * 2 if (a, b) == (2, 3) else x

# listed: max
return x * max(self.pair)

# listed: in
return x * 2 if 8 in self.sizes else x

# zero: a guarded division
if self.n == 0:
    return x
elif 4 / self.n == 2:
    return x * 2
return x * 3

# zero: a division after and
return x * 2 if self.n and 4 % self.n == 0 else x

# called: a kind
return self.g(self.first(x)) if self.first.kind == 'Repeat' else x

# called: a kind of a candidate
return self.g(x) * 2 if hasattr(self.g, 'kind') else self.g(x)

# half: an attribute with the name of a method
return x * self.half

# record: a field
return x * 2 if self.size.width == 2 else x

# wider: a number of the candidates
return self.g(x) * self.g.out_features

# changing: an attribute that stays
return self.g(x) * self.g.step

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

# values: a range in a zip
for i, k in zip(range(self.depth), (5, 6, 7)):
    x = self.lin(x) + i * k
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
REFUSED = rows("""
# kinds: a text
return self.g(x), str(self.g)  # <- it passes a choice to str()

# kinds: an attribute that is set
self.g.note = 7  # <- it sets 'note' of a choice
return self.g(x)

# kinds: parameters
return self.g(x) * len(list(self.parameters()))  # <- it asks for the parameters() of a choice

# biased: parameters
return self.lin(x) * len(list(self.lin.parameters()))  # <- it asks for the parameters() of a layer

# biased: names
return self.lin(x) * sum(1 for name, _ in self.named_parameters())  # <- it asks for the named_

# changing: an attribute that the candidate sets
y = self.g(x)
return y * self.g.calls  # <- 'calls' of a candidate is not known

# changing: a property
return self.g(x) * self.g.gain  # <- 'gain' of a candidate is not known

# zero: an error that is caught
try:  # <- `try` has no form in a graph
    k = 6 / self.n
except ZeroDivisionError:
    k = 9
return x * k

# listed: wrong arguments
return x * isinstance(self.pair)  # <- TypeError:
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


def check(cls: type[nn.Module], space: ModelSpace, graph: Graph) -> None:
    """Compares the models of all samples with those that Python builds."""
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


@pytest.mark.parametrize("name", FORWARDS)
def test_each_sample_is_answered_as_python_answers(name):
    cls, space = made(name, FORWARDS[name])
    check(cls, space, opened(cls))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_before_the_sample_is_keeps_the_module_whole(name):
    cls, _ = made(name, REFUSED[name])
    with symbolic():
        model = cls()
    graph = convert(model, frontend="python")
    assert graph.root.grade in ("shell", "basic")
    lines = linecache.getlines(f"/spaces/{cls.__module__}.py")
    [(number, why)] = [
        (number, line.partition("# <- ")[2].strip())
        for number, line in enumerate(lines, 1)
        if "# <- " in line
    ]
    assert f"python: {cls.__module__}.py:{number}: {why}" in graph.notes[0].text


@pytest.mark.parametrize("name", FORWARDS)
def test_the_space_is_converted_once(name):
    cls, space = made(name, FORWARDS[name])
    symbolic_graph = SymbolicGraph(
        {"_target_": f"{cls.__module__}.Net"}, [cls.__module__], frontend="python"
    )
    samples = [*space.enumerate()]
    for sample in (samples[0], samples[-1]):
        assert symbolic_graph.resolved(sample).root.grade == "graph"
    assert symbolic_graph.graph is not None, "it is converted per sample"
