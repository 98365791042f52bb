"""Flattens the graph of a model into a program: units followed, control flow run, nothing changed
in place.

The graph is run twice, on batches of two sizes without data, and what differs between the runs
tells what follows the number of examples. A unit that cannot be followed becomes one opaque step:
where data or the number of examples decides, state of the model is changed, or memory that others
see. Which units those are is learned one at a time, by starting over.
"""

import logging
from collections.abc import Sequence

from runner.errors import GraphError
from runner.fusion.program import Program, Programs
from runner.fusion.tracing.batch_dimension import Merge, needed
from runner.fusion.tracing.tape import Unfollowed
from runner.fusion.tracing.tracer import Plan, Recorder
from runner.graph.ir.graph import Graph

log = logging.getLogger(__name__)

SIZES = (2, 7)  # the smaller, the more slices of a batch end elsewhere; one is no batch for a norm


def programs_of(graph: Graph, shape: Sequence[int]) -> Programs:
    """What a decided graph does in both modes; see `flatten`. What one mode cannot follow, the
    other does not either: it may change what that one reads."""
    plan = Plan()
    train = _followed(graph, shape, plan, training=True)
    known = len(plan.opaque)
    evaluation = _followed(graph, shape, plan.again(), training=False)
    if len(plan.opaque) > known:
        train = _followed(graph, shape, plan.again(), training=True)
    return Programs(train, evaluation)


def flatten(graph: Graph, shape: Sequence[int], *, training: bool) -> Program:
    """The program of a decided graph in one mode, for float32 examples of a shape.

    The program runs on any device: what makes tensors without being given any makes them on that of
    the batch (`with device:`). Shapes are promised from two examples on: a single one may broadcast
    or be squeezed. Raises GraphError for a model that is not decided, does not run on
    such examples, or gives something that is no tensor.
    """
    return _followed(graph, shape, Plan(), training=training)


def _followed(graph: Graph, shape: Sequence[int], plan: Plan, *, training: bool) -> Program:
    while True:
        try:
            return _flattened(graph, shape, plan, training=training)
        except Unfollowed as problem:
            if problem.call is None:
                raise GraphError(f"The model has no program: {problem}") from problem
            log.debug("%s:%s is opaque: %s", *problem.call, problem)
            plan.make_opaque(graph, problem.call, str(problem))


def _flattened(graph: Graph, shape: Sequence[int], plan: Plan, *, training: bool) -> Program:
    recorders = [Recorder(graph, plan, training=training) for _ in SIZES]
    results = [r.record(size, shape) for r, size in zip(recorders, SIZES, strict=True)]
    merge = Merge(SIZES, (recorders[0].tape, recorders[1].tape))
    steps = merge.steps()
    result = merge.result(*results)
    kept = tuple(needed(steps, merge.pure, result))
    numbers = {var.number for step in kept for var in step.outputs} | {0}
    specs = {var: spec for var, spec in merge.specs.items() if var.number in numbers}
    return Program(kept, specs, result)
