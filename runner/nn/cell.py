"""Cell: a searchable graph of operations, as in NASNet (https://arxiv.org/abs/1707.07012)."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar, Literal, final, no_type_check

import torch
from torch import Tensor, nn

from runner.errors import SpaceError, shown
from runner.nn.equality import same_structure
from runner.nn.layer import Maker, candidates_of, make
from runner.nn.symbolic_modules import Described
from runner.nn.values.arguments import check_one_of, titled, whole
from runner.nn.values.build import current
from runner.nn.values.expression import Variable, compute
from runner.space.choice import Categorical, Subset


@final
@dataclass(frozen=True)
class CellSlot:
    """The choices of op and input of a slot of a node, with the modules for them.

    `variants` maps (index of the op, state) to a module; once resolved, only the chosen pair.
    """

    op: Categorical
    input: Subset
    place: int  # index of the chosen op; in a symbolic build, of that of the default model
    state: int
    variants: Mapping[tuple[int, int], nn.Module]


class Cell(Described):
    """A directed acyclic graph whose nodes each sum `num_ops_per_node` chosen operations.

    States 0 .. num_predecessors-1 are the inputs, or the tensors that `preprocessor(inputs)`
    returns; the nodes follow. Slot k of node i applies a chosen op to a chosen earlier state
    (choices `{label}/op_{i}_{k}`, `{label}/input_{i}_{k}`). The output is the concatenation along
    `concat_dim` of all nodes (`merge_op="all"`) or of those that no other node reads
    (`"loose_end"`), `output_node_indices`; a `postprocessor(output, inputs)` transforms it. An op
    candidate is a module (copied for each slot) or a factory `(node, slot, input) -> Module`.
    Raises SpaceError for invalid arguments; `forward` raises ValueError for a wrong number of
    inputs. In a symbolic build, `ops` holds a list of distinct modules for each slot; see `facts`.
    """

    kind: ClassVar[str] = "Cell"

    def __init__(
        self,
        op_candidates: Sequence[nn.Module | Maker] | Mapping[str, nn.Module | Maker],
        num_nodes: int,
        num_ops_per_node: int = 1,
        num_predecessors: int = 1,
        merge_op: Literal["all", "loose_end"] = "all",
        preprocessor: Callable[[list[Tensor]], Sequence[Tensor]] | None = None,
        postprocessor: Callable[[Tensor, list[Tensor]], Any] | None = None,
        concat_dim: int = 1,
        *,
        label: str | None = None,
    ) -> None:
        super().__init__()
        check_one_of(merge_op, "merge_op is", "all", "loose_end")
        what = titled("Cell", label)
        num_nodes = whole(num_nodes, f"{what} has num_nodes", 1)
        num_ops_per_node = whole(num_ops_per_node, f"{what} has num_ops_per_node", 1)
        num_predecessors = whole(num_predecessors, f"{what} has num_predecessors", 1)
        concat_dim = whole(concat_dim, f"{what} has concat_dim")
        for given in (preprocessor, postprocessor):
            if given is not None and not callable(given):
                raise SpaceError(f"{what} has a processor {shown(given)}; it must be a module or a "
                                 "function, or None.")  # fmt: skip
        self.num_predecessors = num_predecessors
        self.concat_dim = concat_dim
        self.merge_op = merge_op
        self.preprocessor = preprocessor
        self.postprocessor = postprocessor
        self.ops = nn.ModuleList()
        self.inputs: list[list[int]] = []  # per node, the state each slot reads

        build = current()
        nodes = range(num_predecessors, num_predecessors + num_nodes)
        name = build.label(label)
        with build.below(name):
            options = candidates_of(op_candidates, f"Cell {name!r}")
            slots = [[_slot(options, i, k) for k in range(num_ops_per_node)] for i in nodes]
        for node in slots:
            self.ops.append(nn.ModuleList(_modules(slot, build.symbolic) for slot in node))
            self.inputs.append([slot.state for slot in node])
        self.output_node_indices = _outputs(num_predecessors, merge_op, self.inputs)
        if build.symbolic:
            if merge_op == "loose_end":
                inputs = [[Variable(slot.input, [slot.state]) for slot in node] for node in slots]
                self.output_node_indices = compute(_loose, num_predecessors, inputs)
            self.__class__ = OpenCell
            self.slots = slots  # `facts` speak of them

    def facts(self) -> dict[str, Any]:
        """Returns the arguments, and as `nodes` a dict for each slot of each node:

        - `op`, `input`: a Categorical and a Subset; None once they are resolved;
        - `state`: the index of the state that is read; None until it is resolved;
        - `variants`: maps (index of the op, state) to the path of its module below this cell.

        `preprocessor` and `postprocessor` are names of children, plain callables, or None.
        """
        return {
            "num_predecessors": self.num_predecessors,
            "concat_dim": self.concat_dim,
            "merge_op": self.merge_op,
            "nodes": self._nodes(),
            "preprocessor": self._processor("preprocessor"),
            "postprocessor": self._processor("postprocessor"),
        }

    def _processor(self, name: str) -> Any:
        return name if name in self._modules else getattr(self, name)

    def _nodes(self) -> list[list[dict[str, Any]]]:
        return [
            [{"op": None, "input": None, "state": state, "variants": {}} for state in states]
            for states in self.inputs
        ]

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Calls `forward` with the tensors of the predecessors, as arguments or as one list."""
        if "inputs" in named:
            inputs = (named.pop("inputs"), *inputs)
        return super().__call__(_listed(*inputs), **named)

    @no_type_check  # and no return type: TorchScript infers that of a postprocessor
    def forward(self, inputs: list[Tensor]):
        """Returns the output for a list of inputs. Uses only Python that TorchScript compiles."""
        if len(inputs) != self.num_predecessors:
            raise ValueError(
                f"Cell was called with {len(inputs)} inputs; it has {self.num_predecessors}."
            )
        states = list(inputs)
        if self.preprocessor is not None:
            states = list(self.preprocessor(inputs))
        if len(states) != self.num_predecessors:
            raise ValueError(
                f"Cell's preprocessor gave {len(states)} tensors; it has {self.num_predecessors}."
            )
        for i, slots in enumerate(self.ops):
            node = slots[0](states[self.inputs[i][0]])
            for k, op in enumerate(slots):
                if k > 0:
                    node = node + op(states[self.inputs[i][k]])
            states.append(node)
        output = torch.cat([states[i] for i in self.output_node_indices], self.concat_dim)
        if self.postprocessor is not None:
            return self.postprocessor(output, inputs)
        return output


