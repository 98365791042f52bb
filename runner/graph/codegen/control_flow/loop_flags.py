"""Flags of loops: what each iteration sets to what it is already is not set again.

A loop with an `else` carries a flag, which is one constant until a `break` sets it.
"""

from runner.graph.ir.jumps import CONTINUE, ends, jumps
from runner.graph.ir.node import Node, Value


def keep_flags(loop: Node) -> bool:
    """Carries flags on that every iteration which does not end the loop sets to their first value;
    returns whether there are any."""
    kept = [place for place, _ in enumerate(loop.args[2:]) if _keep_flag(loop, place)]
    return bool(kept)


def _keep_flag(loop: Node, place: int) -> bool:
    body, first = loop.blocks[0], loop.args[2 + place]
    inner = body.inputs[1 + place]
    going = [jump for jump in jumps(loop) if jump.target == CONTINUE]
    given = [jump.args[place] for jump in going]
    given += [] if ends(body) else [body.results[1 + place]]
    if type(first) is not bool or not any(value is first for value in given):
        return False
    if any(value is not first and value is not inner for value in given):
        return False
    inner.replace_all_uses_with(first)
    inner.name = inner.name or _name(loop.outputs[place], is_set=first)
    for jump in going:
        jump.args = (*jump.args[:place], inner, *jump.args[place + 1 :])
    if not ends(body):
        body.results = (*body.results[: 1 + place], inner, *body.results[2 + place :])
    return True


def _name(value: Value, *, is_set: bool) -> str:
    """Returns the name of a flag that a `break` changes."""
    return value.name or ("complete" if is_set else "found")
