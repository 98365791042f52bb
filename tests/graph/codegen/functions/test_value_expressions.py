"""How values are written as expressions."""

import passed
import torch
from programs.source import body

from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source


def test_a_unit_that_is_passed_on_and_a_value_that_is_called() -> None:
    graph, model = passed.passing_graph(), passed.Passing()
    assert body(graph) == (
        "y = checkpoint(self.block, self.stem(x), use_reentrant=False)\n"
        "return nn.Softmax(dim=1)(self.head(y))"
    )
    generated = load_source(generate(graph)).build()
    generated.load_state_dict(model.state_dict())
    x = torch.randn(2, 4)
    assert generated(x).equal(model(x))
