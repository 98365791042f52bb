"""Cell: a small directed graph of chosen operations, as in NASNet (https://arxiv.org/abs/1707.07012)."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, final, no_type_check

import torch
from torch import Tensor, nn

from runner.choice import Categorical
from runner.errors import SpaceError
from runner.nn.build import current
from runner.nn.layer import InputChoice, Maker, candidates_of, make


@final
class Cell(nn.Module):
    """Node i sums `num_ops_per_node` slots; each applies a chosen op to a chosen earlier state.

    States 0 .. num_predecessors-1 are the inputs, after `preprocessor(inputs) -> states`; nodes
    follow. The output is the concatenation, along `concat_dim`, of all nodes (`merge_op="all"`) or
    of those that no other node reads (`"loose_end"`); `output_node_indices` lists them.
    `postprocessor(output, inputs)` has the last word. Slot k of node i asks for
    `{label}/input_{i}_{k}` and `{label}/op_{i}_{k}`. An op candidate is a module (copied for each
    slot) or a factory `(node, slot, input) -> Module`.
    """

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
        if merge_op not in ("all", "loose_end"):
            raise SpaceError(f"merge_op is {merge_op!r}; it must be all or loose_end.")
        if min(num_nodes, num_ops_per_node, num_predecessors) < 1:
            raise SpaceError("A Cell needs at least one node, one op per node, one predecessor.")
        self.num_predecessors = num_predecessors
        self.concat_dim = concat_dim
        self.preprocessor = preprocessor
        self.postprocessor = postprocessor
        self.ops = nn.ModuleList()
        self.inputs: list[list[int]] = []  # per node, the state each slot reads

        build = current()
        nodes = range(num_predecessors, num_predecessors + num_nodes)
        with build.below(build.label(label)):
            for i in nodes:
                slots = [_slot(candidates_of(op_candidates), i, k) for k in range(num_ops_per_node)]
                self.ops.append(nn.ModuleList(op for op, _ in slots))
                self.inputs.append([state for _, state in slots])

        read = {state for states in self.inputs for state in states}
        self.output_node_indices = [i for i in nodes if merge_op == "all" or i not in read]

    def __call__(self, *inputs: Any) -> Any:
        """Takes the predecessors' tensors, as arguments or as one list."""
        one_list = len(inputs) == 1 and isinstance(inputs[0], list | tuple)
        return super().__call__(list(inputs[0] if one_list else inputs))

    @no_type_check  # and no return type: TorchScript infers what a postprocessor gives
    def forward(self, inputs: list[Tensor]):
        """Written so that TorchScript can compile it."""
        if len(inputs) != self.num_predecessors:
            raise ValueError(
                f"Cell was called with {len(inputs)} inputs; it has {self.num_predecessors}."
            )
        states = inputs[:]
        if self.preprocessor is not None:
            states = list(self.preprocessor(inputs))
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


def _slot(options: dict[Any, nn.Module | Maker], node: int, slot: int) -> tuple[nn.Module, int]:
    """The op of a slot and the state it reads."""
    build = current()
    chosen = InputChoice(node, label=f"input_{node}_{slot}").chosen[0]
    choice = Categorical(build.label(f"op_{node}_{slot}"), tuple(options))
    candidate = options[build.walk.ask(choice)]
    if isinstance(candidate, nn.Module):
        return copy.deepcopy(candidate), chosen
    return make(candidate, node, slot, chosen), chosen
