"""Replace: replaces modules, or calls of functions."""

from functools import partial
from typing import Any, final

from runner.errors import GraphError
from runner.graph.ir.graph import Graph
from runner.graph.ir.memory_effects import works_in_place
from runner.graph.ir.signature import locate
from runner.graph.ir.unit import Unit
from runner.graph.transforms.insert_clones import isolate_call, isolate_unit, may_return_input
from runner.graph.transforms.merge_graphs import merge_graph
from runner.graph.transforms.reconstruct import constructed
from runner.mutators.candidates import arguments_of, call_of, check_candidate, given_by, target_of
from runner.mutators.function_calls import check_function, function_of, name_of_call, replace_call
from runner.mutators.selection import Match, Selective, check_listed


@final
class Replace(Selective):
    """A mutator that replaces modules, or with `op` calls, by one of `replace`.

    A candidate is the name of a class in torch.nn ("SiLU"), or a partial of any class. Arguments of
    the old module are kept if both constructors have a parameter of that name, and a number of
    channels under any of its names; arguments of the partial take precedence. A candidate of the
    same class without other arguments leaves the module unchanged.

    With `op`, a candidate is the name of a function in torch.nn.functional or torch ("silu"; the
    name of its class works, too), or a partial of either; see `replace_call`.
    """

    takes_calls = True

    def __init__(
        self, on: str = "", cls: str = "", op: str = "", *, replace: Any, tie: bool = False
    ) -> None:
        super().__init__(on, cls, op, tie=tie)
        check = check_function if op else check_candidate
        check_listed(replace, self.word, lambda candidate: check(candidate, self.word))
        self.replace = replace

    def change(self, graph: Graph, match: Match) -> None:
        candidate = self.decide(self.replace, match)
        if match.node is not None:
            target, given = function_of(candidate)
            kwargs = {name: value for name, value in given.items() if name != "inplace"}
            if kwargs or name_of_call(match.node) != target.rpartition(":")[2]:
                function = match.unit.edit(match.function)
                new = replace_call(function, match.node, target, kwargs)
                isolate_call(graph, match.unit, function, new)
        elif not _is_the_same(match.unit, candidate):
            replace_unit(graph, match.path, candidate)


def replace_unit(graph: Graph, path: str, candidate: Any) -> None:
    """Replaces a unit by the module of a candidate. Raises GraphError if arguments are missing."""
    unit = graph.unit(path)
    try:
        call = call_of(candidate, carried=arguments_of(unit.call))
    except GraphError as error:
        raise GraphError(f"{path} ({unit.name}) cannot be replaced: {error}") from error

    def put(new: Unit) -> str:
        graph.replace(path, new)
        return path

    passed, wrote = may_return_input(graph, unit), works_in_place(unit)
    merge_graph(graph, constructed(call, graph), put)
    if works_in_place(graph.unit(path)) and not wrote:
        graph.unit(path).set_argument("inplace", False)  # others may read its input
    if not passed and may_return_input(graph, graph.unit(path)):
        isolate_unit(graph, path)


def _is_the_same(unit: Unit, candidate: Any) -> bool:
    """Returns whether a candidate has the class of a unit, and specifies no other arguments."""
    if locate(target_of(candidate)) is not locate(unit.cls.target):
        return False
    if not isinstance(candidate, partial):
        return True
    had, given = arguments_of(unit.call), given_by(candidate)
    return all(name in had and repr(had[name]) == repr(value) for name, value in given.items())
