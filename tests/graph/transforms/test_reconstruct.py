"""A module that is constructed for a graph is read as that graph was."""

from fake_frontends import Fake, calls, runs
from torch import nn

from runner.graph.frontend import convert as conversion
from runner.graph.frontend.convert import convert
from runner.graph.frontend.frontends import ORDER
from runner.graph.frontend.live_modules.kept_modules import Keep
from runner.graph.ir.unit import Call
from runner.graph.transforms.reconstruct import constructed
from runner.nn.recording.construction_record import recording


class Scales(nn.Module):
    def __init__(self, factor: int = 2):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scales = Scales()

    def forward(self, x):
        return self.scales(x)


def net() -> Net:
    with recording():
        return Net()


def test_a_class_that_was_misread_is_read_by_the_same_front_end_again(monkeypatch):
    known = {"Net": [runs("scales")], "Scales": [calls("operator:mul", 2)]}
    monkeypatch.setattr(conversion, "FRONTENDS", {name: Fake(**known) for name in ORDER})
    model, keep = net(), Keep()
    call = Call(f"{__name__}:Scales", (3,))
    assert constructed(call, convert(model, keep)).root.provenance.frontend == ORDER[0]
    keep.distrust(model.scales, ORDER[0], "it computes something else")
    graph = convert(model, keep)
    assert graph.unit("scales").provenance.frontend == ORDER[1]
    assert constructed(call, graph).root.provenance.frontend == ORDER[1]


def test_the_front_end_is_the_one_of_the_graph():
    graph = convert(net(), frontend="torchscript").copy()
    assert graph.frontend == "torchscript"
    assert constructed(Call(f"{__name__}:Scales", (3,)), graph).frontend == "torchscript"
