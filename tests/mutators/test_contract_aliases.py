"""Without a layer, every value is a tensor of its own, unless the model itself shares it."""

import importlib.util
import itertools
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from runner.graph import Graph, Mutator, Unit, convert, generate, lint, load_source, recording
from runner.graph.interpreter.interpreter import Interpreter
from runner.graph.transforms.mutator import mutate
from runner.graph.validation import in_place_effects
from runner.graph.validation.in_place_effects import EffectsValidation
from runner.mutators.bypass import Bypass
from runner.mutators.depth import Depth
from runner.mutators.insert import Insert
from runner.mutators.remove import Remove
from runner.mutators.replace import Replace
from runner.mutators.skip import Skip
from runner.space.sample import Walk

HEAD = """
import torch
from torch import Tensor, nn

def helper(v: Tensor) -> Tensor:
    w = v.view(8)
    return w.view(2, 4)

class Child(nn.Module):
    def forward(self, v):
        return v.reshape(2, 4)

class Writer(nn.Module):
    def forward(self, v):
        v[:, 1:].mul_(1.5)
        return v

class Unread(nn.Module):
    def forward(self, *v):
        return v[0].add_(0.25).view(2, 4)

class Wrap(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.Sigmoid()

    def forward(self, v):
        return self.act(v)

class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)
        self.act, self.wrap = nn.Sigmoid(), Wrap()
        self.body = nn.Sequential(nn.Sigmoid())
        self.relu, self.same = nn.ReLU(inplace=True), nn.Identity()
        self.child, self.writer, self.unread = Child(), Writer(), Unread()
        self.order = nn.Sequential(nn.Identity(), nn.Hardtanh(-0.5, 0.5, inplace=True))
"""
VIEWS = (
    """
b.adjoint()|torch.atleast_1d(b)|torch.atleast_2d(b)|torch.atleast_3d(b)|b.as_strided([2], [1])
torch.broadcast_tensors(b, x)[0]|b.broadcast_to([2, 4])|torch.cartesian_prod(b[0])|b.chunk(2)[0]
b.conj()|torch.conj_physical(b)|b.contiguous()|b.data|b.detach()|b.diagonal()|b.expand(1, 2, 4)
torch.dropout(b, 0.5, False)|nn.functional.dropout(b, 0.0, self.training)|b.expand_as(x)|b.float()
torch.einsum('ij->ji', b)|b.flatten()|b.H|torch.hsplit(b, 2)[0]|torch.linalg.diagonal(b)|b.mT
torch.meshgrid(b[0], indexing='ij')[0]|b.moveaxis(0, 1)|b.movedim(0, 1)|b.narrow(1, 0, 2)|b.T
b.permute(1, 0)|b.positive()|+b|b.ravel()|b.real|torch.real(b)|b.reshape(-1)|b.reshape_as(x)
b.resolve_conj()|b.resolve_neg()|b.select(0, 1)|b.split(1)[0]|b.split([1, 1])[1]|b.squeeze()
b.sum_to_size([2, 4])|b.swapaxes(0, 1)|b.swapdims(0, 1)|b.t()|b.tensor_split(2)[0]|b.unbind(0)[0]
b.to(torch.float32)|b.to(x)|b.transpose(0, 1)|b.type(torch.float32)|b.type_as(x)|b.to_dense()
b.unflatten(1, [2, 2])|b.unfold(1, 2, 2)|torch.unsafe_chunk(b, 2)[0]|torch.unsafe_split(b, 1)[0]
b.unsqueeze(0)|torch.unsqueeze(b, 0)|b.view(-1)|b.view_as(x)|torch.vsplit(b, 2)[0]|b[0]|b[..., None]
torch.view_as_real(torch.view_as_complex(b.view(2, 2, 2)))|torch.squeeze(b)|b.view(8)[1:].t()
[b, x][0]|(b, x)[0]|{'k': b}['k']|[t for t in b][0]|helper(b)|self.child(b)|self.same(b)
self.order[0](b)|b if self.training else b.t()|(b if x.sum() > 1e9 else b)|[[b], [x]][0][0]
torch.as_tensor(b)|self.unread(b)|self.writer(b)|([x] + [b])[1]
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
WRITES = [
    *("v.add_(1)", "v += 0.5", "v *= 2.0", "v[0] = 5.0", "v[...] = 0.25", "v[0] += 1"),
    *("torch.add(v, 1, out=v)", "v.copy_(v * 2)", "nn.functional.relu_(v.sub_(1))", "v.zero_()"),
    *("nn.functional.hardtanh(v, 0.0, 0.1, inplace=True)", "self.relu(v.neg_())"),
    *("v.data.mul_(3)", "self.order(v.mul_(9))", "torch.mul(v, 2, out=v.view(v.shape))"),
]


class Copies(nn.Module):
    """What is there without a layer, where every value is a tensor of its own."""

    def forward(self, x):
        return x.clone()


class Adds(nn.Module):
    """A layer with a skip around it."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        before = x.clone()
        return self.layer(x) + before


class Raw(Mutator):
    """Rewires by hand, and thinks of no effects."""

    def mutate(self, graph):
        for unit, node in graph.nodes(op="call_module"):
            if node.path == "act":
                node.output.replace_all_uses_with(node.args[0])
                unit.forward.erase_node(node)


MUTATIONS = {
    "remove": (lambda path: Remove(on=path, remove=True), lambda _: Copies()),
    "bypass": (lambda path: Bypass(on=path, bypass=True), lambda _: Copies()),
    "identity": (lambda path: Replace(on=path, replace="Identity"), lambda _: Copies()),
    "dropout": (lambda path: Replace(on=path, replace=partial(nn.Dropout, p=0.0)),
                lambda _: Copies()),
    "skip": (lambda path: Skip(on=path, skip=True), Adds),
    "depth": (lambda _: Depth(on="body", depth=0), lambda _: Copies()),
    "inplace": (lambda path: Replace(on=path, replace=partial(nn.ReLU, inplace=True)),
                lambda _: nn.ReLU()),
    "raw": (lambda _: Raw(), lambda _: Copies()),
}  # fmt: skip
PATHS = {"act": "act", "wrap": "wrap.act", "body": "body.0"}  # what is called, and its layer


def classes(folder: Path, bodies: list[str]) -> list[type[nn.Module]]:
    """Modules with these forwards, from a file, so that their source can be read."""
    parts = [HEAD]
    for number, body in enumerate(bodies):
        lines = "".join(f"        {line}\n" for line in body.splitlines())
        parts.append(f"class P{number}(Base):\n    def forward(self, x):\n{lines}")
    name = f"aliases_{abs(hash(tuple(bodies)))}"
    path = folder / f"{name}.py"
    path.write_text("\n".join(parts))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return [getattr(module, f"P{number}") for number in range(len(bodies))]


def mutated(model: nn.Module, mutator: Mutator, *, validated: bool) -> Graph:
    base = convert(model)
    base.example = (4,)
    graph = base.copy()
    mutate(graph, [mutator], Walk(lambda choice: choice.default), base=base)
    if validated:
        EffectsValidation().validate(base, graph)
    lint(graph, decided=True)
    return graph


def check(cls: type[nn.Module], path: str, word: str, *, validated: bool = False) -> None:
    """A mutated model gives what the model gives with something else by hand in the same place."""
    make, instead = MUTATIONS[word]
    torch.manual_seed(0)
    with recording():
        model = cls()
    graph = mutated(model, make(path), validated=validated)
    ours = load_source(generate(graph), graph.tensors).build()
    ours.load_state_dict(model.state_dict(), strict=False)
    above, _, name = path.rpartition(".")
    owner = model.get_submodule(above)
    owner._modules[name] = instead(owner._modules[name])
    for training in (True, False):
        x = torch.randn(2, 4)
        with torch.no_grad():
            found, right = ours.train(training)(x.clone()), model.train(training)(x.clone())
        torch.testing.assert_close(found, right, msg=lambda m: f"{m}\n{generate(graph)}")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    bodies = [
        f"a = self.lin(x)\nb = self.{called}(a)\nv = {view}\n{write}\nreturn a + b + v.sum()"
        for view, write, called in zip(
            VIEWS, itertools.cycle(WRITES), itertools.cycle(["act", "wrap", "body"])
        )
    ]
    return classes(tmp_path_factory.mktemp("views"), bodies)


RARE = {
    *("rename", "refine_names", "align_to", "coalesce", "indices", "values", "crow_indices"),
    *("col_indices", "ccol_indices", "row_indices", "pin_memory", "slice_inverse", "dsplit"),
    *("split_with_sizes", "cpu", "cuda"),
}  # of sparse or named tensors, of three dimensions, of other devices


def test_the_table_has_every_view_of_a_tensor_that_torch_names():
    names = {
        schema.name.removeprefix("aten::")
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.startswith("aten::") and schema.name[-1] != "_" and schema.name[6] != "_"
        if any(a.name == "self" and a.type.kind() == "TensorType" for a in schema.arguments)
        if any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
    }
    public = {name for name in names if callable(getattr(torch.Tensor, name, None))}
    assert not {name for name in public - RARE if name not in " ".join(VIEWS)}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", range(len(VIEWS)), ids=VIEWS)
def test_no_view_is_missed(table, number):
    called = [*PATHS][number % 3]
    words = ["remove", "bypass", "identity", "skip"]
    word = "depth" if called == "body" else words[number % 4]
    check(table[number], PATHS[called], word)


@pytest.mark.parametrize("word", [*MUTATIONS])
@pytest.mark.parametrize(
    "body",
    [
        "b = self.act(a)\nc = torch.hsplit(b, 2)[0]\nc.add_(1)",
        "b = self.act(a)\na.mul_(3)",
        "v = a.view(-1)\nb = self.act(a)\nv.mul_(3)",
        "b = self.act(a)\nif x.sum() > -1e9:\n    b.mul_(3)",
        "b = a + 1\nfor i in range(2):\n    b = self.act(a)\n    b.add_(a)",
    ],
)
def test_every_mutation_is_mended_by_validation_at_the_latest(tmp_path, body, word):
    called = "body" if word == "depth" else "act"
    body = body.replace("self.act", f"self.{called}")
    text = f"a = self.lin(x)\n{body}\nreturn a + b"
    check(*classes(tmp_path, [text]), PATHS[called], word, validated=True)


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("called", ["same", "relu"])
def test_what_the_model_itself_shares_stays_shared(tmp_path, called, validated):
    (cls,) = classes(tmp_path, [f"a = self.lin(x)\nb = self.{called}(a)\nb.add_(1)\nreturn a + b"])
    with recording():
        model = cls()
    graph = mutated(model, Remove(on=called, remove=True), validated=validated)
    assert "clone" not in generate(graph)
    setattr(model, called, nn.Identity())
    ours = load_source(generate(graph), graph.tensors).build()
    ours.load_state_dict(model.state_dict())
    x = torch.randn(2, 4)
    torch.testing.assert_close(ours(x), model(x))


def test_a_raw_mutation_that_shares_nothing_gets_no_copy(tmp_path):
    (cls,) = classes(tmp_path, ["a = self.lin(x)\na.mul_(3)\nb = self.act(a)\nreturn a + b"])
    with recording():
        model = cls()
    assert "clone" not in generate(mutated(model, Raw(), validated=True))


def test_a_module_that_is_put_somewhere_by_hand_works_on_a_copy(tmp_path):
    (cls,) = classes(tmp_path, ["a = self.lin(x)\nreturn a + self.body(a)"])
    with recording():
        model = cls()
    graph = mutated(model, Put(), validated=True)
    assert "inplace=True" not in str(graph.unit("body.0").call)


class Put(Mutator):
    """Puts a layer that works in place somewhere by hand."""

    def mutate(self, graph):
        graph.replace("body.0", Unit.of("torch.nn:ReLU", inplace=True))


@pytest.fixture
def runs(monkeypatch):
    """What validation found each time that it ran a model."""
    found, original = [], in_place_effects._needed

    def needed(*given):
        found.append(original(*given))
        return found[-1]

    monkeypatch.setattr(in_place_effects, "_needed", needed)
    return found


def validated(base: Graph, effects: EffectsValidation, *mutators: Mutator) -> str:
    graph = base.copy()
    mutate(graph, [*mutators], Walk(lambda choice: choice.default), base=base)
    effects.validate(base, graph)
    return generate(graph)


def test_a_mutation_is_validated_once_and_mended_each_time(tmp_path, runs):
    (cls,) = classes(tmp_path, ["a = self.lin(x)\nb = self.act(a)\nb.add_(1)\nreturn a + b"])
    with recording():
        base = convert(cls())
    base.example = (4,)
    effects = EffectsValidation()
    sources = {validated(base, effects, Raw()) for _ in range(3)}
    assert len(sources) == len(runs) == 1
    assert "clone" in sources.pop() and runs[0]


def test_mutations_that_are_right_alone_are_validated_together(tmp_path, runs):
    (cls,) = classes(tmp_path, ["a = self.lin(x)\nb = self.act(a)\nreturn a + self.body(b)"])
    with recording():
        base = convert(cls())
    base.example = (4,)
    effects = EffectsValidation()
    assert "clone" not in validated(base, effects, Raw())
    assert "inplace=True" in validated(base, effects, Put())
    assert not any(runs)
    both = validated(base, effects, Raw(), Put())
    assert "clone" in both or "inplace=True" not in both


def test_an_inserted_layer_changes_nothing_but_what_it_gives(tmp_path):
    (cls,) = classes(tmp_path, ["a = self.lin(x)\nreturn a - self.act(a)"])
    with recording():
        model = cls()
    insert = Insert(on="act", insert=partial(nn.ReLU, inplace=True), where="input")
    graph = mutated(model, insert, validated=False)
    ours = load_source(generate(graph), graph.tensors).build()
    ours.load_state_dict(model.state_dict())
    a = model.lin(x := torch.randn(2, 4))
    torch.testing.assert_close(ours(x), a - model.act(a.relu()))


# Random programs

SAME_SHAPE = [
    *("{v}.t().t()", "{v}.view(2, 4)", "{v}[:, :]", "{v}.hsplit(1)[0]", "torch.chunk({v}, 1)[0]"),
    *("{v}.unsqueeze(0).squeeze(0)", "torch.broadcast_tensors({v}, x)[0]", "{v}.contiguous()"),
    *("[{v}, x][0]", "helper({v})", "self.child({v})", "({v}, x)[0]", "{v}.ravel().view(2, 4)"),
    *("{v}.real", "{v}.squeeze()", "{v}.view_as(x)", "self.writer({v})", "self.same({v})"),
    *("{v} * 2", "torch.tanh({v})", "{v} + {w}", "{v}.clone()", "self.lin({v})"),
]
CHANGES = [
    *("{v}.add_(1)", "{v} += 0.5", "{v}[0] = 0.3", "{v}[:, 1:].mul_(2)", "self.relu({v})"),
    *("self.order({v})", "torch.add({v}, 1, out={v})", "{v} *= {w}", "self.writer({v})"),
    *("{v}.t()[0].zero_()", "{v}.copy_({w} * 2)", "torch.mul({v}, 2, out={v}.view(2, 4))"),
    "if x.sum() > {c}:\n    {v}.add_(1)\nelse:\n    {v} = {w}.view(2, 4)",
    "for i in range(2):\n    {v}.mul_(2)\n    {v} = {v}.view(2, 4)",
]


@st.composite
def programs(draw):
    """A forward, what it calls as a layer, and a mutation of that."""
    lines, values = ["t0 = self.lin(x)"], ["t0"]
    called = draw(st.sampled_from([*PATHS]))
    count = draw(st.integers(3, 8))
    place = draw(st.integers(0, count - 2))
    for step in range(count):
        names = {"v": draw(st.sampled_from(values)), "w": draw(st.sampled_from(values)),
                 "c": draw(st.sampled_from(["-1e9", "1e9"]))}  # fmt: skip
        if step != place and draw(st.booleans()):
            lines.append(draw(st.sampled_from(CHANGES)).format(**names))
            continue
        made = f"self.{called}({{v}})" if step == place else draw(st.sampled_from(SAME_SHAPE))
        values.append(f"t{len(values)}")
        lines.append(f"{values[-1]} = {made.format(**names)}")
    lines.append("return " + " + ".join(f"{v} * {i}" for i, v in enumerate(values, 1)))
    words = ["remove", "bypass", "identity", "skip", *(["depth"] if called == "body" else [])]
    return "\n".join(lines), called, draw(st.sampled_from(words)), draw(st.booleans())


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(programs())
def test_random_programs_compute_what_they_say(tmp_path_factory, program):
    body, called, word, validated = program
    (cls,) = classes(tmp_path_factory.getbasetemp(), [body])
    assume(_is_read_as_written(cls()))  # else the unit is kept whole
    check(cls, PATHS[called], word, validated=validated)


def _is_read_as_written(model: nn.Module) -> bool:
    x = torch.randn(2, 4)
    with torch.no_grad():
        found = Interpreter(convert(model)).load_state_dict(model.state_dict())(x.clone())
        return torch.allclose(found, model(x.clone()))
