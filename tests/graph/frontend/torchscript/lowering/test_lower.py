from runner.graph.frontend.torchscript.lowering import (
    calls,
    containers,
    control_flow,
    indexing,
    operator_rules,
    values,
)
from runner.graph.frontend.torchscript.lowering.lower import RULES


def test_each_node_kind_has_one_rule():
    rules = {
        function
        for module in (calls, containers, control_flow, indexing, operator_rules, values)
        for function in vars(module).values()
        if hasattr(function, "lowers")
    }
    kinds = [kind for rule in rules for kind in rule.lowers]
    assert len(kinds) == len({*kinds}) == len(RULES)
