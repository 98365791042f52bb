"""Tracks: the channels of layers, followed to all tensors that make or take them."""

import pytest
import widening
from torch import nn

from runner.graph import convert, recording
from runner.graph.channels.channel_tracking import tracks
from runner.graph.channels.resize import Resizing
from runner.graph.channels.tracks import LOST, Track


def tracked(cls: type[nn.Module], *paths: str) -> dict[str, dict[int, Track]]:
    """The tracks of what changes together with the layers at some paths, each one group."""
    with recording():
        graph = convert(cls())
    graph.example = (3, 8, 8)
    resizing = Resizing(graph)
    widths = {}
    for path in paths:
        [source] = resizing.sources(path)
        widths[path] = resizing.coupled(source)
    return tracks(graph, widths)


def kinds(found: dict[str, dict[int, Track]]) -> dict[str, dict[int, str]]:
    return {
        n: {d: "makes" if t.makes else "uses" for d, t in dims.items()} for n, dims in found.items()
    }


def test_filters_make_channels_and_what_comes_behind_uses_them():
    assert kinds(tracked(widening.Residual, "stem")) == {
        "stem.weight": {0: "makes"},
        "stem.bias": {0: "makes"},
        "norm.weight": {0: "uses"},
        "norm.bias": {0: "uses"},
        "norm.running_mean": {0: "uses"},
        "norm.running_var": {0: "uses"},
        "inner.weight": {1: "uses"},
        "outer.weight": {0: "makes"},
        "outer.bias": {0: "makes"},
        "gate.1.weight": {0: "makes", 1: "uses"},
        "gate.1.bias": {0: "makes"},
        "head.weight": {1: "uses"},
    }


def test_channels_of_coupled_layers_are_the_same_ones():
    found = tracked(widening.Residual, "stem")
    assert {track.channels for dims in found.values() for track in dims.values()} == {
        tuple(range(8))
    }


def test_a_flattened_channel_stands_in_many_places():
    found = tracked(widening.Depthwise, "grouped")
    assert found["head.weight"][1].channels == tuple(c for c in range(24) for _ in range(36))


def test_a_depthwise_convolution_uses_the_channels_it_gives():
    found = tracked(widening.Depthwise, "expand")
    assert kinds({name: found[name] for name in ("depth.weight", "act.weight")}) == {
        "depth.weight": {0: "uses"}, "act.weight": {0: "uses"}
    }  # fmt: skip
    assert found["grouped.weight"][0].channels == (LOST,) * 12  # each group sees some of them


def test_places_of_other_channels_are_none_of_a_group():
    found = tracked(widening.Concat, "right")
    assert found["mix.weight"][1].channels == (-1,) * 4 + tuple(range(6))


def test_groups_that_meet_in_a_concatenation_are_one():
    found = tracked(widening.Concat, "left", "right")
    assert found["left.weight"][0] == Track("left", (0, 1, 2, 3), makes=True, mixes=False)
    assert found["right.weight"][0].channels == (4, 5, 6, 7, 8, 9)
    assert found["mix.weight"][1] == Track("left", tuple(range(10)), makes=False, mixes=True)


def test_channels_of_halves_that_are_multiplied_are_one():
    found = tracked(widening.Concat, "mix")
    assert found["mix.weight"][0].channels == (*range(8), *range(8))
    assert found["head.weight"][1].channels == tuple(range(8))


def test_tokens_are_followed_through_transpositions_and_parameters():
    found = tracked(widening.Attention, "embed")
    assert kinds(found)["place"] == {2: "makes"}
    assert kinds(found)["qkv.weight"] == {1: "uses"}
    assert kinds(found)["proj.weight"] == {0: "makes"}
    assert found["qkv.weight"][1].channels == tuple(range(12))


@pytest.mark.parametrize("cls", widening.MODELS)
def test_a_source_that_a_graph_does_not_have_is_left_out(cls):
    with recording():
        graph = convert(cls())
        other = convert(widening.Residual())
    graph.example = other.example = (3, 8, 8)
    resizing = Resizing(other)
    widths = {"inner": resizing.coupled(resizing.sources("inner")[0])}
    found = tracks(graph, widths)
    assert set(found) == (set(tracks(other, widths)) if cls is widening.Residual else set())
