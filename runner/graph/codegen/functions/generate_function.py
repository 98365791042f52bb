"""Function -> source: the passes that turn a function of the graph into the lines of a `def`.

`analyze` runs those that do not depend on names, `print_function` the rest. A `FunctionTemplate`
caches their results, since the samples of a search share most of their functions.
"""

import weakref
from collections.abc import Sequence
from typing import final

from runner.graph.codegen.control_flow.iteration import find_iterations
from runner.graph.codegen.control_flow.module_loops import roll_loops
from runner.graph.codegen.control_flow.structure import structure_control_flow
from runner.graph.codegen.expressions.imports import Imports, as_name
from runner.graph.codegen.functions.expression_folding import Folding
from runner.graph.codegen.functions.statements import Printer
from runner.graph.codegen.functions.value_expressions import Access
from runner.graph.codegen.functions.variable_allocation import Variables
from runner.graph.ir.argument import Argument, leaves_and_calls
from runner.graph.ir.containers import IteratedContainer
from runner.graph.ir.dead_code import LiveCode
from runner.graph.ir.function import Function
from runner.graph.ir.jumps import BREAK, CONTINUE, RETURN
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Call, Ref
from runner.python_operators import INFIX, PREFIX


def analyze(function: Function, containers: Sequence[IteratedContainer] = ()) -> Folding:
    """Returns which nodes of a function are written, and how, without changing the function. Loops
    may iterate over `containers`."""
    structured = roll_loops(structure_control_flow(function), containers)
    iterations = find_iterations(structured)
    live = LiveCode(structured, iterations)
    return Folding(structured, live, iterations)


def print_function(
    folding: Folding, imports: Imports, access: Access, reserved: set[str], first: str
) -> list[str]:
    """Returns the lines of the `def`. `reserved` are names that no variable may have, `first` is
    "self" for a method, else ""."""
    variables = Variables(folding, reserved)
    return Printer(folding, variables, imports, access).function(first)


# Names that printing uses other than for a call in the graph, without an import.
_IMPLIED = frozenset(
    {
        *("range", "enumerate", "zip", "float", "complex", "getattr", "setattr", "slice"),
        "CONSTANTS",
    }
)
# Targets that are written as syntax, without the name of the function.
_SYNTAX = frozenset([
    *(RETURN, BREAK, CONTINUE, "operator:contains"),
    *(f"operator:{name}" for name in (*INFIX, *PREFIX, "getitem", "setitem", "delitem")),
])  # fmt: skip


@final
class FunctionTemplate:
    """The source of a function, parametrized by the names of imports and of units.

    Once the first text is printed, it keeps texts and no nodes.
    """

    def __init__(self, function: Function, containers: Sequence[IteratedContainer] = ()) -> None:
        self._function = weakref.ref(function)
        self._containers = containers
        folding = analyze(function, containers)
        self._folding: Folding | None = folding  # until the first text is printed
        self.targets: dict[str, None] = {}  # that it imports
        self.paths: dict[str, None] = {}  # below `self`
        self.parameters = [as_name(parameter.name) for parameter in function.parameters]
        for node in folding.function.block.walk():
            if node in folding.live.nodes or node.op == "output":
                self._note(node)
        self._note_targets([parameter.default for parameter in function.parameters])
        self._texts: dict[tuple[object, ...], list[str]] = {}

    def _note(self, node: Node) -> None:
        if node.op in ("call_function", "raise") and node.target not in _SYNTAX:
            self.targets[node.target] = None
        if node.op in ("call_module", "get_attr"):
            self.paths[node.path] = None
        self._note_targets((node.args, {**node.kwargs}))

    def _note_targets(self, argument: Argument) -> None:
        for part in leaves_and_calls(argument):
            if type(part) is Ref or (type(part) is Call and part.target[:1] != "."):
                self.targets[part.target] = None

    def lines(self, imports: Imports, access: Access, first: str) -> list[str]:
        """Returns the lines of the `def`. `first` is "self" for a method, else ""."""
        called = tuple([imports.name(target) for target in self.targets])
        key = (first, called, tuple([access(path) for path in self.paths]))
        if key not in self._texts:
            reserved = {name.partition(".")[0] for name in called} | _IMPLIED | {first}
            folding, self._folding = self._folding or self._analyzed(), None
            self._texts[key] = print_function(folding, imports, access, reserved, first)
        return self._texts[key]

    def _analyzed(self) -> Folding:
        function = self._function()
        assert function is not None, "the graph contains its functions"
        return analyze(function, self._containers)


def template(
    function: Function, containers: tuple[IteratedContainer, ...] = (), *, shared: bool
) -> FunctionTemplate:
    """Returns the template of a function, with loops over `containers`; cached if the function is
    shared and so no longer changes."""
    if not shared:
        return FunctionTemplate(function, containers)
    known: dict[tuple[IteratedContainer, ...], FunctionTemplate]
    known = function.analyses.setdefault("templates", {})
    if containers not in known:
        known[containers] = FunctionTemplate(function, containers)
    return known[containers]
