"""The architectures of NAS-Bench-Graph, to look up (https://arxiv.org/abs/2206.09166)."""

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any, Literal

from torch import Tensor

from runner import nn

Operation = Literal["gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip"]
OPERATIONS: Sequence[Operation] = (
    *("gat", "gcn", "gin", "cheb", "sage"),
    *("arma", "graph", "fc", "skip"),
)
SKIP = OPERATIONS.index("skip")
NODES = range(4)
Architecture = tuple[Sequence[int], Sequence[int]]  # sources and operations of the four nodes


@nn.model_wrapper
class NASBenchGraph(nn.Module):
    """Four computing nodes, written as `architecture`, such as "0012 gat,gcn,gin,skip"; no layers.

    Choices:

    - `op0` to `op3`: the operation of a node.
    - `lk1` to `lk3`: the node it reads; 0 is the input, 1 the first computing node. That one reads
      the input. Nodes that no other reads are outputs.

    Architectures that compute the same are written the same, as in the benchmark's own code. One
    that only skips is refused.
    """

    def __init__(self, operations: Sequence[Operation] = OPERATIONS) -> None:
        super().__init__()
        sample: dict[str, Any] = {}
        for node in NODES:
            if node:
                sample[f"lk{node}"] = nn.ValueChoice([*range(node + 1)], label=f"lk{node}")
            sample[f"op{node}"] = nn.ValueChoice(operations, label=f"op{node}")
        if all(sample[f"op{node}"] == "skip" for node in NODES):
            nn.refuse("four skip connections are no graph neural network")
        same = self.canonical_sample(sample)
        links = "".join(str(same.get(f"lk{node}", 0)) for node in NODES)
        self.architecture = f"{links} {','.join(same[f'op{node}'] for node in NODES)}"

    def forward(self, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def canonical_sample(sample: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the sample that stands for all that compute the same as this one."""
        links = [sample.get(f"lk{node}", 0) for node in NODES]
        operations = [OPERATIONS.index(sample[f"op{node}"]) for node in NODES]
        links, operations = _ordered(*_with_first_skips(*_ordered(links, operations)))
        same = dict(sample)
        for node in NODES:
            same[f"op{node}"] = OPERATIONS[operations[node]]
            if node:
                same[f"lk{node}"] = links[node]
        return same


def _ordered(links: Sequence[int], operations: Sequence[int]) -> Architecture:
    """Returns the first of all orders in which each node comes after the one it reads."""
    found = []
    for order in permutations(NODES):
        place = {0: 0, **{node + 1: at + 1 for at, node in enumerate(order)}}
        sources = tuple(place[links[node]] for node in order)
        if all(source <= at for at, source in enumerate(sources)):
            found.append((sources, tuple(operations[node] for node in order)))
    return min(found)


def _with_first_skips(links: Sequence[int], operations: Sequence[int]) -> Architecture:
    """Moves skip connections to the input where that computes the same: those that another node
    reads, that are alone behind their source, or that skip from the input."""
    for node in NODES:
        if operations[node] != SKIP:
            continue
        is_read = node + 1 in links
        is_alone = sum(source == links[node] for source in links) == 1
        if is_read or is_alone or _skips_from_input(node, links, operations):
            links, operations = _skip_first(node, links, operations)
    return links, operations


def _skips_from_input(node: int, links: Sequence[int], operations: Sequence[int]) -> bool:
    while node >= 0:
        if operations[node] != SKIP:
            return False
        node = links[node] - 1
    return True


def _skip_first(node: int, links: Sequence[int], operations: Sequence[int]) -> Architecture:
    """Makes a skip connection the first node; all that read the input, read it now."""
    passed = [links[node] if source == node + 1 else source for source in links]
    moved = [source + (source <= node) for source in passed]
    return (
        (0, *moved[:node], *moved[node + 1 :]),
        (operations[node], *operations[:node], *operations[node + 1 :]),
    )
