"""Tracing: flattens a graph into a program, with units inlined, control flow executed and in-place
operations functionalized.

The graph is run twice on meta tensors, with two batch sizes; sizes that differ between the runs
depend on the batching dimension. A unit that cannot be traced becomes one opaque step: if it
branches on data or on the batch size, mutates the state of the model, or writes to shared memory.
These units are discovered one at a time; tracing restarts after each.
"""

import logging
from collections.abc import Sequence

from runner.errors import GraphError
from runner.fusion.program.program import Program, Programs
from runner.fusion.tracing.batch_dimension import Merge, needed
from runner.fusion.tracing.tape import Unfollowed
from runner.fusion.tracing.tracer import Plan, Recorder
from runner.graph.ir.graph import Graph

log = logging.getLogger(__name__)

SIZES = (2, 7)  # small, so that slices of a batch end differently; norms need more than one example


def programs_of(graph: Graph, shape: Sequence[int]) -> Programs:
    """Returns the programs of a resolved graph in both modes; see `flatten`. A unit call opaque in
    one mode is opaque in both, since it may change attributes that the other mode reads."""
    plan = Plan()
    train = _followed(graph, shape, plan, training=True)
    known = len(plan.opaque)
    evaluation = _followed(graph, shape, plan.again(), training=False)
    if len(plan.opaque) > known:
        train = _followed(graph, shape, plan.again(), training=True)
    return Programs(train, evaluation)


def flatten(graph: Graph, shape: Sequence[int], *, training: bool) -> Program:
    """Returns the program of a resolved graph in one mode, for float32 examples of a shape.

    The program is device-independent: steps without tensor inputs create their tensors on the
    device of the batch (`with device:`). Shapes hold for batches of at least two examples: a single
    one may be broadcast or squeezed. Raises GraphError for a model that is still symbolic, does
    not run on such examples, or returns a value that no program can represent.
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
