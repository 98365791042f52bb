"""First values: source starts from what the model's own constructor starts from, seed for seed."""

import copy
import importlib
import sys

import numpy as np
import pytest
import torch
from torch import nn

from runner.graph import Unit, convert, generate, recording
from runner.graph.codegen.load import load_source
from runner.graph.frontend.initial_values.initial_values import InitialValues
from runner.graph.ir.lint import lint
from runner.nn import symbolic


class Model(nn.Module):
    """Something that draws numbers before and after what a test does in between."""

    def __init__(self):
        super().__init__()
        self.before = nn.Linear(4, 8)
        self.start()
        self.after = nn.Linear(8, 4)

    def start(self):
        raise NotImplementedError

    def forward(self, x):
        return self.after(self.before(x))


def replaced_by_draws(self):
    self.before.weight = nn.Parameter(torch.randn(8, 4) * 0.001)


def replaced_after_deletion(self):
    del self.before.weight
    self.before.weight = nn.Parameter(torch.rand(8, 4))


def replaced_by_another_shape(self):
    self.odd = nn.Linear(2, 2)
    self.odd.bias = nn.Parameter(torch.randn(5))


def scaled_data(self):
    self.before.weight.data = self.before.weight.data * 0.01


def scaled_twice(self):
    self.before.weight.data = self.before.weight.data * 0.5
    with torch.no_grad():
        self.before.weight /= self.before.weight.norm()


def replaced_by_its_own(self):
    self.before.weight = nn.Parameter(self.before.weight.detach().abs() + 1)


def data_filled(self):
    self.before.bias.data = torch.full((8,), 0.5)


def from_numpy(self):
    self.ones = nn.Parameter(torch.from_numpy(np.ones(64, "float32")))
    self.steps = nn.Parameter(torch.from_numpy(np.arange(64, dtype="float32")))
    self.before.bias = nn.Parameter(torch.from_numpy(np.arange(8, dtype="float32")))


def own_generator(self):
    generator = torch.Generator().manual_seed(0)
    self.noise = nn.Parameter(torch.randn(4, generator=generator))
    self.more = nn.Parameter(torch.randn(40, generator=generator))


def cloned(self):
    noise = torch.randn(5, 4)
    self.noise = nn.Parameter(noise.clone())
    self.twin = nn.Parameter(self.before.weight.detach().clone())


def part_filled(self):
    self.weight = nn.Parameter(torch.randn(4, 4))
    with torch.no_grad():
        self.weight[0].fill_(7)
        self.weight[1:, 2] = 3.0


def row_of_an_embedding(self):
    self.embedding = nn.Embedding(5, 4)
    nn.init.normal_(self.embedding.weight)
    with torch.no_grad():
        self.embedding.weight[0].zero_()


def forget_gates(self):
    self.lstm = nn.LSTM(2, 2, num_layers=2)
    for name, weight in self.lstm.named_parameters():
        if "bias" in name:
            weight.data[2:4].fill_(1)
        else:
            nn.init.orthogonal_(weight)


def parts_filled_by_a_function(self):
    self.qkv = nn.Linear(4, 12)
    for part in self.qkv.weight.chunk(3):
        nn.init.xavier_uniform_(part)


def listed_places(self):
    self.weight = nn.Parameter(torch.zeros(4))
    with torch.no_grad():
        self.weight[[0, 2]] = torch.tensor([1.0, 2.0])


def noise_of_its_likeness(self):
    self.weight = nn.Parameter(torch.empty(4, 3))
    self.weight.data.copy_(torch.randn_like(self.weight) * 3)


def normalized(self):
    self.weight = nn.Parameter(torch.randn(4, 3))
    with torch.no_grad():
        self.weight /= self.weight.norm()
        self.weight *= 2


def table_of_sines(self):
    table = torch.zeros(8, 6)
    place = torch.arange(8).float().unsqueeze(1)
    table[:, 0::2] = torch.sin(place * torch.arange(3))
    table[:, 1::2] = torch.cos(place * torch.arange(3))
    self.table = nn.Parameter(table)
    self.register_buffer("other", table.unsqueeze(0), persistent=False)


