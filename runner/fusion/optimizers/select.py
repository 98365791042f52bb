"""The optimizers of a group of models: each model is trained as by an optimizer of its own."""

from collections.abc import Sequence

from torch.optim import Optimizer

from runner.fusion.optimizers.flat import Flat
from runner.fusion.optimizers.group_optimizer import Separate, Stacked
from runner.fusion.packing import Packed


def stacked(packed: Sequence[Packed], optimizers: Sequence[Optimizer]) -> Stacked:
    """What takes the steps of models with packed parameters, each with an optimizer of its own
    parameters; these go on from the state that they have.

    `packed` has all parameters that may get gradients; frozen ones may be among them. From now on
    parameters, gradients and states belong to what is returned: to load a state, do so first.
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
