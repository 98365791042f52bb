"""Objects built from config nodes."""

import functools

import torch

from runner.config.instantiate import build

TRUST = ["targets"]


def test_build_makes_inner_nodes_first_and_leaves_plain_values_alone():
    node = {
        "_target_": "targets.Holder",
        "inner": [{"_target_": "targets.Holder", "inner": 1}, {"plain": [1, {"x": None}]}],
        "more": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3},
    }
    made = build(node, TRUST, runtime=7)
    assert made.inner[0].inner == 1 and made.inner[1] == {"plain": [1, {"x": None}]}
    assert isinstance(made.more, torch.nn.Linear) and made.runtime == 7
    assert node["inner"][0] == {"_target_": "targets.Holder", "inner": 1}  # as it was


def test_build_makes_partials_where_the_config_says_so():
    inner = {"_target_": "targets.walked", "_partial_": True, "width": 2}
    made = build({"_target_": "targets.Holder", "inner": inner}, TRUST).inner
    assert isinstance(made, functools.partial) and made(rate=3.0)["rate"] == 3.0
    whole = build({"_target_": "targets.walked", "_partial_": False, "width": 2}, TRUST)
    assert whole["width"] == 2


def test_arguments_named_as_those_of_build_reach_the_target():
    made = build({"_target_": "targets.Holder", "inner": 1}, TRUST, runtime=2)
    assert (made.inner, made.runtime) == (1, 2)
