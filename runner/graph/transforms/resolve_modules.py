"""Resolves the primitives of spaces (LayerChoice, Repeat, InputChoice, Cell), given a sample."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, final
from weakref import WeakValueDictionary

from runner.graph.ir.argument import Argument, Ref
from runner.graph.ir.function import Function
from runner.graph.ir.node import Parameter, Value
from runner.graph.ir.unit import Unit
from runner.graph.transforms.inline_input_choices import input_choice
from runner.nn.values.expression import Expression
from runner.space.sample import Chooser


class Decide(Protocol):
    """A function that resolves a symbolic unit, which is not changed. The result may contain units
    of it, symbolic ones included."""

    def __call__(self, unit: Unit, ask: Chooser) -> Unit: ...


def _layer_choice(unit: Unit, ask: Chooser) -> Unit:
    choice = unit.facts["choice"]
    chosen: Unit | None = [*unit.children.values()][choice.index(ask(choice))]
    assert chosen is not None
    return chosen


def _repeat(unit: Unit, ask: Chooser) -> Unit:
    depth = unit.facts["depth"]
    number = depth.resolve(ask) if isinstance(depth, Expression) else depth
    blocks = Unit("graph", Ref("torch.nn:Sequential"))
    for name in [*unit.children][:number]:
        blocks.children[name] = unit.children[name]
    blocks.changed = True
    return blocks


def _cell(unit: Unit, ask: Chooser) -> Unit:
    return _DecidedCell(unit, ask).unit


ANYHOW = "anyhow"  # key in the facts of a resolved cell: its _DecidedCell
CHOSEN = "chosen by another"  # key in the facts: whether another choice chose the cell
Forwards = WeakValueDictionary[object, Function]  # wiring of a cell -> its forward


@final
class _DecidedCell:
    """A cell with its chosen operations, and a forward with one line for each node. Cells with
    equal wiring share one forward."""

    def __init__(self, unit: Unit, ask: Chooser) -> None:
        self.facts = unit.facts
        self.first: int = self.facts["num_predecessors"]
        self.unit = Unit("graph", unit.cls)
        self.unit.changed = True
        self.unit.facts[ANYHOW] = self
        for name in ("preprocessor", "postprocessor"):
            if unit.children.get(name) is not None:
                self.unit.children[name] = unit.children[name]
        self.unit.children["ops"] = ops = _modules()
        self.states: list[list[int]] = []  # read by the slots of each node
        for i, slots in enumerate(self.facts["nodes"]):
            chosen = [_slot(unit, slot, f"ops.{i}.{k}", ask) for k, slot in enumerate(slots)]
            ops.children[str(i)] = node = _modules()
            node.children.update({str(k): op for k, (_, op) in enumerate(chosen)})
            self.states.append([state for state, _ in chosen])

    def attributes(self) -> dict[str, Argument]:
        """Returns the plain attributes of a `runner.nn.Cell`, for code that reads them."""
        return {
            "num_predecessors": self.first,
            "concat_dim": self.facts["concat_dim"],
            "merge_op": self.facts["merge_op"],
            "inputs": [[*states] for states in self.states],
            "output_node_indices": self._shown(),
        }

    def _shown(self) -> list[int]:
        """Returns the nodes whose results are concatenated to the output."""
        read = {state for states in self.states for state in states}
        nodes = range(self.first, self.first + len(self.states))
        return [node for node in nodes if self.facts["merge_op"] == "all" or node not in read]

    def forward(self, forwards: Forwards, *, anyhow: bool = False) -> Function:
        """Returns a forward that takes a list; with `anyhow`, a list or the inputs one by one."""
        processors = self.facts["preprocessor"], self.facts["postprocessor"]
        facts = self.facts["merge_op"], self.facts["concat_dim"]
        wiring = anyhow, self.first, *processors, *facts, tuple(map(tuple, self.states))
        forward = forwards.get(wiring)  # equal for cells with the same forward
        if forward is None:
            forward = forwards[wiring] = self._written(anyhow)
        return forward

    def _written(self, anyhow: bool) -> Function:
        if anyhow:
            more = [Parameter(f"input{i}", (None,)) for i in range(1, self.first)]
            forward = Function("forward", [Parameter("inputs"), *more])
            inputs = _listed(forward)
        else:
            forward = Function("forward", [Parameter("inputs", annotation="list[torch.Tensor]")])
            [inputs] = forward.inputs
        given = self._process(forward, "preprocessor", inputs)
        read = {state for states in self.states for state in states}
        names = [f"state{i}" if i in read else "" for i in range(self.first)]
        apart = forward.create(
            "unpack", "", (given,), outputs=names
        )  # which fails for any other number of inputs
        states = dict(enumerate(apart.outputs))
        for i, slots in enumerate(self.states):
            terms = [forward.call_module(f"ops.{i}.{k}", states[s]) for k, s in enumerate(slots)]
            total = terms[0]
            for term in terms[1:]:
                total = forward.call_function("operator:add", total, term)
            total.name = f"node{self.first + i}"
            states[self.first + i] = total
        shown = [states[node] for node in self._shown()]
        output = forward.call_function("torch:cat", shown, self.facts["concat_dim"])
        output.name = "output"
        forward.result = self._process(forward, "postprocessor", output, inputs)
        return forward

    def _process(self, forward: Function, name: str, *given: Argument) -> Argument:
        """Returns the result of the pre- or postprocessor of the cell; without one, the first
        argument."""
        process = self.facts[name]
        if process is None:
            return given[0]
        if name in self.unit.children:
            value = forward.call_module(name, *given)
        else:
            value = forward.call_function(process.target, *given)
        value.name = "states" if name == "preprocessor" else ""
        return value


def _listed(function: Function) -> Value:
    """Creates a list of the inputs of a cell, as `runner.nn.Cell` does; returns it."""
    first = function.inputs[0]
    kinds = (Ref("builtins:list"), Ref("builtins:tuple"))
    whole = function.call_function("builtins:isinstance", first, kinds)
    branch = function.create("if", "", (whole,), outputs=())
    one, apart = branch.add_block(), branch.add_block()
    with function.inserting_into(one):
        one.results = (function.call_function("builtins:list", first),)
    with function.inserting_into(apart):
        apart.results = (function.create("list", "", function.inputs).output,)
    return branch.add_output("inputs")


def generalize_cells(root: Unit, forwards: Forwards) -> None:
    """Adds a forward that takes inputs in any form to the resolved cells of a model, except those
    that are only called by code of the graph with a list."""
    cells = {unit for _, unit in root.walk() if ANYHOW in unit.facts}
    hidden = _below_unread_code(root) & cells if cells else set()
    known = _called_with_lists(root, cells) - hidden if cells else set()
    for cell in cells:
        decided: _DecidedCell = cell.facts.pop(ANYHOW)
        del cell.facts[CHOSEN]
        if cell not in known:
            cell.functions["forward"] = decided.forward(forwards, anyhow=True)
        if cell in hidden:
            cell.attributes |= decided.attributes()


def _below_unread_code(root: Unit) -> set[Unit]:
    """Returns the units that opaque code may call and inspect."""
    return {
        inner
        for _, unit in root.walk()
        if unit.grade == "shell" or unit.inherits
        for _, inner in unit.walk()
    }


def _called_with_lists(root: Unit, cells: set[Unit]) -> set[Unit]:
    """Returns the cells that are only called by nodes, and with a list: one created there, or one
    by its type, which determines how code that TorchScript reads calls a cell."""
    calls: dict[Unit, list[bool]] = {}
    for _, unit in root.walk():
        for function in unit.functions.values():
            for node in function.nodes:
                if node.op == "call_module" and (called := unit.find(node.path)) in cells:
                    typed = unit not in cells and not called.facts[CHOSEN]
                    typed = typed and unit.provenance.frontend == "torchscript"
                    calls.setdefault(called, []).append(typed or _is_list(node.args))
    return {cell for cell, lists in calls.items() if all(lists)}


def _is_list(args: Sequence[Argument]) -> bool:
    first = args[0] if len(args) == 1 else None
    made = first.node if isinstance(first, Value) else None
    return isinstance(first, list) or (made is not None and made.op == "list")


def _slot(cell: Unit, slot: Mapping[str, Any], path: str, ask: Chooser) -> tuple[int, Unit]:
    """Returns the state that a slot reads, and its operation."""
    if slot["op"] is None:
        return slot["state"], cell.at(path)
    [state] = ask(slot["input"])
    option = slot["op"].index(ask(slot["op"]))
    return state, cell.at(slot["variants"][option, state])


def _modules() -> Unit:
    modules = Unit("graph", Ref("torch.nn:ModuleList"))
    modules.changed = True
    return modules


KINDS: Mapping[str, Decide] = {
    "LayerChoice": _layer_choice,
    "Repeat": _repeat,
    "InputChoice": input_choice,
    "Cell": _cell,
}
