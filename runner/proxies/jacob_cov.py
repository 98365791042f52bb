"""The covariance of Jacobians (Mellor et al. 2020, https://arxiv.org/abs/2006.04647, version 1)."""

from typing import final

import torch
from torch import nn

from runner.data.data import Batch
from runner.errors import ConfigError
from runner.proxies.proxy import Proxy, TrainingLoss, in_training

SMALL = 1e-5  # added to each eigenvalue, as in the paper


@final
class JacobianCovariance(Proxy):
    """How differently a model reacts to the examples of a batch: of the gradients of its outputs
    with respect to its inputs, one per example, the correlation matrix; the closer that is to the
    identity, the higher the score."""

    def score(self, model: nn.Module, batch: Batch, loss: TrainingLoss | None) -> float:
        inputs = batch[0].detach().clone()
        if not inputs.is_floating_point():
            raise ConfigError(
                f"jacob_cov differentiates a model by its inputs, and these are {inputs.dtype}."
            )
        outputs = in_training(model)(inputs.requires_grad_())
        [jacobian] = torch.autograd.grad(outputs.sum(), inputs)
        correlation = torch.corrcoef(jacobian.flatten(1).cpu().double())  # (N, N)
        if not correlation.isfinite().all():
            raise ConfigError("jacob_cov: the model does not depend on some of the examples.")
        values = torch.linalg.eigvalsh(correlation).clamp(min=0) + SMALL
        return -float((values.log() + 1 / values).sum())