def filled_in_between(self):
    nn.init.normal_(self.before.weight)
    self.middle = nn.Linear(3, 3)
    self.noise = nn.Parameter(torch.randn(3))
    nn.init.uniform_(self.before.bias)


def filled_twice(self):
    nn.init.orthogonal_(self.before.weight)
    nn.init.xavier_normal_(self.before.weight)


def random_buffers(self):
    self.register_buffer("kept", torch.randn(4))
    self.register_buffer("lost", torch.randn(4), persistent=False)
    self.register_buffer("filled", torch.empty(20))
    nn.init.uniform_(self.filled)


def loaded(self):
    self.twin = nn.Linear(4, 8)
    self.twin.load_state_dict(self.before.state_dict())
    for mine, theirs in zip(self.before.parameters(), self.twin.parameters(), strict=True):
        theirs.data.mul_(0.9).add_(mine.data, alpha=0.1)


def deep_copied(self):
    self.online = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    nn.init.normal_(self.online[0].weight)
    self.target = copy.deepcopy(self.online).requires_grad_(False)


def doubled_parts(self):
    self.one = nn.Linear(4, 4).double()
    self.two = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).to(torch.bfloat16)
    self.three = nn.Linear(2, 2).half()
    nn.init.normal_(self.one.weight)


def doubled_at_the_end(self):
    self.noise = nn.Parameter(torch.randn(3))
    self.register_buffer("mask", torch.ones(3, 3).tril())
    self.before.double()
    self.double()


def inside(self):
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.layer.weight = nn.Parameter(torch.randn(2, 2))

        def forward(self, x):
            return self.layer(x)

    self.inner = Inner()
    with torch.no_grad():
        self.inner.layer.weight[0] = 2.0


EXACT = [replaced_by_draws, replaced_after_deletion, replaced_by_another_shape, scaled_data,
         scaled_twice, replaced_by_its_own, data_filled, from_numpy, own_generator, cloned,
         part_filled, row_of_an_embedding, forget_gates, parts_filled_by_a_function, listed_places,
         noise_of_its_likeness, normalized, table_of_sines, filled_in_between, filled_twice,
         random_buffers, loaded, doubled_parts, doubled_at_the_end,
         inside]  # fmt: skip


def one_tensor_twice(self):
    w = torch.randn(3)
    self.p, self.q = nn.Parameter(w), nn.Parameter(w)


def one_constant_twice(self):
    w = torch.zeros(3)
    self.p, self.q = nn.Parameter(w), nn.Parameter(w)


def of_the_data_of_another(self):
    self.p = nn.Parameter(torch.full((3,), 2.0))
    self.q = nn.Parameter(self.p.data)


def of_another_detached(self):
    self.p = nn.Parameter(torch.randn(3))
    self.q = nn.Parameter(self.p.detach(), requires_grad=False)
    nn.init.normal_(self.q)


def one_tensor_listed_twice(self):
    self.listed = nn.ParameterList([nn.Parameter(w) for w in [torch.ones(3)] * 2])


def parameter_and_buffer(self):
    w = torch.randn(3)
    self.p = nn.Parameter(w)
    self.register_buffer("b", w)


def constant_parameter_and_buffer(self):
    w = torch.ones(3)
    self.p = nn.Parameter(w)
    self.register_buffer("b", w)


def buffer_and_parameter(self):
    w = torch.randn(3)
    self.register_buffer("b", w)
    self.p = nn.Parameter(w)


def two_buffers(self):
    w = torch.randn(3)
    self.register_buffer("b", w)
    self.register_buffer("c", w.detach())


def two_layers(self):
    self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)


def layer_of_the_data_of_another(self):
    two_layers(self)
    self.other.weight = nn.Parameter(self.one.weight.data)


def layer_of_another_detached(self):
    two_layers(self)
    self.other.weight = nn.Parameter(self.one.weight.detach())


