"""Chooses, for each module, the reading that becomes its unit: the first without a problem."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from inspect import getattr_static, isfunction
from typing import final

from torch import nn

from runner.graph.frontend.attributes import default_of
from runner.graph.frontend.live_modules.hooks_and_attributes import is_writable
from runner.graph.frontend.live_modules.kept_modules import Keep
from runner.graph.frontend.reading.module_values import at_path, modules_of
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.frontend.reading.read_module import AttributeRead, Caller, ReadModule
from runner.graph.frontend.reading.readings import Readings
from runner.graph.ir.function import Function
from runner.graph.ir.node import Node, Value
from runner.graph.ir.unit import joined
from runner.nn.recording.attribution import shared_with


@final
class ChosenReadings:
    """The chosen readings of modules; `keep` tells which are distrusted."""

    def __init__(self, readings: Readings, keep: Keep) -> None:
        self._readings = readings
        self._keep = keep
        self._chosen: dict[int, tuple[str, ReadModule]] = {}  # by id of module
        self._problems: dict[int, dict[str, str]] = {}  # by id of module, and front end

    def choose(self, module: nn.Module, caller: Caller, *, called: bool) -> bool:
        """Chooses the first reading of a module without a problem; returns whether there is one.
        Only distrust counts if its forward is not `called`."""
        problems = self._problems[id(module)] = {}
        for frontend, found in self._readings.of(module):
            problem = self._keep.distrusted(module).get(frontend, "")
            if not problem and called:
                problem = self._problem(module, found, caller)
            if not problem:
                self._chosen[id(module)] = frontend, found
                return True
            problems[frontend] = problem
        return False

    def __contains__(self, module: nn.Module) -> bool:
        return id(module) in self._chosen

    def __getitem__(self, module: nn.Module) -> ReadModule:
        return self._chosen[id(module)][1]

    def frontend(self, module: nn.Module) -> str:
        """Returns the name of the front end whose reading of a module was chosen."""
        return self._chosen[id(module)][0]

    def problem(self, module: nn.Module) -> str:
        """Returns the problems of the readings before the chosen one, or of all; "" for none."""
        found = self._problems[id(module)].items()
        return "; ".join(f"{frontend}: {problem}" for frontend, problem in found)

    def _problem(self, module: nn.Module, found: ReadModule, caller: Caller) -> str:
        """Returns why a reading of a module cannot be converted; "" if it can."""
        return found.problem or _unwritten(module, found) or found.doubt(module, caller)

    def add_called_methods(self, modules: Sequence[nn.Module]) -> Iterator[tuple[nn.Module, str]]:
        """Adds methods of `modules`, which become units with functions, that the front end of a
        caller read and that of the module did not. Yields (caller, problem) for each call of one
        that cannot be converted."""
        units = {id(module) for module in modules}
        coming = [(module, f) for module in modules for f in self[module].functions.values()]
        while coming:
            caller, function = coming.pop()
            for node, module, method in _called(caller, function):
                if id(module) not in units or not self._lacks(module, method, caller):
                    continue
                if self._add(module, method):
                    coming.append((module, self[module].functions[method]))
                else:
                    text = f"it calls {method}() of a {type(module).__name__}"
                    yield caller, f"{node.line}: {text}, which cannot be converted".lstrip(": ")

    def _lacks(self, module: nn.Module, method: str, caller: nn.Module) -> bool:
        """Returns whether the chosen reading of a module lacks a method of a user's class that
        another front end calls."""
        if method in self[module].functions or self.frontend(module) == self.frontend(caller):
            return False
        home = getattr(getattr(type(module), method, None), "__module__", None) or ""
        return home.partition(".")[0] != "torch"

    def _add(self, module: nn.Module, method: str) -> bool:
        """Adds a method from the first reading that has it; returns whether there is one."""
        frontend, chosen = self._chosen[id(module)]
        for name, found in self._readings.of(module):
            function = found.functions.get(method)
            if function is None or self._keep.distrusted(module).get(name):
                continue
            if not self._problem(module, found, "read"):
                functions = {**chosen.functions, method: function}
                reads = chosen.reads | _reads(function, found)
                together = replace(chosen, functions=functions, reads=reads)
                self._chosen[id(module)] = frontend, together
                return True
        return False


def _called(caller: nn.Module, function: Function) -> Iterator[tuple[Node, nn.Module, str]]:
    """Yields the nodes of a method that call modules below its own, these, and their methods."""
    for node in function.nodes:
        if node.op == "call_module":
            module: nn.Module | None = caller
            for name in node.path.split(".") if node.path else ():
                module = module._modules.get(name) if module is not None else None
            if module is not None:
                yield node, module, node.method
        elif node.target == "builtins:getattr" and type(node.args[0]) is Value:
            name = str(node.args[1])
            for module in modules_of(partial(at_path, caller), node.args[0]):
                member = getattr_static(type(module), name, None)
                if name != "forward" and isfunction(getattr(member, "__func__", member)):
                    yield node, module, name


def _reads(function: Function, found: ReadModule) -> dict[AttributeRead, None]:
    """Returns the attributes that one of the functions of a reading reads or sets."""
    targets = {node.target for node in function.nodes if node.op in ("get_attr", "set_attr")}
    return {read: None for read in found.reads if joined(read[0].path, read[1]) in targets}


def _unwritten(module: nn.Module, found: ReadModule) -> str:
    """Returns why attributes that the methods of a module read cannot be written; "" if they
    can."""
    for place, name in found.reads:
        owner = place.below(module)
        value = vars(owner).get(name)
        if value is None or is_opaque(owner):
            continue
        if (shared := shared_with(owner, value)) is not None:
            return _SHARED.format(name, shared[0])
        if not is_writable(owner, value, default_of):
            return _NO_LITERAL.format(name, type(value).__name__)
    return ""


_NO_LITERAL = "self.{} is a {}, which cannot be written as source"
_SHARED = (
    "self.{0} shares memory with self.{1}, and in source, a plain attribute would be a copy; read "
    "self.{1} instead"
)
