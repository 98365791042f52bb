"""Bypass: what goes past one block, or past several."""

import pytest
from residual import Net, built, keys, mutated, source

from runner.errors import ConfigError, Refused
from runner.mutators.bypass import Bypass
from runner.mutators.remove import Remove


def test_one_block_is_as_if_it_were_removed(graph):
    for on in ("layer1.1", "blocks.1"):
        past, _ = mutated(graph, Bypass(on=on, bypass=True))
        gone, _ = mutated(graph, Remove(on=on, remove=True))
        assert source(past) == source(gone)


def test_from_one_block_to_another_in_code(graph):
    changed, _ = mutated(graph, Bypass(on="blocks.0", to="blocks.1", bypass=[True, False]))
    model = built(changed)
    assert [*dict(model.blocks.named_children())] == ["2"]
    assert not any(key.startswith(("blocks.0", "blocks.1")) for key in keys(model))
    wide, _ = mutated(graph, Bypass(on="layer1", to="blocks.2", bypass=True))
    assert keys(built(wide)) == [k for k in keys(Net()) if not k.startswith(("layer1", "blocks"))]


def test_from_one_child_of_a_sequential_to_another(graph):
    changed, _ = mutated(graph, Bypass(on="layer1.0", to="layer1.1", bypass=True))
    assert "self.layer1 = nn.Sequential(nn.Identity(), nn.Identity())" in source(changed)
    built(changed)


def test_both_must_be_called_in_one_place_and_in_order(graph):
    with pytest.raises(Refused, match=r"blocks.1 must be called once, in the same function"):
        mutated(graph, Bypass(on="blocks.2", to="blocks.1", bypass=True))
    with pytest.raises(Refused, match=r"layer1\.0"):
        mutated(graph, Bypass(on="layer1.0", to="blocks.1", bypass=True))
    with pytest.raises(Refused, match=r"There is no unit 'blocks\.7'"):
        mutated(graph, Bypass(on="blocks.2", to="blocks.7", bypass=True))
    with pytest.raises(ConfigError, match="bypass: 1 is neither true nor false"):
        Bypass(on="blocks.2", bypass=[True, 1])
