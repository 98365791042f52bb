"""Which steps of a program the gradient of its result reaches.

What is not reached is there for something else, such as the statistics of a normalization. Alone,
its parameters have no gradient, and an optimizer leaves them as they are; as a part of a tensor
that has one, they would have zeros, and decay.
"""

from runner.fusion.program import Program, variables

STOPS = frozenset(["detach", "torch:detach"])


def reached(program: Program) -> frozenset[int]:
    """The places of such steps."""
    wanted = set(variables(program.result))
    places = set()
    for place, step in reversed([*enumerate(program.steps)]):
        found = [var for var in step.outputs if var in wanted]
        if any("float" in program.specs[var].dtype for var in found):
            places.add(place)
            if step.target not in STOPS:
                wanted.update(step.inputs)
    return frozenset(places)
