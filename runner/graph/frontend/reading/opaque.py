"""Modules that no front end reads: layers, choices of modules, and classes with @basic_unit."""

from torch import nn

from runner.nn.layer import Placeholder
from runner.nn.symbolic_modules import Described
from runner.nn.values.build import is_leaf, is_scripted


def is_opaque(module: nn.Module) -> bool:
    """Returns whether a module is not read: a layer, a choice, one of a class with @basic_unit, or
    one that TorchScript compiled before."""
    return is_opaque_class(type(module))


def is_opaque_class(cls: type[nn.Module]) -> bool:
    """Returns whether modules of a class are not read, see `is_opaque`."""
    return is_scripted(cls) or is_choice(cls) or cls is Placeholder or is_leaf(cls)


def is_choice(cls: type[nn.Module]) -> bool:
    """Returns whether a class is one of choices of modules."""
    return issubclass(cls, Described) and cls is not Placeholder
