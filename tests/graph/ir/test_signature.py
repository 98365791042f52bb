"""Finding things by name, and changing one argument of a recorded call."""

import pytest
import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.ir.signature import argument, drop_defaults, locate, runs_in_order, with_argument
from runner.graph.ir.unit import Call, Ref, Unit
from runner.nn.recording.construction_record import recording


class Keywords(nn.Module):
    def __init__(self, width, /, *, norm=nn.BatchNorm2d, **options):
        super().__init__()


def conv(*args, **kwargs) -> Call:
    return Call("torch.nn:Conv2d", args, kwargs)


def shown(call: Call) -> tuple:
    return call.args, dict(call.kwargs), [*call.kwargs]


def test_locates_classes_functions_and_nested_names():
    assert locate("torch.nn:Conv2d") is nn.Conv2d
    assert locate("builtins:len") is len
    assert locate("torch:Tensor.split") is torch.Tensor.split
    assert locate("torch:float32") is torch.float32


@pytest.mark.parametrize(
    "target",
    ["", "torch", "torch:", ":name", "torch.nn:Conv2", "no_such_module:x", "a b:c", "os:system()",
     "x:f.<locals>.g", "torch:nn..Conv2d", "torch:nn\n"],
)  # fmt: skip
def test_a_target_that_names_nothing_is_refused(target):
    with pytest.raises(GraphError, match="import"):
        locate(target)


def test_a_misspelt_name_is_told_the_near_one():
    with pytest.raises(GraphError, match="Did you mean 'Conv2d'"):
        locate("torch.nn:Conv2dd")


def test_replaces_an_argument_where_it_stands():
    assert shown(with_argument(conv(3, 8, 3, stride=2), "out_channels", 16)) == shown(
        conv(3, 16, 3, stride=2)
    )
    assert shown(with_argument(conv(3, 8, 3, stride=2), "stride", 3)) == shown(
        conv(3, 8, 3, stride=3)
    )


def test_a_new_argument_is_given_by_name_in_the_order_of_the_signature():
    call = with_argument(conv(3, 8, 3, bias=False), "padding", 1)
    assert shown(call) == ((3, 8, 3), {"padding": 1, "bias": False}, ["padding", "bias"])


def test_an_argument_equal_to_its_default_is_left_out():
    assert shown(with_argument(conv(3, 8, 3, bias=False), "bias", True)) == shown(conv(3, 8, 3))
    assert shown(with_argument(conv(3, 8, 3, 2), "stride", 1)) == shown(conv(3, 8, 3))
    assert shown(with_argument(conv(3, 8, 3, 2, 1), "stride", 1)) == shown(conv(3, 8, 3, 1, 1))
    assert shown(with_argument(conv(3, 8, 3), "stride", 1)) == shown(conv(3, 8, 3))


def test_equal_numbers_of_another_type_are_no_default():
    assert with_argument(conv(3, 8, 3), "bias", 1).kwargs == {"bias": 1}


def test_classes_and_dtypes_are_compared_by_what_they_name():
    target = "torch.nn:TransformerEncoderLayer"
    layer = Call(target, (16, 2), {"activation": Ref("torch.nn.functional:gelu")})
    assert with_argument(layer, "activation", Ref("torch.nn.functional:relu")).kwargs == {}
    assert argument(Call(target, (16, 2)), "activation") == Ref("torch.nn.functional:relu")


def test_gives_an_argument_or_its_default():
    call = conv(3, 8, 3, bias=False)
    assert argument(call, "out_channels") == 8
    assert argument(call, "bias") is False
    assert argument(call, "padding_mode") == "zeros"


@pytest.mark.parametrize("change", [lambda c: argument(c, "widht"),
                                    lambda c: with_argument(c, "widht", 1)])  # fmt: skip
def test_an_unknown_argument_is_refused_with_those_there_are(change):
    with pytest.raises(GraphError, match=r"no argument 'widht'; it takes in_channels"):
        change(conv(3, 8, 3))


def test_positional_only_and_extra_arguments(monkeypatch):
    import sys
    import types

    module = types.ModuleType("graph_signature_example")
    module.Keywords = Keywords
    monkeypatch.setitem(sys.modules, module.__name__, module)
    call = Call("graph_signature_example:Keywords", (8,), {"depth": 2})
    assert shown(with_argument(call, "width", 4)) == ((4,), {"depth": 2}, ["depth"])
    assert with_argument(call, "depth", 3).kwargs == {"depth": 3}
    assert with_argument(call, "extra", 1).kwargs == {"depth": 2, "extra": 1}
    assert argument(call, "depth") == 2
    assert argument(call, "norm") == Ref("torch.nn:BatchNorm2d")
    with pytest.raises(GraphError):
        argument(call, "height")


def test_variable_arguments_are_replaced_as_a_whole():
    call = Call("torch.nn:Sequential", (1, 2))
    assert argument(call, "args") == (1, 2)
    assert with_argument(call, "args", (3,)).args == (3,)


def test_recording_does_not_hide_the_signatures_of_modules():
    with recording():
        nn.Linear(1, 1)
    assert argument(Call("torch.nn:Linear", (2, 3)), "bias") is True
    assert argument(Call("torch.nn:Softmax2d"), "args") == ()


def test_a_call_that_does_not_fit_is_refused():
    with pytest.raises(GraphError, match="does not accept these arguments"):
        argument(Call("torch.nn:Linear", (1,)), "bias")


def test_a_unit_changes_its_call():
    unit = Unit.of("torch.nn:Conv2d", 16, 32, 3, padding=1)
    unit.set_argument("out_channels", 64)
    assert unit.call.args == (16, 64, 3)
    assert unit.changed


def test_knows_what_runs_its_children_in_order():
    assert runs_in_order(Ref("torch.nn:Sequential"))
    assert runs_in_order(Ref("torch.nn.modules.container:Sequential"))
    assert not runs_in_order(Ref("torch.nn:ModuleList"))
    assert not runs_in_order(Ref("nowhere:Thing"))


def test_drops_the_defaults_of_a_whole_call():
    call = conv(3, 8, 3, 1, 0, bias=True, groups=2)
    assert shown(drop_defaults(call)) == ((3, 8, 3), {"groups": 2}, ["groups"])
    assert drop_defaults(Call("torch.nn:Sequential", (1,))).args == (1,)
