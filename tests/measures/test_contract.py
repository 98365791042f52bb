"""Every measure: its figure for a model whose figure is known, and the same without values."""

import copy

import pytest
import torch
from torch import nn

from runner.errors import ConfigError
from runner.measures.flops import Flops
from runner.measures.function import Function
from runner.measures.latency import Latency
from runner.measures.measure import Measure
from runner.measures.memory import TrainingMemory
from runner.measures.params import ParameterCount
from runner.measures.size import Size

CPU, META = torch.device("cpu"), torch.device("meta")
USUAL = {"batch_size": 1, "repeats": 5, "warmup": 1, "threads": 1, "device": None}


class Net(nn.Module):
    """A convolution with shared weights, a norm with buffers, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)
        self.same = self.head

    def forward(self, x):
        return self.same(self.norm(self.conv(x)).mean((2, 3)))


PARAMS = 3 * 4 * 9 + 8 + 10
FLOPS = 2 * (64 * 3 * 4 * 9 + 4 * 2)  # on 8 x 8 pixels; a multiply-add counts as two
SIZE = 4 * (PARAMS + 8) + 8  # running statistics, and the number of batches
MEASURES = {
    "params": (ParameterCount(), PARAMS),
    "flops": (Flops(), FLOPS),
    "size": (Size(), SIZE),
    "memory": (TrainingMemory(batch_size=4), None),
    "latency": (Latency(**USUAL), None),
    "function": (Function(fn=lambda model: len([*model.modules()])), 4),
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_figure_is_what_it_is(name):
    measure, figure = MEASURES[name]
    found = measure.measure(Net(), torch.randn(1, 3, 8, 8), CPU)
    assert found > 0 and figure in (None, found)


@pytest.mark.parametrize("name", [n for n, (m, _) in MEASURES.items() if m.exact])
def test_a_model_without_values_has_the_same_figure(name):
    measure, figure = MEASURES[name]
    assert measure.measure(Net().to(META), torch.randn(1, 3, 8, 8, device=META), META) == figure


@pytest.mark.parametrize("name", [n for n, (m, _) in MEASURES.items() if not m.runs])
def test_what_does_not_run_a_model_leaves_it_as_it_is(name):
    model = Net()
    before = copy.deepcopy(model.state_dict())
    MEASURES[name][0].measure(model, torch.empty(0), CPU)
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_memory_grows_with_the_batch_and_counts_what_training_keeps():
    one, four = (
        TrainingMemory(batch_size=n).measure(Net(), torch.randn(1, 3, 8, 8), CPU) for n in (1, 4)
    )
    weights, states = 4 * (PARAMS + 8) + 8, 3 * 4 * PARAMS
    activations = 4 * 64 * (3 + 4)  # at least the inputs of the convolution and of the norm
    assert one >= weights + states + activations
    assert four - one >= 3 * activations


def test_a_latency_has_a_noise_and_grows_with_the_work():
    small, large = Latency(**USUAL), Latency(**{**USUAL, "batch_size": 4096})
    assert small.noise() is None
    quick, slow = (m.measure(Net(), torch.randn(1, 3, 8, 8), CPU) for m in (small, large))
    assert 0 < quick < slow and small.noise() >= 0


def test_threads_are_those_of_the_measure_and_then_those_of_before():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return x

    before = torch.get_num_threads()
    Latency(**{**USUAL, "threads": 2}).measure(Spy(), torch.zeros(1, 2), CPU)
    assert {*seen} == {2} and torch.get_num_threads() == before


@pytest.mark.parametrize("key", ["batch_size", "repeats", "threads"])
def test_counts_below_one_are_refused(key):
    with pytest.raises(ConfigError, match=rf"measure.latency.{key} is 0; it must be at least 1"):
        Latency(**{**USUAL, key: 0})


def test_each_measure_of_the_config_is_one():
    for measure, _ in MEASURES.values():
        assert isinstance(measure, Measure) and measure.unit in ("", "s", "B")
