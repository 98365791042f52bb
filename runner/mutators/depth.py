"""Depth: the number of blocks of a stage."""

import re
from typing import Any, final

from runner.errors import ConfigError, GraphError, as_yaml
from runner.graph.codegen.classes.unit_forms import container
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Node
from runner.graph.ir.unit import Unit, joined
from runner.graph.transforms.bypass import bypass_call, is_one
from runner.graph.transforms.call_sites import Site, is_in_order, is_used, sites
from runner.graph.transforms.duplicate import duplicate_call, duplicate_unit
from runner.graph.transforms.insert_clones import isolate_unit, may_return_input
from runner.mutators.channel_counts import specs_at
from runner.mutators.selection import Match, Selective, check_listed


@final
class Depth(Selective):
    """A mutator that keeps the first `depth` blocks of a stage, or repeats one: the last that
    preserves the shape of its input.

    A stage is a container of blocks: a Sequential, ModuleList or ModuleDict. Remaining blocks keep
    their names, and copies continue the numbering. If code calls the blocks one by one, calls of
    removed blocks return their first argument. If shapes do not match without a removed block, the
    sample is refused.
    """

    def __init__(
        self, on: str = "", cls: str = "", op: str = "", *, depth: Any, tie: bool = False
    ) -> None:
        super().__init__(on, cls, op, tie=tie)
        check_listed(depth, self.word, _check)
        self.depth = depth

    def change(self, graph: Graph, match: Match) -> None:
        if not container(match.unit) and not is_in_order(match.unit):
            inner = [name for name, child in match.unit.children.items()
                     if child is not None and container(child)]  # fmt: skip
            near = f": {match.path}.{inner[0]}" if inner else ""
            raise GraphError(
                f"{match.path} ({match.unit.name}) is not a container of blocks; name the one that "
                f"contains them{near}."
            )
        blocks = [name for name, child in match.unit.children.items() if child is not None]
        depth = self.decide(self.depth, match)
        for name in blocks[depth:]:
            _drop(graph, match.path, name)
        if blocks[depth:] and is_in_order(match.unit) and may_return_input(graph, match.unit):
            isolate_unit(graph, match.path)
        if depth > len(blocks):
            if not blocks:
                raise GraphError(f"{match.path} ({match.unit.name}) has no block to copy.")
            last = _repeatable(graph, match.path, blocks)
            _add(graph, match.path, last, depth - len(blocks))


def _check(depth: Any) -> None:
    if type(depth) is not int or depth < 0:
        raise ConfigError(
            f"depth: {as_yaml(depth)} is not a number of blocks: give an integer of at least 0."
        )


def _drop(graph: Graph, stage: str, name: str) -> None:
    """Removes a block from its stage, and from all code that calls it."""
    path = f"{stage}.{name}"
    unit = graph.unit(path)
    places = sites(graph, unit)
    if not places and not is_in_order(graph.unit(stage)) and is_used(graph, unit):
        raise GraphError(
            f"{path} ({unit.name}) is not a block of {stage}: code calls modules inside it."
        )
    for site in places:
        bypass_call(graph, site.owner, site.function, site.node, f"{path} ({unit.name})", site)
    graph.remove(path)


def _repeatable(graph: Graph, stage: str, blocks: list[str]) -> str:
    """Returns the last block that preserves the shape of its input. Raises GraphError if there is
    none."""
    if graph.example is None:
        return blocks[-1]  # shapes are checked once the sample is complete
    specs = specs_at(graph, [f"{stage}.{name}" for name in blocks])
    for name in reversed(blocks):
        found = [both for (path, _), both in specs.items() if path == f"{stage}.{name}"]
        if all(None in both.values() or both["input"] == both["output"] for both in found):
            return name
    first = next(iter(specs.values()))
    raise GraphError(
        f"No block of {stage} can be repeated: {blocks[0]!r} takes {first['input']} and returns "
        f"{first['output']}, and the others change the shape, too."
    )


def _add(graph: Graph, stage: str, last: str, count: int) -> None:
    """Repeats a block, and its calls in code."""
    before, places = f"{stage}.{last}", sites(graph, graph.unit(f"{stage}.{last}"))
    calls = [(site, site.node) for site in places]
    for _ in range(count):
        name = _next(graph.unit(stage), before.rpartition(".")[2])
        duplicate_unit(graph, before, name)
        calls = [(site, _call(site, node, name)) for site, node in calls]
        before = f"{stage}.{name}"


def _next(stage: Unit, name: str) -> str:
    """Returns the name of an additional block: the number at the end of a name, increased until it
    is free."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", name).groups()  # type: ignore[union-attr]
    count = int(number or 1) + 1
    while f"{stem}{count}" in {*stage.children, *stage.functions, *stage.attributes}:
        count += 1
    return f"{stem}{count}"


def _call(site: Site, node: Node, name: str) -> Node:
    """Inserts a call of a copy after the call of its original; users receive its output instead."""
    if len(node.outputs) != 1 or not is_one(site.given):
        raise GraphError(
            f"{node.path} cannot be repeated in {site}: it takes a list, or returns "
            f"{len(node.outputs)} values; it must take and return one."
        )
    users = [*node.output.users]
    above = node.path.rpartition(".")[0]
    twin = duplicate_call(node, joined(above, name), node.output)
    for user in users:
        user.replace_input(node.output, twin.output)
    return twin
