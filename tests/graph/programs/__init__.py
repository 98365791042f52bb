"""Small programs, one feature each, for the tests of the graph compiler.

They cover the operator and model checks of NNI's graph converter (those it skips too), and what
else a model may do: each is a class, with the inputs it is called with.
"""

from programs import (  # noqa: F401 (each adds its cases)
    arithmetic,
    cells,
    chance,
    conditions,
    containers,
    creation,
    exits,
    flow,
    functional,
    images,
    indexing,
    layers,
    loops,
    methods,
    modules,
    nets,
    optional,
    pointwise,
    questions,
    rare,
    scalars,
    shapes,
    state,
    texts,
    unscriptable,
    unseen,
    wrapped,
)
from programs.case import PROGRAMS, Program

__all__ = ["PROGRAMS", "Program"]
