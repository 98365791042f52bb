"""The memory that a training step of a model needs."""

from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from runner.errors import require
from runner.measures.measure import Measure

STATES = 2  # tensors that an optimizer keeps per parameter, as Adam does


@final
class TrainingMemory(Measure):
    """The peak of a training step in bytes.

    On a GPU it is measured, with Adam's two states per parameter. Elsewhere it is estimated: the
    weights, gradients and states, and what the forward pass keeps for the backward pass.
    """

    unit = "B"

    def __init__(self, *, batch_size: int) -> None:
        require(batch_size >= 1, "measure.memory.batch_size", batch_size, "at least 1")
        self.batch_size = batch_size

    def measure(self, model: nn.Module, example: Tensor, device: torch.device) -> float:
        batch = example.expand(self.batch_size, *example.shape[1:])
        if device.type != "cuda":
            return self._estimated(model.to("meta"), batch.to("meta"))
        _warm_up(device)
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        model = model.to(device).train()
        optimizer = torch.optim.AdamW(model.parameters())
        _sum(model(batch.to(device))).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return torch.cuda.max_memory_allocated(device) - before

    @staticmethod
    def _estimated(model: nn.Module, batch: Tensor) -> float:
        weights = [*model.parameters(), *model.buffers()]
        own = {id(tensor.untyped_storage()) for tensor in weights}
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if id(storage) not in own:
                kept[storage._cdata] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = model.train()(batch)
        trained = sum(_bytes(p) for p in model.parameters() if p.requires_grad)
        activations = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
        del output
        return sum(map(_bytes, weights)) + (1 + STATES) * trained + activations + _bytes(batch)


def _warm_up(device: torch.device) -> None:
    """Lets libraries take the memory that they keep for all models: cuBLAS takes up to 32 MiB with
    the first product of each thread. Before it, the allocator has no statistics to reset."""
    weight = torch.ones(2, 2, device=device, requires_grad=True)
    linear(torch.ones(2, 2, device=device), weight, weight[0]).sum().backward()  # type: ignore[no-untyped-call]


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _sum(output: Any) -> Tensor:
    """Returns something to differentiate, for a model with one output or several."""
    tensors = [output] if isinstance(output, Tensor) else [*output]
    return sum((t.float().sum() for t in tensors), torch.zeros((), device=tensors[0].device))
