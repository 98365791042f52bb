"""Optimizer selection: the fastest group optimizer equivalent to one optimizer per model."""

from collections.abc import Sequence

from torch.optim import Optimizer

from runner.fusion.optimizers.flat import Flat
from runner.fusion.optimizers.group_optimizer import Separate, Stacked
from runner.fusion.packing.packing import Packed


def stacked(packed: Sequence[Packed], optimizers: Sequence[Optimizer]) -> Stacked:
    """Returns the group optimizer of models with packed parameters and one optimizer for each,
    which continues from the states of these.

    `packed` holds all parameters that may get gradients, and may hold frozen ones. The returned
    object takes ownership of parameters, gradients and states: load any state beforehand.
    Raises ValueError if a parameter is packed twice.
    """
    trained = [pack for pack in packed if pack.tensor.requires_grad]
    owners = [own for pack in trained for _, own in pack.owners]
    if len(set(owners)) != len(owners):
        twice = len(owners) - len(set(owners))
        raise ValueError(f"Of {len(owners)} packed parameters, {twice} are packed twice.")
    if Flat.takes(trained, optimizers):
        return Flat(trained, optimizers)
    return Separate(trained, optimizers)
