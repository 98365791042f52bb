"""The state of one lowering, and the table of rules from TorchScript's node kinds.

A rule is a function `rule(ctx, n)`, registered for the node kinds it lowers:

    @lowers("prim::If")
    def _if(ctx: Lowering, n: Any) -> None: ...

It emits nodes and binds every output of `n`, or returns False to decline, having done neither. A
node that its own rule declines is lowered by the rule of its namespace ("aten::*"), then by the
rule of all nodes ("*").
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, final

import torch

from runner.errors import GraphError
from runner.graph.frontend.reading.read_module import ModulePath
from runner.graph.frontend.torchscript.dtype_inference import OF_TENSORS, infer_enums, part_of
from runner.graph.frontend.torchscript.schema import TYPES, Formal, error_at, line_of, name_of
from runner.graph.frontend.torchscript.scope import MethodScope
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Node, Op, Value
from runner.graph.ir.unit import Ref

LoweringRule = Callable[["Lowering", Any], bool | None]

_MAY_BE_ENUMS = frozenset({"IntType", "OptionalType", "ListType", "TupleType"})
_PLAIN = (type(None), bool, int, float, str)


def lowers(*kinds: str) -> Callable[[LoweringRule], LoweringRule]:
    """Declares the decorated function as the rule for nodes of these kinds."""

    def declare(rule: LoweringRule) -> LoweringRule:
        vars(rule)["lowers"] = kinds
        return rule

    return declare


def rules_in(*modules: ModuleType) -> dict[str, LoweringRule]:
    """Returns the table of the rules in some modules, by node kind."""
    functions = [function for module in modules for function in vars(module).values()]
    return {kind: rule for rule in functions for kind in getattr(rule, "lowers", ())}


@final
class Lowering:
    """The state of lowering one TorchScript graph: `env` maps debug names to arguments of the IR.

    `views` holds, for each basic index of a tensor, the indexed tensor and the index; `objects`
    the class of each object whose `__init__` has not been lowered yet; `pending` the nodes of the
    current block that follow the current one; `live_out` the debug names that are used after the
    `with` around the current node.
    """

    def __init__(
        self, graph: Any, function: Function, scope: MethodScope, rules: Mapping[str, LoweringRule]
    ) -> None:
        self.graph = graph
        self.function = function
        self.scope = scope
        self.rules = rules
        self.env: dict[str, Any] = {}
        self.views: dict[Value, tuple[Argument, tuple[Argument, ...]]] = {}
        self.objects: dict[str, str] = {}
        self.pending: deque[Any] = deque()
        self.live_out: frozenset[str] = frozenset()
        self._enums: dict[str, str] | None = None

    def nodes(self, nodes: Iterable[Any]) -> None:
        """Lowers the nodes of a block in order."""
        outer, self.pending = self.pending, deque(nodes)
        while self.pending:
            self.node(self.pending.popleft())
        self.pending = outer

    def node(self, n: Any) -> None:
        """Lowers one node. Raises GraphError if Python has no form for it."""
        kind = n.kind()
        for key in (kind, f"{kind.partition('::')[0]}::*", "*"):
            rule = self.rules.get(key)
            if rule is not None and rule(self, n) is not False:
                return
        raise error_at(n, f"{kind} has no equivalent in Python.")

    # Values

    def value(self, v: Any, enum: str = "") -> Argument:
        """Returns the argument for a TorchScript value; a number as member of `enum`, if given."""
        found = self.env[v.debugName()]
        if enum and type(found) is int:
            return Ref(f"torch:{TYPES[enum][found]}")
        if type(found) is ModulePath:
            raise GraphError(f"The module {found.path!r} is used as a value.")
        return found

    def values(self, values: Iterable[Any], enum: str = "") -> list[Argument]:
        """Returns the arguments for several TorchScript values."""
        return [self.value(v, enum) for v in values]

    def bind(self, v: Any, argument: Any) -> None:
        """Binds a TorchScript value to an argument."""
        self.env[v.debugName()] = argument

    def constant(self, v: Any) -> tuple[bool, Any]:
        """Returns whether a value is bound to a plain constant, and to which."""
        found = self.env.get(v.debugName(), self)
        return type(found) in _PLAIN, found

    # Nodes of the IR

    def emit(
        self, n: Any, op: Op, target: str, args: Sequence[Argument] = (),
        kwargs: dict[str, Argument] | None = None, *, outputs: Sequence[Any] | None = None,
    ) -> Node:  # fmt: skip
        """Creates a node for `n` and binds its outputs: all of `n`'s, unless given."""
        values = [*n.outputs()] if outputs is None else outputs
        names = [name_of(v.debugName()) for v in values]
        node = self.function.create(op, target, args, kwargs, outputs=names, line=line_of(n))
        for v, output in zip(values, node.outputs, strict=True):
            self.env[v.debugName()] = output
        return node

    def call(self, n: Any, target: str, *args: Argument, **kwargs: Argument) -> Node:
        """Creates a call of a function for `n`."""
        return self.emit(n, "call_function", target, args, kwargs)

    def step(self, n: Any, op: Op, target: str, *args: Argument) -> Value:
        """Creates an intermediate node for `n`, and returns its output."""
        return self.function.create(op, target, args, line=line_of(n)).output

    def statement(
        self, n: Any, op: Op, target: str, args: Sequence[Argument],
        kwargs: dict[str, Argument] | None = None,
    ) -> None:  # fmt: skip
        """Creates a node that changes its first argument in place, to which the outputs of `n`
        are bound."""
        self.emit(n, op, target, args, kwargs, outputs=())
        for v in n.outputs():
            self.bind(v, args[0])

    # Arguments of calls

    def arguments(
        self, formals: Sequence[Formal], values: Sequence[Any]
    ) -> tuple[list[Argument], dict[str, Argument]]:
        """Returns positional and keyword arguments, without those equal to their default: after
        the first one left out, arguments are passed by name."""
        args: list[Argument] = []
        kwargs: dict[str, Argument] = {}
        skipped = False
        for declared, v in zip(formals, values, strict=False):
            given = self.env[v.debugName()]
            if declared.has_default and _is_default(given, declared):
                skipped = True
                continue
            argument = one_for_all(self.value(v, declared.enum), declared.size)
            if skipped or declared.by_name:
                kwargs[declared.name] = argument
            else:
                args.append(argument)
        args += self.values(values[len(formals) :])
        return args, kwargs

    def positional(self, formals: Sequence[Formal], values: Sequence[Any]) -> list[Argument]:
        """Returns the arguments of a method of a builtin type, which takes them by position only,
        without trailing ones equal to their default."""
        count = len(values)
        while count and (declared := formals[count - 1]).has_default:
            if not same_constant(self.env[values[count - 1].debugName()], declared.default):
                break
            count -= 1
        return self.values(values[:count])

    # Enums that are numbers to TorchScript: dtypes, layouts, memory formats

    def enum_of(self, v: Any, position: int | None = None) -> str:
        """Returns "ScalarType" or "Layout" if a value is one, a list of them, or a tuple with one
        at `position`; else ""."""
        node = v.node().kind()
        if node in OF_TENSORS:
            return OF_TENSORS[node]
        if node == "prim::Constant" or v.type().kind() not in _MAY_BE_ENUMS:
            return ""
        if self._enums is None:
            self._enums = infer_enums(self.graph, self._enum_of_attribute)
        return self._enums.get(v.debugName() if position is None else part_of(v, position), "")

    def enum_of_merged(self, v: Any) -> str:
        """Returns the enum of a value if it is an output of control flow; else ""."""
        return self.enum_of(v) if v.node().kind() in ("prim::If", "prim::Loop") else ""

    def enum_among(self, n: Any) -> str:
        """Returns the enum of the first input of a node that is one; "" if none is."""
        return next(filter(None, map(self.enum_of, n.inputs())), "")

    def _enum_of_attribute(self, n: Any) -> str:
        names = [n.s("name")]
        owner = n.inputsAt(0)
        while owner.node().kind() == "prim::GetAttr":
            names.append(owner.node().s("name"))
            owner = owner.node().inputsAt(0)
        module = self.scope.module(tuple(reversed(names[1:])))
        value = getattr(module, names[0], None)
        if isinstance(value, torch.dtype):
            return "ScalarType"
        return "Layout" if isinstance(value, torch.layout) else ""


def _is_default(given: Argument, declared: Formal) -> bool:
    """Returns whether an argument is the default, or the list to which TorchScript expanded it."""
    alone = one_for_all(given, declared.size)
    return same_constant(given, declared.default) or same_constant(alone, declared.default)


def same_constant(given: Argument, default: Any) -> bool:
    """Returns whether an argument is a constant equal to a default."""
    if type(given) in (list, tuple) and type(default) in (list, tuple):
        return len(given) == len(default) and all(map(same_constant, given, default))
    return type(given) is type(default) and bool(given == default)


def one_for_all(argument: Argument, size: int) -> Argument:
    """Returns the number that TorchScript expanded to a list of `size`; else the argument."""
    if type(argument) is not list or not argument or len(argument) != size:
        return argument
    first, *others = argument
    same = all(type(first) is int and same_constant(other, first) for other in others)
    return first if same else argument