@final
class OpenCell(Cell):
    """A Cell with symbolic choices; runs as in the default model."""

    slots: list[list[CellSlot]]

    def _nodes(self) -> list[list[dict[str, Any]]]:
        nodes = []
        for i, slots in enumerate(self.slots):
            nodes.append([self._symbolic(slot, f"ops.{i}.{k}") for k, slot in enumerate(slots)])
        return nodes

    def _symbolic(self, slot: CellSlot, path: str) -> dict[str, Any]:
        names = {
            id(module): f"{path}.{n}" for n, module in self.get_submodule(path).named_children()
        }
        variants = {place: names[id(module)] for place, module in slot.variants.items()}
        return {"op": slot.op, "input": slot.input, "state": None, "variants": variants}

    @no_type_check
    def forward(self, inputs: list[Tensor]):
        """Runs the forward of a decided cell on the slots of the default model."""
        ops = [[slot.variants[slot.place, slot.state] for slot in node] for node in self.slots]
        outputs = _outputs(self.num_predecessors, self.merge_op, self.inputs)
        decided = SimpleNamespace(
            num_predecessors=self.num_predecessors,
            concat_dim=self.concat_dim,
            preprocessor=self.preprocessor,
            postprocessor=self.postprocessor,
            ops=ops,
            inputs=self.inputs,
            output_node_indices=outputs,
        )
        return Cell.forward(decided, inputs)


def _listed(*inputs: Any) -> list[Any]:
    """Returns the inputs of a Cell as a list; `resolve_modules` writes the same in source."""
    one_list = len(inputs) == 1 and isinstance(inputs[0], list | tuple)
    return list(inputs[0] if one_list else inputs)


def _slot(options: dict[Any, nn.Module | Maker], node: int, slot: int) -> CellSlot:
    """Declares the choices of a slot and makes its chosen module, or all in a symbolic build."""
    build = current()
    read = Subset(build.label(f"input_{node}_{slot}"), node, 1)
    [state] = build.ask(read)
    op = Categorical(build.label(f"op_{node}_{slot}"), tuple(options))
    place = op.index(build.ask(op))
    if not build.symbolic:
        module = _make_op(options[op.candidates[place]], node, slot, state, op.label)
        return CellSlot(op, read, place, state, {(place, state): module})
    places = [(i, s) for i in range(len(options)) for s in range(node)]
    ways = [
        (
            {read.label: [s], op.label: op.candidates[i]},
            partial(_make_op, options[op.candidates[i]], node, slot, s, op.label),
        )
        for i, s in places
    ]
    variants = dict(zip(places, build.branches(ways), strict=True))
    for i, s in places:  # share one module among the states for which it is the same
        variants[i, s] = next(
            module
            for (j, _), module in variants.items()
            if i == j and (module is variants[i, s] or same_structure(module, variants[i, s]))
        )
    return CellSlot(op, read, place, state, variants)


def _make_op(
    candidate: nn.Module | Maker, node: int, slot: int, state: int, label: str
) -> nn.Module:
    if isinstance(candidate, nn.Module):
        return copy.deepcopy(candidate)
    return make(candidate, node, slot, state, what=f"Cell: a candidate of {label!r}")


def _modules(slot: CellSlot, symbolic: bool) -> nn.Module:
    """Returns the entry of a slot in `ops`: its module, or a list of all distinct ones."""
    different = [*dict.fromkeys(slot.variants.values())]
    return nn.ModuleList(different) if symbolic else different[0]


def _loose(first: int, inputs: Sequence[Sequence[Sequence[int]]]) -> list[int]:
    """Returns the loose ends of a cell, from the answers to the input choices of its slots."""
    return _outputs(first, "loose_end", [[state for [state] in node] for node in inputs])


def _outputs(first: int, merge_op: str, inputs: Sequence[Sequence[int]]) -> list[int]:
    """Returns the output nodes of a cell whose nodes start at `first` and read `inputs`."""
    read = {state for states in inputs for state in states}
    nodes = range(first, first + len(inputs))
    return [i for i in nodes if merge_op == "all" or i not in read]
