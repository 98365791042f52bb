"""Gradient reachability: which steps of a program receive a gradient from its result.

Other steps serve side effects, such as the statistics of a normalization. Without fusion their
parameters have no gradient, and an optimizer skips them; packed with parameters that have one, they
would have zero gradients, and weight decay would apply.
"""

from runner.fusion.program.program import Program, variables

STOPS = frozenset(["detach", "torch:detach"])


def reached(program: Program) -> frozenset[int]:
    """Returns the indices of the steps that receive a gradient."""
    wanted = set(variables(program.result))
    places = set()
    for place, step in reversed([*enumerate(program.steps)]):
        found = [var for var in step.outputs if var in wanted]
        if any("float" in program.specs[var].dtype for var in found):
            places.add(place)
            if step.target not in STOPS:
                wanted.update(step.inputs)
    return frozenset(places)
