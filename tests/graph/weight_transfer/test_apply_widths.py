"""Weights of another width: a wider model computes what the old one did, and a narrower one that
lost nothing but what nobody used, too."""

import pytest
import torch
import widening
from torch import nn

from runner.graph import convert, generate, recording
from runner.graph.channels.channel_tracking import tracks
from runner.graph.channels.resize import Resizing
from runner.graph.channels.tracks import LOST
from runner.graph.channels.write_back import apply
from runner.graph.codegen.load import load_source
from runner.graph.ir.graph import Graph
from runner.graph.weight_transfer.apply import take_over
from runner.graph.weight_transfer.comparison import compared
from runner.graph.weight_transfer.plan import inheritance, mark

UNKNOWN = (widening.Grouped, widening.Depthwise)  # each part of a layer sees some channels
MIXED = [(widening.Attention, "qkv")]  # channels that are multiplied with each other, and added up
MODELS = [*widening.MODELS, widening.Gated, widening.Turned, widening.Scaled, widening.Grouped]
IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def trained(cls: type[nn.Module]) -> tuple[nn.Module, Graph]:
    """A model with weights and statistics that are nothing special, and its graph."""
    torch.manual_seed(1)
    with recording():
        model = cls()
    graph = mark(convert(model))
    graph.example = (3, 8, 8)
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.1 if tensor.dim() == 1
                             else torch.randn_like(tensor))  # fmt: skip
    return model.eval(), graph


def sources(graph: Graph) -> list[str]:
    """The layers of a graph that have a width which can change."""
    resizing = Resizing(graph)
    return [path for path, _ in graph.units() if path != "head" and resizing.sources(path)]


def resized(graph: Graph, path: str, factor: float) -> Graph:
    new = graph.copy()
    resizing = Resizing(new)
    coupled = resizing.coupled(resizing.sources(path)[0])
    apply(new, resizing.fit({s: int(s.size * factor) for s in coupled}))
    new.widths = {path: coupled}
    return new


@pytest.mark.parametrize("cls", MODELS)
def test_a_wider_model_computes_what_the_old_one_did_or_what_is_unknown_starts_afresh(cls):
    places = sources(trained(cls)[1])
    assert places
    for path in places:
        check_wider(cls, path)


def check_wider(cls: type[nn.Module], path: str) -> None:
    model, graph = trained(cls)
    new = resized(graph, path, 2)
    old_tracks, new_tracks = tracks(graph, new.widths), tracks(new, new.widths)
    wide = load_source(generate(new), new.tensors).build().eval()
    plan = inheritance(graph, old_tracks, new, new_tracks)
    taken = take_over(wide, plan, model.state_dict())
    unknown = {
        name
        for name, dims in new_tracks.items()
        if any(LOST in track.channels for track in dims.values())
    }
    assert not unknown & taken.keys()
    if unknown:
        assert cls in UNKNOWN
    else:
        assert taken.keys() >= {name for name, _ in model.named_parameters()}
        verdict = compared([wide(IMAGES)], [model(IMAGES)])
        assert verdict.equal == ((cls, path) not in MIXED)
        if (cls, path) in MIXED:
            return
        torch.testing.assert_close(wide(IMAGES), model(IMAGES), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cls", [cls for cls in MODELS if cls is not widening.Grouped])
def test_a_narrower_model_keeps_what_is_used(cls):
    for path in sources(trained(cls)[1]):
        if (cls, path) not in MIXED:
            check_narrower(cls, path)


def check_narrower(cls: type[nn.Module], path: str) -> None:
    model, graph = trained(cls)
    found = tracks(graph, resized(graph, path, 2).widths)
    if any(LOST in track.channels for dims in found.values() for track in dims.values()):
        return
    if any("norm" in name and cls is widening.Attention for name in found):
        return  # a norm over channels counts those that nobody uses
    channels = sorted({c for dims in found.values() for t in dims.values() for c in t.channels})
    dead = set(channels[1::2]) - {-1}
    if cls is widening.Concat and path == "mix":
        assert len(channels) == 8  # each stands in both halves
    with torch.no_grad():
        for name, dims in found.items():
            for dim, track in dims.items():
                if track.mixes:
                    places = [i for i, c in enumerate(track.channels) if c in dead]
                    model.state_dict()[name].index_fill_(dim, torch.tensor(places), 0.0)
    new = resized(graph, path, 0.5)
    narrow = load_source(generate(new), new.tensors).build().eval()
    plan = inheritance(graph, found, new, tracks(new, new.widths))
    take_over(narrow, plan, model.state_dict())
    torch.testing.assert_close(narrow(IMAGES), model(IMAGES), rtol=1e-5, atol=1e-5)
