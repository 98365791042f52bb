"""Structured control flow: the passes that recover breaks, continues and returns, in order.

TorchScript gives each block one end, and decides by flags what to skip. The passes rewrite a copy
of a function, so that it leaves its blocks where the source did.
"""

from collections.abc import Callable

from runner.graph.codegen.control_flow.continues import continue_early, drop_last_continues
from runner.graph.codegen.control_flow.counted_loops import recover_trip_count
from runner.graph.codegen.control_flow.early_exits import place_exits
from runner.graph.codegen.control_flow.loop_flags import keep_flags
from runner.graph.codegen.control_flow.simplify import simplify
from runner.graph.ir.function import Function
from runner.graph.ir.node import Node, producer


def structure_control_flow(function: Function) -> Function:
    """Returns a function that leaves its blocks where the source did: a copy, or the function
    itself if nothing changes."""
    if not any(map(_may_have_flags, function.block.walk())):
        return function
    copy = function.clone()
    changed = _each_loop(recover_trip_count, copy)
    while (
        place_exits(copy.block, tests=False) | simplify(copy.block)
        or place_exits(copy.block, tests=True)
    ):  # fmt: skip
        changed = True
    for rewrite in (drop_last_continues, continue_early):
        if _each_loop(rewrite, copy):
            simplify(copy.block)
            changed = True
    changed |= _each_loop(keep_flags, copy)
    return copy if changed else function


def _may_have_flags(node: Node) -> bool:
    """Returns whether a node is a loop, or an If whose condition is an output of another one."""
    made = producer(node.args[0]) if node.op == "if" else None
    return node.op == "loop" or (made is not None and made.op in ("if", "with"))


def _each_loop(rewrite: Callable[[Node], bool], function: Function) -> bool:
    """Rewrites all loops of a function; returns whether any changed."""
    loops = [node for node in function.nodes if node.op == "loop"]
    return bool([loop for loop in loops if rewrite(loop)])
