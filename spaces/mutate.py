"""A space of any model there is: all that is left open is what mutators of its graph ask for."""

from runner import nn


def existing(model: nn.Module) -> nn.Module:
    """The model itself, as the config's node of it made it; `space.mutators` change its graph."""
    return model