def layer_given_the_data_of_another(self):
    two_layers(self)
    self.other.weight.data = self.one.weight.data


def layer_of_the_data_of_a_later_one(self):
    two_layers(self)
    self.one.weight = nn.Parameter(self.other.weight.data)


def layers_inside_of_others(self):
    self.one, self.other = nn.Sequential(nn.Linear(4, 4)), nn.Sequential(nn.Linear(4, 4))
    self.other[0].weight = nn.Parameter(self.one[0].weight.data)
    nn.init.zeros_(self.one[0].bias)


def layer_of_a_parameter(self):
    self.p = nn.Parameter(torch.randn(4, 4))
    self.layer = nn.Linear(4, 4)
    self.layer.weight = nn.Parameter(self.p.data)


def parameter_of_a_layer(self):
    self.layer = nn.Linear(4, 4)
    self.p = nn.Parameter(self.layer.weight.data)


SHARED = [one_tensor_twice, one_constant_twice, of_the_data_of_another, of_another_detached,
          one_tensor_listed_twice, parameter_and_buffer, constant_parameter_and_buffer,
          buffer_and_parameter, two_buffers, layer_of_the_data_of_another,
          layer_of_another_detached, layer_given_the_data_of_another,
          layer_of_the_data_of_a_later_one, layers_inside_of_others, layer_of_a_parameter,
          parameter_of_a_layer]  # fmt: skip


def made(start, *, cast=None):
    """A model whose constructor does this."""
    model = type("Made", (Model,), {"start": start, "__module__": __name__})()
    return model if cast is None else model.to(cast)


def recorded(start, **options):
    with recording():
        return made(start, **options)


