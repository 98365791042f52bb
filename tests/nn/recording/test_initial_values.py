"""The recorder of initial values: done again in its order, it gives the same model."""

import copy
import math

import pytest
import torch
from torch import nn

from runner.nn import basic_unit, symbolic
from runner.nn.recording.construction_record import record_of, recording
from runner.nn.recording.initial_values import Fill, Owned, RecordedCall
from runner.nn.values.build import is_leaf
from spaces.transformer import Transformer


def text(value):
    """A call as one would write it."""
    if isinstance(value, RecordedCall):
        arguments = [*map(text, value.args)]
        arguments += [f"{name}={text(item)}" for name, item in value.kwargs.items()]
        return f"{value.target}({', '.join(arguments)})"
    if isinstance(value, Owned):
        return f"<{type(value.owner).__name__}.{value.name}>"
    return repr(value)


def fill_text(fill: Fill):
    arguments = [*map(text, fill.args)]
    arguments += [f"{name}={text(item)}" for name, item in fill.kwargs.items()]
    return f"{fill.name} {fill.target}({', '.join(arguments)})"


def recorded(factory):
    with recording():
        return factory()


class Replay:
    """Makes the tensors of a recorded model anew: leaves, origins and fills in their order."""

    def __init__(self, model):
        self.tensors = {}
        steps = []
        for module in dict.fromkeys(_units(model)):
            record = record_of(module)
            if is_leaf(type(module)):
                steps.append((record.order, self._construct, (module, record)))
            for name, made in record.origins.items():
                order = made.order if isinstance(made, RecordedCall) else math.inf
                steps.append((order, self._make, (module, name, made)))
            steps += [(fill.order, self._fill, (fill,)) for fill in record.fills]
        for _, step, arguments in sorted(steps, key=lambda step: step[0]):
            step(*arguments)

    def _construct(self, module, record):
        again = type(module)(*record.args, **record.kwargs)
        for (_, new), (_, old) in zip(again.named_modules(), module.named_modules(), strict=True):
            for name, tensor in (*new.named_parameters(recurse=False), *new.named_buffers()):
                self.tensors[old, name] = tensor.detach()

    def _make(self, module, name, made):
        self.tensors[module, name] = self._value(made)

    def _fill(self, fill):
        assert fill.repeatable
        tensor = self.tensors[fill.owner, fill.name]
        for step in fill.part:
            tensor = step.function(tensor, *map(self._value, step.args), **step.kwargs)
        kwargs = {name: self._value(value) for name, value in fill.kwargs.items()}
        fill.function(tensor, *map(self._value, fill.args), **kwargs)

    def _value(self, value):
        if isinstance(value, Owned):
            return self.tensors[value.owner, value.name]
        if isinstance(value, RecordedCall):
            kwargs = {name: self._value(item) for name, item in value.kwargs.items()}
            return value.function(*map(self._value, value.args), **kwargs)
        if isinstance(value, tuple | list):
            return type(value)(map(self._value, value))
        return value


def _units(module):
    yield module
    if not is_leaf(type(module)):
        for child in module.children():
            yield from _units(child)


def check_replay(factory):
    torch.manual_seed(7)
    model = recorded(factory)
    torch.manual_seed(7)
    again = Replay(model).tensors
    for path, module in model.named_modules():
        own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
        for name, tensor in own:
            assert torch.equal(again[module, name], tensor), f"{path}.{name}"
    return model


