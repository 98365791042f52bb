"""What a graph that comes from a file may name: functions that compute, and those of its model.

A target is looked up, and goes by the module where it was defined: a way through an allowed module
to something from elsewhere (`mypkg.net:os.system`) is none.
"""

from collections.abc import Iterator, Sequence
from types import ModuleType

from torch import nn

from runner.errors import GraphError
from runner.graph.argument import Argument, Call, Ref
from runner.graph.constants import leaves
from runner.graph.graph import Graph
from runner.graph.node import Node
from runner.graph.signature import locate
from runner.graph.unit import Unit

BUILTINS = frozenset(
    {
        *("abs", "all", "any", "bin", "bool", "chr", "complex", "dict", "divmod", "enumerate"),
        *("float", "getattr", "hex", "int", "isinstance", "iter", "len", "list", "max", "min"),
        *("next", "oct", "ord", "pow", "print", "range", "repr", "reversed", "round", "set"),
        *("setattr", "slice", "sorted", "str", "sum", "tuple", "zip"),
    }
)
# Modules where functions that compute are defined, with all below them.
COMPUTING = (
    *("torch.nn", "torch.functional", "torch.fft", "torch.linalg", "torch.special", "torch.signal"),
    *("torch.autograd", "torch.amp", "torch.cuda.amp", "torch.sparse", "torch.nested", "math"),
    *("torch.random", "torch.distributions", "torch.utils.checkpoint", "torch.return_types"),
    *("torch._tensor", "torch._jit_internal", "torch._VF", "operator", "_operator", "runner.nn"),
    *("torch._C._nn", "torch._C._fft", "torch._C._linalg", "torch._C._special"),
    *("torch._C._sparse", "torch._C._nested"),
)
OTHERS = frozenset(["collections:OrderedDict", "inspect:signature", "torch.jit:is_scripting",
                    "types:NoneType", "typing:cast", "warnings:warn"])  # fmt: skip
DENIED = frozenset(["torch:compile", "torch:from_file", "operator:attrgetter",
                    "operator:methodcaller", "operator:call"])  # fmt: skip


def check_trusted(graph: Graph, trust: Sequence[str] = ()) -> None:
    """Raises GraphError for a target outside of what computes, of the packages that the classes of
    the units are from, and of those in `trust`."""
    units = [*_units(graph.root, set())]
    packages = {package for unit in units if (package := _package(unit))}
    for target, where in _named(graph, units):
        if target[:1] in (".", ":") or _below(target.partition(":")[0], trust):
            continue
        if not _is_trusted(target, packages):
            module = target.partition(":")[0]
            raise GraphError(
                f"{where}: {target!r} is not on the list of what a graph from a file may name. "
                f"If you trust all of {module}, write from_json(..., trust=[{module!r}])."
            )


def _units(unit: Unit, seen: set[Unit]) -> Iterator[Unit]:
    """All units, those among arguments too."""
    if unit in seen:
        return
    seen.add(unit)
    yield unit
    inner = (thing for thing in leaves(_arguments(unit)) if isinstance(thing, Unit))
    for child in (*unit.children.values(), *inner):
        if child is not None:
            yield from _units(child, seen)


def _arguments(unit: Unit) -> Argument:
    weights = [w for w in (*unit.parameters.values(), *unit.buffers.values()) if w is not None]
    return [
        *(unit.call, unit.attributes, unit.facts, unit.hooked, [value for *_, value in unit.edits]),
        [(weight.shape, weight.start) for weight in weights],
        [(Call(s.target, s.args, s.kwargs), s.part) for s in unit.starts],
    ]


def _package(unit: Unit) -> str:
    """The package that the class of a unit is from; "" where that is torch, or is no module."""
    try:
        cls = locate(unit.cls.target)
    except GraphError:
        return ""
    package = unit.cls.target.partition(":")[0].partition(".")[0]
    is_module = isinstance(cls, type) and issubclass(cls, nn.Module)
    return package if is_module and package not in ("torch", "runner") else ""


def _named(graph: Graph, units: Sequence[Unit]) -> Iterator[tuple[str, str]]:
    """All targets that are named, with where that is."""
    for unit in units:
        yield from _targets(_arguments(unit), f"{unit}")
        if unit.grade in ("basic", "shell") or unit.inherits:
            yield unit.cls.target, f"{unit}"
    functions = [*graph.functions.values(), *(f for unit in units for f in unit.functions.values())]
    for function in functions:
        for parameter in function.parameters:
            yield from _targets(parameter.default, f"function {function.name!r}")
        for node in function.block.walk():
            where = f"function {function.name!r}, {node} {node.line}".rstrip()
            _check_attribute(node, where)
            if node.op in ("call_function", "raise"):
                yield node.target, where
            yield from _targets([node.args, {**node.kwargs}], where)


def _targets(argument: Argument, where: str) -> Iterator[tuple[str, str]]:
    for thing in leaves(argument):
        if isinstance(thing, Ref | Call):
            _check_attribute(thing, where)
            yield thing.target, where


def _check_attribute(made: Node | Ref | Call, where: str) -> None:
    """Only plain attributes may be asked for: those between underscores lead anywhere."""
    if made.target not in ("builtins:getattr", "builtins:setattr") or isinstance(made, Ref):
        return
    name = made.args[1] if len(made.args) > 1 else None
    if not isinstance(name, str) or name.startswith("__"):
        raise GraphError(f"{where}: a graph from a file may not ask for the attribute {name!r}.")


def _is_trusted(target: str, packages: set[str]) -> bool:
    if target in OTHERS or target in DENIED:
        return target in OTHERS
    module, _, name = target.partition(":")
    if module not in ("builtins", "torch") and not _below(module, (*COMPUTING, *packages)):
        return False
    found = locate(target)
    if module == "builtins":
        return name in BUILTINS or (isinstance(found, type) and issubclass(found, Exception))
    home = getattr(found, "__module__", None)
    home = home if isinstance(home, str) else module
    if name.startswith("ops."):  # the operators of a library
        return home.startswith("torch._ops.")
    through = (locate(f"{module}:{name[:i]}") for i, sign in enumerate(name) if sign == ".")
    if any(isinstance(thing, ModuleType) for thing in (found, *through)):
        return False
    return home == "torch" or _below(home, (*COMPUTING, *packages))


def _below(module: str, modules: Sequence[str]) -> bool:
    return any(module == above or module.startswith(f"{above}.") for above in modules)
