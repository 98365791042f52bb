"""Cell: which nodes read what, and what comes out."""

from random import Random

import pytest
import torch

from runner import nn
from runner.errors import SpaceError


def conv(node, slot, state):
    return nn.Conv2d(16, 16, 1)


def identity(node, slot, state):
    return nn.Identity()


@pytest.fixture
def drawn(space_of):
    """A random cell and its sample."""

    def draw(seed, *args, **kwargs):
        rng = Random(seed)
        with nn.draw(lambda choice: choice.random(rng)) as sample:
            return nn.Cell(*args, label="cell", **kwargs), sample

    return draw


def test_all_nodes_are_the_output(drawn):
    x = torch.zeros(1, 16, 2, 2)
    for seed in range(5):
        cell, _ = drawn(seed, [conv, conv], 4)
        assert cell.output_node_indices == [1, 2, 3, 4]
        assert cell(x).shape == (1, 64, 2, 2)


def test_loose_ends_are_the_output(drawn):
    x = torch.zeros(1, 16, 2, 2)
    cells = [drawn(seed, [conv, conv], 4, merge_op="loose_end")[0] for seed in range(30)]
    loose = [cell.output_node_indices for cell in cells]
    for cell in cells:
        assert cell(x).shape[1] == 16 * len(cell.output_node_indices)
    assert all(loose)
    assert all(4 in nodes for nodes in loose), "nobody reads the last node"
    assert any(len(nodes) < 4 for nodes in loose)


def test_slots_ask_for_an_input_and_an_op(drawn):
    _, sample = drawn(0, {"a": identity, "b": identity}, 2, 2, 2)
    assert list(sample) == [
        f"cell/{kind}_{node}_{slot}"
        for node in (2, 3)
        for slot in (0, 1)
        for kind in ("input", "op")
    ]
    assert all(value in ("a", "b") for label, value in sample.items() if "/op_" in label)
    for seed in range(20):
        _, sample = drawn(seed, [identity], 3, 2, 2)
        for label, value in sample.items():
            if "/input_" in label:
                assert len(value) == 1
                assert value[0] < int(label.split("_")[1])


def test_a_node_is_the_sum_of_its_slots():
    values = {
        "c/input_2_0": [0], "c/op_2_0": "same",
        "c/input_2_1": [1], "c/op_2_1": "same",
        "c/input_3_0": [2], "c/op_3_0": "double",
        "c/input_3_1": [0], "c/op_3_1": "same",
    }  # fmt: skip

    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    ops = {"same": nn.Identity(), "double": Double()}
    with nn.sample(values, strict=True):
        cell = nn.Cell(ops, 2, 2, 2, label="c")
    output = cell(torch.tensor([[1.0]]), torch.tensor([[10.0]]))
    assert output.tolist() == [[11.0, 23.0]]


def test_factories_hear_of_node_slot_and_input():
    heard = []

    def op(node, slot, state):
        heard.append((node, slot, state))
        return nn.Identity()

    nn.Cell([op], 2, 2, 2)
    assert heard == [(2, 0, 0), (2, 1, 0), (3, 0, 0), (3, 1, 0)]


def test_modules_are_copied_for_each_slot():
    shared = nn.Linear(3, 3)
    cell = nn.Cell([shared], 2, 2)
    assert sum(parameter.numel() for parameter in cell.parameters()) == 4 * 12
    assert all(parameter is not shared.weight for parameter in cell.parameters())


def test_inputs_come_as_arguments_or_as_a_list():
    cell = nn.Cell([identity], 1, 1, 2)
    a, b = torch.zeros(1, 1), torch.ones(1, 1)
    assert torch.equal(cell(a, b), cell([a, b]))
    assert torch.equal(cell((a, b)), cell([a, b]))
    with pytest.raises(ValueError, match="called with 1 inputs; it has 2"):
        cell(a)
    with pytest.raises(ValueError, match="called with 0 inputs; it has 2"):
        cell()


def test_pre_and_postprocessor_have_the_first_and_the_last_word():
    def halves(inputs):
        return [inputs[0][:, :1], inputs[0][:, 1:]]

    def with_inputs(output, inputs):
        return [*inputs, output]

    cell = nn.Cell(
        [identity], 2, 1, 2, preprocessor=halves, postprocessor=with_inputs, label="cell"
    )
    a, b = torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)
    first, second, output = cell(a, b)
    assert first is a
    assert second is b
    assert output.tolist() == [[1.0, 1.0]]


def test_outputs_are_joined_along_a_dimension():
    cell = nn.Cell([identity], 3, concat_dim=2)
    assert cell(torch.zeros(1, 4, 2)).shape == (1, 4, 6)


def test_cells_of_a_label_share_their_choices(samples):
    def two():
        return [nn.Cell([identity, identity], 1, label="cell") for _ in range(2)]

    assert samples(two) == [
        {"cell/input_1_0": [0], "cell/op_1_0": 0},
        {"cell/input_1_0": [0], "cell/op_1_0": 1},
    ]


def test_cells_without_a_label_are_numbered(space_of):
    def two():
        return [nn.Cell([identity], 1) for _ in range(2)]

    labels = list(space_of(two).default())
    assert labels == ["1/input_1_0", "1/op_1_0", "2/input_1_0", "2/op_1_0"]


def test_choices_in_an_op_stand_below_the_label(space_of):
    def op(node, slot, state):
        return nn.Conv2d(1, 1, nn.ValueChoice([1, 3], label=f"op_{node}_{slot}/kernel"))

    assert list(space_of(lambda: nn.Cell([op], 1, label="cell")).default()) == [
        "cell/input_1_0",
        "cell/op_1_0",
        "cell/op_1_0/kernel",
    ]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("merge_op", ["all", "loose_end"])
def test_torchscript_compiles_cells(drawn, merge_op):
    class Net(nn.Module):
        def __init__(self, cell):
            super().__init__()
            self.cell = cell

        def forward(self, x: torch.Tensor):
            return self.cell([x, x])

    class Pair(nn.Module):
        def forward(self, output: torch.Tensor, inputs: list[torch.Tensor]):
            return [inputs[1], output]

    x = torch.randn(1, 16, 2, 2)
    for seed, last in ((0, None), (1, None), (2, Pair())):
        cell, _ = drawn(seed, [conv, identity], 3, 2, 2, merge_op, postprocessor=last)
        torch.testing.assert_close(torch.jit.script(Net(cell))(x), Net(cell)(x))


def test_wrong_arguments_are_refused():
    with pytest.raises(SpaceError, match="merge_op is 'some'"):
        nn.Cell([identity], 1, merge_op="some")
    with pytest.raises(SpaceError, match="has num_nodes 0; it must be a whole number, at least 1"):
        nn.Cell([identity], 0)
    with pytest.raises(SpaceError, match="no candidates"):
        nn.Cell([], 1)
