"""Objects built from config nodes."""

import functools

import pytest
import torch

from runner.config.instantiate import build


def named(width: int, rate: float = 0.1) -> dict[str, object]:
    """A target without objects."""
    return {"width": width, "rate": rate}


class Holder:
    """A target that holds others."""

    def __init__(self, inner: object, more: object = None, runtime: int = 0) -> None:
        self.inner = inner
        self.more = more
        self.runtime = runtime


@pytest.fixture
def here(monkeypatch):
    """Has `locate` find this file, which pytest imports by path, as the module `here`."""
    import sys

    monkeypatch.setitem(sys.modules, "here", sys.modules[__name__])
    monkeypatch.setattr(named, "__module__", "here")
    monkeypatch.setattr(Holder, "__module__", "here")
    return ["here"]


def test_build_makes_inner_nodes_first_and_leaves_plain_values_alone(here):
    node = {
        "_target_": "here.Holder",
        "inner": [{"_target_": "here.Holder", "inner": 1}, {"plain": [1, {"x": None}]}],
        "more": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3},
    }
    made = build(node, here, runtime=7)
    assert made.inner[0].inner == 1 and made.inner[1] == {"plain": [1, {"x": None}]}
    assert isinstance(made.more, torch.nn.Linear) and made.runtime == 7
    assert node["inner"][0] == {"_target_": "here.Holder", "inner": 1}  # as it was


def test_build_makes_partials_where_the_config_says_so(here):
    inner = {"_target_": "here.named", "_partial_": True, "width": 2}
    made = build({"_target_": "here.Holder", "inner": inner}, here).inner
    assert isinstance(made, functools.partial) and made(rate=3.0)["rate"] == 3.0
    whole = build({"_target_": "here.named", "_partial_": False, "width": 2}, here)
    assert whole["width"] == 2


def test_arguments_named_as_those_of_build_reach_the_target(here):
    made = build({"_target_": "here.Holder", "inner": 1}, here, runtime=2)
    assert (made.inner, made.runtime) == (1, 2)