def tensors(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def rebuilt(graph, *, seed=5):
    source = generate(graph, standalone=True)
    torch.manual_seed(seed)
    return load_source(source, graph.tensors).build()


def check(graph, expected, *, in_place=True):
    lint(graph)
    for each in (graph, graph.copy()):
        found, wanted = tensors(rebuilt(each)), tensors(expected)
        assert sorted(found) == sorted(wanted)
        assert in_place == (list(found) == list(wanted))
        for name, value in wanted.items():
            assert found[name].dtype == value.dtype, name
            assert found[name].requires_grad == value.requires_grad, name
            assert torch.equal(found[name], value), name


@pytest.mark.parametrize("start", EXACT)
def test_source_starts_from_the_values_of_the_constructor(start):
    graph = convert(recorded(start))
    view = "'other' shares memory with 'table'"  # of table_of_sines
    assert [view in note.text for note in graph.notes] == [True] * (start is table_of_sines)
    torch.manual_seed(5)
    check(graph, made(start), in_place=start is not replaced_after_deletion)


def in_one_memory(model):
    found = {}
    for name, tensor in tensors(model).items():
        found.setdefault(tensor.data_ptr(), set()).add(name)
    return sorted(map(sorted, found.values()))


@pytest.mark.parametrize("start", SHARED)
def test_tensors_in_one_memory_start_equal_and_stay_in_one(start):
    graph = convert(recorded(start))
    assert not graph.notes
    torch.manual_seed(5)
    check(graph, made(start))
    assert in_one_memory(rebuilt(graph)) == in_one_memory(made(start))


@pytest.mark.parametrize("start", [one_tensor_twice, layer_of_the_data_of_another])
def test_tensors_in_one_memory_stay_in_one_where_the_model_was_not_recorded(start):
    model = made(start)
    assert in_one_memory(rebuilt(convert(model))) == in_one_memory(model)


@pytest.mark.parametrize(
    "start", [layer_of_the_data_of_another, layer_of_the_data_of_a_later_one, one_tensor_twice]
)
def test_tensors_that_were_in_one_memory_before_a_cast_start_from_what_they_held(start):
    torch.manual_seed(5)
    model = recorded(start, cast=torch.float64)
    graph = convert(model)
    assert any("the same for every seed" in note.text for note in graph.notes)
    check(graph, model)


def transposed(self):
    two_layers(self)
    self.other.weight = nn.Parameter(self.one.weight.data.t())


def test_a_view_that_gets_memory_of_its_own_is_named():
    model = recorded(transposed)
    graph = convert(model)
    assert any("shares memory with 'one.weight'" in note.text for note in graph.notes)
    assert torch.equal(rebuilt(graph).other.weight, model.other.weight)


def of_a_clone(self):
    self.layer = nn.Linear(4, 4)
    self.p = nn.Parameter(self.layer.weight.data.clone())
    self.register_buffer("b", self.layer.weight.data + 1)


def test_what_nothing_fills_starts_from_what_it_holds(monkeypatch):
    monkeypatch.setattr(InitialValues, "_copy", lambda *_, **__: False)
    model = recorded(of_a_clone)
    graph = convert(model)
    assert "torch.empty" not in generate(graph, standalone=True)
    for name in ("p", "b"):
        assert torch.equal(tensors(rebuilt(graph))[name], tensors(model)[name])
        assert any(
            f"The initial value of '{name}' cannot be written" in note.text for note in graph.notes
        )


@pytest.mark.parametrize("start", [scaled_data, part_filled, random_buffers])
def test_a_space_starts_from_the_values_of_the_constructor(start):
    with symbolic():
        model = made(start)
    graph = convert(model)
    torch.manual_seed(5)
    check(graph, made(start))


def test_a_deep_copy_starts_from_what_it_is_a_copy_of():
    model = rebuilt(convert(recorded(deep_copied)))
    for one, other in zip(model.online.parameters(), model.target.parameters(), strict=True):
        assert torch.equal(one, other)
        assert not other.requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_model_that_was_cast_as_a_whole_is_cast(dtype):
    graph = convert(recorded(random_buffers, cast=dtype))
    torch.manual_seed(5)
    check(graph, made(random_buffers, cast=dtype))


def shared_noise(self):
    noise = torch.empty(4, 4)
    nn.init.orthogonal_(noise)
    self.product = nn.Parameter(noise @ noise.t())


def numpys_noise(self):
    values = np.random.rand(40).astype("float32")
    self.product = nn.Parameter(torch.from_numpy(values))


def listed_noise(self):
    self.product = nn.Parameter(torch.tensor(torch.randn(40).tolist()))


def random_places(self):
    self.product = nn.Parameter(torch.zeros(40))
    with torch.no_grad():
        self.product[torch.randn(40) > 0] = 2.0


def filled_from_numpy(self):
    self.layer = nn.Linear(4, 10, bias=False)
    values = np.random.rand(10, 4).astype("float32")
    self.layer.weight.data.copy_(torch.from_numpy(values))


@pytest.mark.parametrize("start", [shared_noise, numpys_noise, listed_noise, filled_from_numpy])
def test_random_values_that_cannot_be_drawn_again_are_kept_and_named(start):
    model = recorded(start)
    graph = convert(model)
    [note] = graph.notes
    assert "the same for every seed" in note.text
    assert "@basic_unit" in note.text
    name = "layer.weight" if start is filled_from_numpy else "product"
    for seed in (1, 2):
        assert torch.equal(tensors(rebuilt(graph, seed=seed))[name], tensors(model)[name])


def test_a_mask_that_was_drawn_is_drawn_again():
    graph = convert(recorded(random_places))
    torch.manual_seed(5)
    check(graph, made(random_places))


@pytest.mark.parametrize("start", [replaced_by_draws, part_filled])
def test_a_model_that_was_not_recorded_keeps_its_own_parameters(start):
    model = made(start)
    graph = convert(model)
    own = {name for name, _ in model.named_parameters(recurse=False)}
    assert len(graph.notes) == len(own)
    assert all("recording()" in note.text for note in graph.notes)
    found = tensors(rebuilt(graph))
    assert all(torch.equal(found[name], tensors(model)[name]) for name in own)


def test_fills_of_what_is_not_there_any_more_are_left_out():
    def start(self):
        for layer in (self.before,):
            nn.init.zeros_(layer.bias)
            nn.init.ones_(layer.weight)
            layer.weight.data[6:].fill_(3)

    graph = convert(recorded(start))
    graph.unit("before").set_argument("bias", False)
    lint(graph)
    model = rebuilt(graph)
    assert model.before.bias is None
    assert model.before.weight[7].eq(3).all()
    narrow = convert(recorded(replaced_by_draws))
    narrow.unit("before").set_argument("in_features", 2)
    assert rebuilt(narrow).before.weight.shape == (8, 2)


def test_a_value_of_a_layer_that_was_replaced_is_left_out():
    graph = convert(recorded(loaded))
    graph.replace("before", Unit.of("torch.nn:Linear", 4, 8))
    lint(graph)
    rebuilt(graph)


class Numbers(nn.Module):
    """Holds a buffer that it leaves to others."""

    def __init__(self):
        super().__init__()
        self.register_buffer("order", torch.empty(3, dtype=torch.int64), persistent=False)

    def forward(self, x):
        return x[self.order]


class Filling(nn.Module):
    """Fills the buffer of a module below."""

    def __init__(self):
        super().__init__()
        self.numbers = Numbers()
        self.layer = nn.Linear(4, 4)
        grid = torch.meshgrid(torch.arange(3), torch.arange(1), indexing="ij")
        self.numbers.order.copy_(2 - torch.stack(grid).sum(0).flatten())

    def forward(self, x):
        return self.layer(self.numbers(x))


@pytest.mark.parametrize(
    "sign", ["+=", "-=", "*=", "//=", "%=", "**=", "&=", "|=", "^=", "<<=", ">>="]
)
def test_a_buffer_that_an_assignment_changes_starts_changed(sign, tmp_path, monkeypatch):
    lines = ["from torch import arange, nn", "class Changed(nn.Module):", "  def __init__(self):"]
    lines += ["    super().__init__()", "    self.register_buffer('steps', arange(1, 7))"]
    lines += ["    self.register_buffer('mask', self.steps % 2)"]
    lines += [f"    self.steps {sign} 2", f"    self.mask {sign} self.mask + 1"]
    lines += ["  def forward(self, x):", "    return x + self.steps + self.mask"]
    (tmp_path / "augmented_start.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "augmented_start", raising=False)
    importlib.invalidate_caches()
    with recording():
        model = importlib.import_module("augmented_start").Changed()
    graph = convert(model)
    twin = load_source(generate(graph, standalone=True), graph.tensors).build()
    assert torch.equal(twin(torch.zeros(6)), model(torch.zeros(6)))


@pytest.mark.parametrize("standalone", [False, True])
def test_a_buffer_that_a_module_above_fills_is_filled_there(standalone):
    with recording():
        graph = convert(Filling())
    graph.replace("layer", Unit.of("torch.nn:Identity"))
    model = load_source(generate(graph, standalone=standalone), graph.tensors).build()
    assert model.numbers.order.tolist() == [2, 1, 0]


class Zeros(Model):
    def start(self):
        nn.init.zeros_(self.before.weight)


def test_a_model_may_be_converted_while_it_is_still_recorded():
    with recording():
        graph = convert(Zeros())
    graph.replace("after", Unit.of("torch.nn:Identity"))
    model = load_source(generate(graph), graph.tensors).build()
    assert not model.before.weight.any()


class Unwritten(nn.Module):
    """Holds memory that nothing was written to."""

    def __init__(self):
        super().__init__()
        self.register_buffer("held", torch.empty(64))
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x) + self.held[0]


def test_memory_that_holds_something_by_chance_is_written_down():
    with recording():
        model = Unwritten()
    graph = convert(model)
    graph.replace("layer", Unit.of("torch.nn:Identity"))
    assert "empty" not in generate(graph)
    made = load_source(generate(graph), graph.tensors).build()
    assert torch.equal(made.held.nan_to_num(), model.held.nan_to_num())
