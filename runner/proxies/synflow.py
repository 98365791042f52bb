"""SynFlow (Tanaka et al. 2020, https://arxiv.org/abs/2006.05467), as a score of whole models.

Summed up over the weights of a model by Abdelfattah et al. 2021, https://arxiv.org/abs/2101.08134.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.data.data import Batch
from runner.proxies.proxy import Proxy, TrainingLoss, weights_of

NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.GroupNorm,
         nn.LayerNorm, nn.RMSNorm, nn.LocalResponseNorm)  # fmt: skip


@final
class SynFlow(Proxy):
    """The synaptic flow: with all weights replaced by their absolute values and one input of ones,
    weight x gradient of the sum of the outputs, added up over all weights.

    It needs no data but the shape of an example. Modules that normalize are left out, as in
    Abdelfattah's code, since they would undo the scale that is measured. In double precision, since
    the flow grows with each layer.
    """

    def score(self, model: nn.Module, batch: Batch, loss: TrainingLoss | None) -> float:
        model = model.eval().double()
        with torch.no_grad():
            for tensor in model.state_dict().values():
                if tensor.is_floating_point():
                    tensor.abs_()
        weights = weights_of(model)
        if not weights:
            return 0.0
        first = torch.ones_like(batch[0][:1])
        _leave_out_norms(model)
        with _double():
            flow = _sum(model(first.double() if first.is_floating_point() else first))
        gradients = torch.autograd.grad(flow, weights, allow_unused=True)
        pairs = zip(weights, gradients, strict=True)
        return sum(float((weight.detach() * g).sum()) for weight, g in pairs if g is not None)


def _leave_out_norms(model: nn.Module) -> None:
    """Lets modules that normalize return what they are given."""
    for module in model.modules():
        if isinstance(module, NORMS):
            vars(module)["forward"] = _given  # not a hook: their number is a state of the process


def _given(inputs: Tensor, *_: Any, **__: Any) -> Tensor:
    return inputs.clone()  # the next layer may work in place


@contextmanager
def _double() -> Iterator[None]:
    """Makes new tensors of a model doubles, as its weights are."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _sum(outputs: Any) -> Tensor:
    """Returns the sum of all outputs, of a model with one or several."""
    tensors = [outputs] if isinstance(outputs, Tensor) else [*outputs]
    return torch.stack([tensor.sum() for tensor in tensors]).sum()
