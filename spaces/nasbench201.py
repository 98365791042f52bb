"""The cells of NAS-Bench-201, to look up: 5^6 = 15,625 (https://arxiv.org/abs/2001.00326)."""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from runner import nn

Operation = Literal["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


@nn.model_wrapper
class NASBench201(nn.Module):
    """A cell of four nodes as the benchmark writes it, `architecture`; it has no layers.

    Choices: `1<-0`, `2<-0`, `2<-1`, `3<-0`, `3<-1`, `3<-2`, each the operation from a node to
    another one, named as in the benchmark's own code.
    """

    def __init__(
        self,
        operations: Sequence[Operation] = (
            "none",
            "skip_connect",
            "nor_conv_1x1",
            "nor_conv_3x3",
            "avg_pool_3x3",
        ),
    ) -> None:
        super().__init__()
        nodes = []
        for node in (1, 2, 3):
            edges = [
                f"{nn.ValueChoice(operations, label=f'{node}<-{source}')}~{source}"
                for source in range(node)
            ]
            nodes.append(f"|{'|'.join(edges)}|")
        self.architecture = "+".join(nodes)

    def forward(self, x: Tensor) -> Tensor:
        return x
