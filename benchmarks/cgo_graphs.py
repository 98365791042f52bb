"""Whole steps of training as CUDA graphs (https://docs.pytorch.org/docs/stable/notes/cuda.html).

Models one by one, each a graph of its own, or a fused group as a single graph. The learning rate is
that of the capture, for ever: a schedule would cost them a little more.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from cgo_cases import Candidates, evaluator
from torch import Tensor, nn

from runner.data.data import Batch
from runner.evaluators.member import Member
from runner.evaluators.plain_optimizer import make_plain
from runner.fusion.fuse import fuse
from runner.fusion.packing.packed_parameters import Parameters
from runner.fusion.packing.random_streams import Streams

WARM_UP = 3  # steps before a capture
RATE, DECAY = 3e-3, 1e-2


@final
class Replay:
    """Graphs that are replayed one after another on a batch: a step of all models."""

    def __init__(
        self, batch: Batch, losses: Sequence[tuple[Callable[[], Tensor], Sequence[Tensor]]]
    ) -> None:
        """Records the training of pairs of a loss, of the tensors of `batch`, and parameters."""
        self._batch = batch
        self._made = [_captured(*one) for one in losses]

    def __call__(self, batch: Batch) -> None:
        for kept, given in zip(self._batch, batch, strict=True):
            kept.copy_(given)
        for graph, _ in self._made:
            graph.replay()

    def loss(self) -> float:
        """The sum of the losses of all models in the last step."""
        return sum(float(loss) for _, loss in self._made)


def graphs(members: Sequence[Member], batch: Batch) -> Replay:
    """The step of models that are recorded one by one."""
    kept = _copied(batch)
    return Replay(kept, [_of_model(member.model, kept) for member in members])


def fused_graph(candidates: Candidates, models: Sequence[nn.Module], batch: Batch) -> Replay:
    """The step of models that are fused, recorded as one: all with one learning rate, since a
    kernel that is recorded has its numbers."""
    kept = inputs, targets = _copied(batch)
    models = [model.to(inputs.device).train() for model in models]
    parameters, streams = Parameters(), Streams([0] * len(models), inputs.device)
    programs = [own.train for own in candidates.programs()]
    forward = fuse(models, programs, parameters, streams).forward
    packed = [one.tensor for one in parameters.all(models) if one.tensor.requires_grad]
    pieces = evaluator(RATE, DECAY)

    def loss() -> Tensor:
        losses = pieces.losses(forward(inputs), targets.repeat(len(models)))
        return losses.view(len(models), -1).mean(1).sum()

    return Replay(kept, [(loss, packed)])


def eager_loss(members: Sequence[Member], batches: Sequence[Batch]) -> float:
    """What `Replay.loss` is to be after a step on each of some batches: the warm-up is on the
    first."""
    kept, total = _copied(batches[0]), 0.0
    for member in members:
        loss, parameters = _of_model(member.model, kept)
        step = _step(loss, parameters)
        for batch in [*[batches[0]] * WARM_UP, *batches]:
            for own, given in zip(kept, batch, strict=True):
                own.copy_(given)
            last = step()
        total += float(last)
    return total


def _copied(batch: Batch) -> Batch:
    return batch[0].clone(), batch[1].clone()


def _of_model(model: nn.Module, batch: Batch) -> tuple[Callable[[], Tensor], Sequence[Tensor]]:
    model.train()
    inputs, targets = batch
    pieces = evaluator(RATE, DECAY)
    parameters = [p for p in model.parameters() if p.requires_grad]
    return lambda: pieces.losses(model(inputs), targets).mean(), parameters


def _step(loss: Callable[[], Tensor], parameters: Sequence[Tensor]) -> Callable[[], Tensor]:
    """A step of training, which returns its loss."""
    on_cuda = parameters[0].device.type == "cuda"
    optimizer: Any = make_plain(
        torch.optim.AdamW, parameters, lr=RATE, weight_decay=DECAY, fused=True, capturable=on_cuda
    )

    def step() -> Tensor:
        optimizer.zero_grad()
        found = loss()
        found.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return found.detach()

    return step


def _captured(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor]
) -> tuple[torch.cuda.CUDAGraph, Tensor]:
    """A whole step as a graph, and the loss that it writes. The first steps, which allocate, run on
    a stream beside the usual one; the gradients of the graph lie in its own memory, since there are
    none before."""
    step = _step(loss, parameters)
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream().wait_stream(side)
    for parameter in parameters:
        parameter.grad = None
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    return graph, found
