"""The recorder of constructor calls, and torch.nn layers that are given open values."""

import copy
import pickle

import pytest
import torch

from runner import nn
from runner.errors import SymbolicError
from runner.nn.recording.construction_record import record_of, recording

SPECIMENS = {  # how it is built, its argument; the shapes that 4 and 8 give
    "Linear": lambda n: nn.Linear(n, 2 * n, bias=False),
    "Bilinear": lambda n: nn.Bilinear(n, 3, n),
    "Conv1d": lambda n: nn.Conv1d(n, n, 3, padding=n // 4, groups=n),
    "Conv2d": lambda n: nn.Conv2d(n, 2, (n - 1, 3), padding=(n // 2, 0), padding_mode="circular"),
    "ConvTranspose2d": lambda n: nn.ConvTranspose2d(n, n, 2, stride=n),
    "BatchNorm2d": lambda n: nn.BatchNorm2d(n, eps=n / 10),
    "GroupNorm": lambda n: nn.GroupNorm(n // 2, n),
    "LayerNorm": lambda n: nn.LayerNorm([n, 3]),
    "Embedding": lambda n: nn.Embedding(10, n, padding_idx=0),
    "LSTM": lambda n: nn.LSTM(n, n, num_layers=2, bidirectional=True),
    "GRUCell": lambda n: nn.GRUCell(n, n),
    "MultiheadAttention": lambda n: nn.MultiheadAttention(n, n // 2, batch_first=True),
    "TransformerEncoderLayer": lambda n: nn.TransformerEncoderLayer(n, 2, dim_feedforward=n * 2),
    "Transformer": lambda n: nn.Transformer(n, 2, 1, 1, n, batch_first=True),
    "PReLU": lambda n: nn.PReLU(n),
    "Dropout": lambda n: nn.Dropout(n / 10),
    "AvgPool2d": lambda n: nn.AvgPool2d(n, stride=(n, 1)),
    "Upsample": lambda n: nn.Upsample(scale_factor=n),
    "CrossEntropyLoss": lambda n: nn.CrossEntropyLoss(label_smoothing=n / 10),
    "LazyLinear": lambda n: nn.LazyLinear(n),
}


def shapes(module):
    return {n: getattr(t, "shape", None) for n, t in module.state_dict().items()
            if not isinstance(t, torch.nn.UninitializedParameter)}  # fmt: skip


@pytest.mark.parametrize("name", SPECIMENS)
def test_layers_are_built_with_the_default_and_keep_the_call(name):
    with nn.symbolic():
        layer = SPECIMENS[name](nn.ValueChoice([4, 8], label="n"))
    plain = SPECIMENS[name](4)
    assert type(layer) is type(plain)
    assert repr(layer) == repr(plain)
    assert shapes(layer) == shapes(plain)
    record = record_of(copy.deepcopy(layer))
    values = nn.values.expression.replace_symbolic(
        (record.args, record.kwargs), lambda e: e.resolve(eight)
    )
    again = type(layer)(*values[0], **values[1])
    assert (repr(again), shapes(again)) == (repr(SPECIMENS[name](8)), shapes(SPECIMENS[name](8)))


def eight(choice):
    return 8


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_layers_of_open_values_are_copied_and_compiled():
    with nn.symbolic():
        width = nn.ValueChoice([4, 8], label="n")
        model = nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.BatchNorm2d(width))
    x = torch.randn(2, 3, 5, 5)
    twin = copy.deepcopy(model)
    assert type(twin[0]) is torch.nn.Conv2d
    assert record_of(twin[0]).args[1] is width
    torch.testing.assert_close(torch.jit.script(twin.eval())(x), model.eval()(x))
    assert type(pickle.loads(pickle.dumps(model))[0]) is torch.nn.Conv2d


def test_basic_units_are_built_with_the_default():
    calls = []

    @nn.basic_unit
    class Unit(nn.Module):
        def __init__(self, width, *, scale):
            super(Unit, self).__init__()  # noqa: UP008
            calls.append((width, scale))
            self.weight = nn.Parameter(torch.zeros(width))
            self.inner = nn.Linear(width, 2)

    with nn.symbolic():
        width = nn.ValueChoice([4, 8], label="n")
        unit = Unit(width, scale=[width / 2])
    assert type(unit) is Unit
    assert calls == [(4, [2.0])]
    assert record_of(unit).kwargs["scale"][0].resolve(eight) == 4
    assert record_of(unit.inner).args == (4, 2)


def test_composites_are_given_the_open_values_themselves():
    class Composite(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.width = width
            self.layer = nn.Linear(width, 2)

    with nn.symbolic():
        width = nn.ValueChoice([4, 8], label="n")
        module = Composite(width)
    assert module.width is width
    assert module.layer.in_features == 4


def test_subclasses_of_layers_must_be_basic_units():
    class Mine(nn.Linear):
        pass

    with pytest.raises(SymbolicError, match="basic_unit"), nn.symbolic():
        Mine(nn.ValueChoice([4, 8], label="n"), 2)
    with nn.symbolic():
        assert nn.basic_unit(Mine)(nn.ValueChoice([4, 8], label="n"), 2).in_features == 4


def test_defaults_that_do_not_fit_are_named():
    with nn.symbolic():
        width = nn.ValueChoice([4, 9], label="n")
        with pytest.raises(SymbolicError, match="Conv2d cannot be built with the values") as error:
            nn.Conv2d(3, width, 3, groups=3)
    assert __file__ in str(error.value)


def test_calls_are_recorded_as_given():
    with recording():
        model = nn.Sequential(nn.Conv2d(1, 2, kernel_size=(3, 3)), nn.ReLU(True))
    assert record_of(model[0]).args == (1, 2)
    assert record_of(model[0]).kwargs == {"kernel_size": (3, 3)}
    assert record_of(model[1]).args == (True,)
    assert record_of(nn.Linear(1, 1)) is None
    orders = [record_of(module).order for module in (model[0], model[1], model)]
    assert orders == sorted(set(orders))


def test_records_follow_deep_copies_and_are_not_pickled():
    class Wrap(nn.Module):
        def __init__(self, inner, more):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)

    with recording():
        model = nn.Sequential(Wrap(nn.Linear(1, 1), more=[lambda: 1]))
        inside = copy.deepcopy(model)
    twin = copy.deepcopy(model)
    assert record_of(twin[0]).args[0] is twin[0].inner
    assert record_of(twin).args[0] is twin[0]
    assert not record_of(twin).copied
    assert record_of(inside[0]).copied, "its first values are those of another module"
    assert record_of(inside[0]).args[0] is inside[0].inner
    assert record_of(pickle.loads(pickle.dumps(model[0].inner))).args == ()


def test_copies_of_what_was_not_recorded_have_no_record():
    layer = nn.Linear(1, 2)
    with recording():
        assert record_of(copy.deepcopy(layer)) is None


def test_generators_as_arguments_do_no_harm():
    with recording():
        layers = nn.ModuleList(nn.Linear(1, 1) for _ in range(2))
    assert len(copy.deepcopy(layers)) == 2


def test_classes_with_a_new_of_their_own_are_recorded():
    class Tagged(nn.Module):
        def __new__(cls, tag):
            module = super().__new__(cls, tag)
            module.__dict__["tag"] = tag
            return module

        def __init__(self, tag):
            super().__init__()

    with recording():
        assert (record_of(Tagged(3)).args, Tagged(4).tag) == ((3,), 4)


def test_an_error_leaves_nothing_on():
    with pytest.raises(ZeroDivisionError), recording():
        _ = 1 / 0
    assert record_of(nn.Linear(1, 1)) is None
    assert torch.overrides._get_current_function_mode() is None


def test_a_constructor_may_have_a_parameter_of_any_name():
    class Odd(nn.Module):
        def __init__(self, cls, args, kwargs) -> None:
            super().__init__()
            self.names = cls, args, kwargs

    with recording():
        odd = Odd(cls="a", args="b", kwargs="c")
    assert odd.names == ("a", "b", "c")
    assert record_of(odd).kwargs == {"cls": "a", "args": "b", "kwargs": "c"}
