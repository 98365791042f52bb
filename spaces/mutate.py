"""A space of any existing model; only the mutators of its graph have choices."""

from runner import nn


def existing(model: nn.Module) -> nn.Module:
    """Returns the model unchanged, as built from the config; `space.mutators` modify its graph."""
    return model