class Net(nn.Module):
    """What vision transformers do to their parameters."""

    def __init__(self, width=8):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, 5, width) * 0.02)
        self.scale = nn.Parameter(1e-5 * torch.ones(width))
        self.shift = nn.Parameter(torch.empty(width))
        self.register_buffer("mask", torch.tril(torch.ones(4, 4)).view(1, 1, 4, 4))
        self.register_buffer("steps", torch.arange(8).float())
        self.register_buffer("nothing", None)
        self.block = nn.TransformerEncoderLayer(width, 2, batch_first=True)
        self.head = nn.Linear(width, 3)
        nn.init.trunc_normal_(self.position, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        nn.init.orthogonal_(self.head.weight, gain=0.5)
        self.shift.data.uniform_(-1, 1)
        self.apply(self._initialize)
        with torch.no_grad():
            self.head.weight.mul_(0.5).add_(1)

    def _initialize(self, module):
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Residual(nn.Module):
    """What torchvision does to a ResNet, which is set to do nothing at first."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) for _ in range(2))
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, 1)
                nn.init.constant_(module.bias, 0)
        for block in self.blocks:
            nn.init.constant_(block[1].weight, 0)


def test_origins_are_the_calls_that_made_a_tensor():
    model = recorded(Net)
    assert {name: text(made) for name, made in record_of(model).origins.items()} == {
        "cls_token": "torch:zeros(1, 1, 8)",
        "position": ".mul(torch:randn(1, 5, 8), 0.02)",
        "scale": ".mul(torch:ones(8), 1e-05)",
        "shift": "torch:empty(8)",
        "mask": ".view(torch:tril(torch:ones(4, 4)), 1, 1, 4, 4)",
        "steps": ".float(torch:arange(8))",
    }
    assert record_of(model.head).origins == {}, "its constructor makes its tensors"
    assert record_of(model).origins["position"].random
    assert not record_of(model).origins["scale"].random


def test_fills_are_in_order_and_say_whose_they_are():
    model = recorded(Net)
    fills = [fill for fill in record_of(model).fills if fill.owner in (model, model.head)]
    assert [fill_text(fill) for fill in fills] == [
        "position torch.nn.init:trunc_normal_(std=0.02)",
        "cls_token torch.nn.init:normal_(std=1e-06)",
        "weight torch.nn.init:orthogonal_(gain=0.5)",
        "shift .uniform_(-1, 1)",
        "weight torch.nn.init:trunc_normal_(std=0.02)",
        "bias torch.nn.init:zeros_()",
        "weight .mul_(0.5)",
        "weight .add_(1)",
    ]
    assert {fill.scope for fill in fills} == {model}
    assert {fill.place for fill in fills} == {9}
    assert all(fill.repeatable for fill in fills)
    assert [fill.overwritten for fill in fills] == [False, False, True, False] + [False] * 4
    assert [fill.random for fill in fills] == [True] * 5 + [False] * 3


def test_replays_are_the_same_model():
    check_replay(Net)
    check_replay(Transformer)
    check_replay(lambda: nn.Sequential(Net(4), nn.BatchNorm1d(4), Net(8)))


def test_replay_of_a_residual_network():
    model = check_replay(Residual)
    assert [fill_text(fill) for fill in record_of(model).fills] == [
        "weight torch.nn.init:kaiming_normal_(mode='fan_out', nonlinearity='relu')",
        "bias torch.nn.init:constant_(val=0)",
        "weight torch.nn.init:kaiming_normal_(mode='fan_out', nonlinearity='relu')",
        "bias torch.nn.init:constant_(val=0)",
        "weight torch.nn.init:constant_(val=0)",
        "weight torch.nn.init:constant_(val=0)",
    ], "the ones of a norm that is set to 0 afterwards do not matter"


def test_a_leaf_that_resets_itself_is_not_recorded():
    model = recorded(lambda: nn.Sequential(nn.Linear(2, 2), nn.MultiheadAttention(4, 2)))
    assert all(record_of(m).origins == {} and not record_of(m).fills for m in model.modules())


def test_what_is_reset_later_is_recorded():
    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.layer.reset_parameters()

    fills = [fill_text(fill) for fill in record_of(check_replay(Again)).fills]
    assert fills == [
        "weight torch.nn.init:kaiming_uniform_(a=2.23606797749979)",
        "bias torch.nn.init:uniform_(a=-0.7071067811865475, b=0.7071067811865475)",
    ]


def test_subclasses_of_layers_and_basic_units():
    class Norm(nn.LayerNorm):
        pass

    @basic_unit
    class Unit(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))
            nn.init.normal_(self.weight)

    model = check_replay(lambda: nn.Sequential(Norm(3), Unit()))
    assert [fill_text(f) for f in record_of(model[0]).fills] == [
        "weight torch.nn.init:ones_()",
        "bias torch.nn.init:zeros_()",
    ]
    assert text(record_of(model[0]).origins["weight"]) == "torch:empty((3,))"
    assert record_of(model[1]).fills == []
    assert record_of(model[1]).origins == {}


def test_scopes_are_the_innermost_constructors():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(1, 1)
            nn.init.zeros_(self.layer.weight)

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()
            nn.init.ones_(self.inner.layer.bias)
            self.late = nn.ReLU()

    def build():
        model = nn.Sequential(Outer())
        nn.init.constant_(model[0].inner.layer.bias, 3)
        return model

    model = check_replay(build)
    outer = model[0]
    assert [fill_text(f) for f in record_of(outer.inner).fills] == ["weight torch.nn.init:zeros_()"]
    assert [fill_text(f) for f in record_of(model).fills] == [
        "bias torch.nn.init:constant_(val=3)"
    ], "outside of all constructors; it leaves nothing of the one in Outer"
    assert record_of(outer).fills == []


def test_places_say_what_was_there_before_a_fill():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1)
            nn.init.normal_(self.a.weight)
            self.b = nn.Linear(1, 1)
            nn.init.normal_(self.b.weight)

    assert [fill.place for fill in record_of(check_replay(Mixed)).fills] == [1, 2]


def test_what_cannot_be_repeated_says_so():
    class Strange(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            torch.zeros(2, 2, out=self.layer.weight.data)
            self.layer.bias.data[torch.tensor([*range(2)] * 50)] = 1.0
            table = torch.zeros(4, 6)
            table[:, 0::2] = torch.sin(torch.arange(4).float().unsqueeze(1))
            self.register_buffer("table", table.unsqueeze(0))
            self.register_buffer("unseen", torch.from_numpy(torch.ones(2).numpy()))
            self.register_buffer("listed", torch.tensor([*range(100)]))
            generator = torch.Generator().manual_seed(0)
            self.noise = nn.Parameter(torch.randn(2, generator=generator))

    model = recorded(Strange)
    record = record_of(model)
    assert {fill.name: fill.repeatable for fill in record.fills} == {
        "weight": False,
        "bias": False,
        "table": False,
    }
    assert record.origins == dict.fromkeys(["table", "unseen", "listed", "noise"])
    assert not record.random, "a generator of one's own goes by its own seed"
    assert record_of(model.layer).random == {"weight", "bias"}


def test_parts_of_a_weight_are_part_of_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.read, self.filled, self.later = (nn.Linear(2, 4) for _ in range(3))
            self.size = [len(part) for part in self.read.weight.chunk(2)]
            for layer in (self.filled, self.later):
                for part in layer.weight.chunk(2):
                    nn.init.xavier_uniform_(part)
            nn.init.ones_(self.later.weight)

    record = record_of(model := recorded(Net))
    assert all(record_of(layer).origins == {} for layer in model.children())
    kept = [f for f in record.fills if not f.overwritten]
    assert [(f.owner, f.target, f.repeatable) for f in kept] == [
        (model.filled, "torch.nn.init:xavier_uniform_", True),
        (model.filled, "torch.nn.init:xavier_uniform_", True),
        (model.later, "torch.nn.init:ones_", True),
    ]


def test_whole_fills_leave_nothing_of_partial_ones():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            self.layer.weight.data[0] = 1
            nn.init.eye_(self.layer.weight)

    [fill] = record_of(check_replay(Net)).fills
    assert (fill.target, fill.repeatable) == ("torch.nn.init:eye_", True)


def test_temporaries_that_are_filled_belong_to_the_origin():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            noise = torch.empty(3).uniform_(-1, 1)
            noise *= 2
            self.weight = nn.Parameter(noise + 1)
            rows, columns = torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")
            self.register_buffer("grid", torch.stack([rows, columns]).mT + 0)

    origins = record_of(check_replay(Net)).origins
    assert text(origins["weight"]).startswith(".add(")
    assert "operator:getitem(torch:meshgrid(" in "".join(
        text(part) for part in origins["grid"].args[0].args[0].args[0]
    )


def test_random_temporaries_are_not_drawn_twice():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            noise = torch.randn(3)
            self.a = nn.Parameter(noise + 1)
            self.b = nn.Parameter(noise + 2)

    origins = record_of(recorded(Net)).origins
    assert isinstance(origins["a"], RecordedCall)
    assert origins["b"] is None


def test_values_of_other_parameters_are_named():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key = nn.Linear(2, 2), nn.Linear(2, 2)
            self.key.load_state_dict(self.query.state_dict())
            self.tied = nn.Linear(2, 2)
            self.tied.weight = self.query.weight
            self.own = nn.Linear(2, 2)
            self.own.bias = nn.Parameter(torch.full((2,), 0.5))
            self.mean = nn.Parameter(self.query.weight.detach().clone())

    model = recorded(Pair)
    assert [fill_text(fill) for fill in record_of(model).fills] == [
        "weight .copy_(<Linear.weight>)",
        "bias .copy_(<Linear.bias>)",
        "bias .copy_(torch:full((2,), 0.5))",
    ]
    assert record_of(model).fills[0].args[0].owner is model.query
    assert text(record_of(model.tied).origins["weight"]) == "<Linear.weight>"
    assert record_of(model.own).origins == {}, "filled, as far as anyone can tell"
    assert text(record_of(model).origins["mean"]) == ".clone(<Linear.weight>)"


def test_copies_are_filled_as_their_originals():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(2))
            self.layer = nn.Sequential(nn.Linear(2, 2))
            nn.init.normal_(self.layer[0].weight, std=0.5)

    model = recorded(lambda: (lambda block: nn.Sequential(block, copy.deepcopy(block)))(Block()))
    for block in model:
        [fill] = record_of(block).fills
        assert (fill.scope, fill.owner) == (block, block.layer[0])
        assert fill_text(fill) == "weight torch.nn.init:normal_(std=0.5)"
        assert text(record_of(block).origins["token"]) == "torch:zeros(2)"
    assert [record_of(block).copied for block in model] == [False, True]


def test_records_of_copied_models_speak_of_the_copies():
    model = recorded(Net)
    twin = copy.deepcopy(model)
    assert [fill_text(f) for f in record_of(twin).fills] == [
        fill_text(f) for f in record_of(model).fills
    ]
    modules = {*twin.modules()}
    assert all(fill.owner in modules and fill.scope is twin for fill in record_of(twin).fills)


def test_the_recording_itself_knows_all():
    with recording() as record:
        model = Net()
    assert [fill.order for fill in record.fills] == sorted(fill.order for fill in record.fills)
    assert text(record.origin(model.cls_token)) == "torch:zeros(1, 1, 8)"
    assert record.origin(model.head.weight) is None
    assert record.origin(torch.zeros(1)) is None


def test_recordings_nest():
    with recording() as outer:
        with recording() as inner:
            model = Net()
        before = [fill_text(fill) for fill in record_of(model).fills]
    assert [fill_text(fill) for fill in record_of(model).fills] == before
    assert len(inner.fills) == len(outer.fills) == len(before)
    assert text(outer.origin(model.scale)) == text(inner.origin(model.scale))


@pytest.mark.parametrize("inside", [True, False])
def test_an_ambient_device_is_no_argument(inside):
    if inside:
        with recording(), torch.device("meta"):
            model = Net()
    else:
        with torch.device("meta"), recording():
            model = Net()
    assert model.scale.is_meta
    plain = recorded(Net)
    origins = [record_of(net).origins for net in (model, plain)]
    assert [*map(text, origins[0].values())] == [*map(text, origins[1].values())]
    fills = [[fill_text(fill) for fill in record_of(net).fills] for net in (model, plain)]
    assert fills[0] == fills[1]


def test_symbolic_builds_record_too():
    with symbolic():
        model = Net()
    assert len(record_of(model).fills) > 8


def test_odd_tensors_do_no_harm():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.lazy = nn.LazyLinear(3)
            self.free = nn.UninitializedParameter()
            self.register_buffer("sparse", torch.eye(3).to_sparse())
            self.register_buffer("complex", torch.view_as_complex(torch.zeros(3, 2)))

    record = record_of(recorded(Odd))
    assert text(record.origins["sparse"]) == ".to_sparse(torch:eye(3))"
    assert text(record.origins["complex"]) == "torch:view_as_complex(torch:zeros(3, 2))"


def normal_(tensor, mean=0.0, std=1.0):
    """A function of a library's own, in several steps."""
    with torch.no_grad():
        return tensor.normal_().mul_(std).add_(mean)


def test_a_function_that_fills_in_steps_is_one_fill():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)
            normal_(self.layer.weight, std=0.02)
            self.layer.bias.data.normal_().mul_(2)

    model = recorded(Own)
    assert [*map(fill_text, record_of(model).fills)] == [
        f"weight {__name__}:normal_(std=0.02)",
        "bias .normal_()",
        "bias .mul_(2)",
    ]


def test_recording_never_breaks_a_build(monkeypatch):
    def fail(*args):
        raise KeyError(args)

    monkeypatch.setattr("runner.nn.recording.tracer.TensorTracer._change", fail)
    model = recorded(lambda: nn.Sequential(nn.Linear(2, 2)).apply(lambda m: m.requires_grad_()))
    normal_(model[0].weight)
    with recording():
        nn.init.zeros_(model[0].weight)
        torch.ones(2).add_(1)
    assert not model[0].weight.any()
