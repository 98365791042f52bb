"""One TorchScript method, lowered: its nodes become the Python operations they stand for.

The rules follow the schemas of operators; a node that Python spells in its own way has a method of
the same name, here or in the classes below.
"""

import builtins
from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.frontend.bytecode_names import names_of, used_attributes, uses_class
from runner.graph.frontend.literal import reference
from runner.graph.frontend.torchscript.lower_operators import Operators
from runner.graph.frontend.torchscript.lower_values import Place, Surroundings
from runner.graph.frontend.torchscript.schema import (
    FOREVER,
    constructor,
    demangled,
    is_indices,
    line_of,
    may_nest,
    name_of,
    named_tuple,
    operator_schema,
    plain_name,
    resolve,
    spoken,
    walk,
)
from runner.graph.ir.function import Function
from runner.graph.ir.node import Argument, Block, Node, Value
from runner.graph.ir.unit import Ref


@final
class Lowering(Operators):
    """Fills a function with the nodes of a TorchScript graph."""

    def __init__(self, graph: Any, into: Function, around: Surroundings) -> None:
        super().__init__(graph, into, around)
        self._after: set[str] = set()  # debug names used behind the `with` around a node
        self.made: dict[str, str] = {}  # debug name -> class of an object, before its __init__

    def run(self, *, method: bool) -> None:
        """Lower everything. Raises GraphError for what has no form in Python."""
        inputs = [*self.graph.inputs()]
        if method:
            self.env[inputs.pop(0).debugName()] = Place()
        for value, argument in zip(inputs, self.into.inputs, strict=True):
            self.env[value.debugName()] = argument
        self.nodes(self.graph.nodes())
        (result,) = [self.value(v, self.wanted(v)) for v in self.graph.outputs()]
        self.into.block.results = () if result is None else (result,)
        sweep(self.into.block)

    # Nodes

    def nodes(self, nodes: Iterable[Any]) -> None:
        """Lower nodes in their order; what stands between Enter and Exit becomes a `with`."""
        rest = [*nodes]
        at = 0
        while at < len(rest):
            if rest[at].kind() == "prim::Enter":
                at = self._with(rest, at)
            else:
                self.node(rest[at])
                at += 1

    def node(self, n: Any) -> None:
        """Lower one node."""
        kind = n.kind()
        space, _, name = kind.partition("::")
        own: Callable[[Lowering, Any], Any] | None = getattr(type(self), f"{space}_{name}", None)
        if own is not None and own(self, n) is not NotImplemented:
            return
        if space == "aten":
            self.operator(n, name)
        elif space == "prim" and n.inputsSize() == 1 and hasattr(torch.Tensor, name):
            self.call(n, "builtins:getattr", self.value(n.inputsAt(0)), name)
        elif n.schema() != "(no schema)":
            args, kwargs = self.arguments(operator_schema(n.schema()), [*n.inputs()])
            self.emit(n, "call_function", f"torch:ops.{space}.{name}", args, kwargs)
        else:
            raise GraphError(f"{line_of(n)}: {kind} has no form in Python.")

    def prim_Constant(self, n: Any) -> None:
        v = n.output()
        kind = v.type().kind()
        if kind == "FunctionType":
            return
        value = None if kind == "NoneType" or n.mustBeNone() else v.toIValue()
        plain = type(value) in (type(None), bool, int, float, str)
        self.bind(v, value if plain else self.around.literals.of(value))

    def prim_GetAttr(self, n: Any) -> None:
        owner = self.env[n.inputsAt(0).debugName()]
        name = n.s("name")
        if type(owner) is not Place:
            self.call(n, "builtins:getattr", owner, name)
            return
        place = Place((*owner.names, name))
        if self.around.module(place.names) is not None or self.around.stands_for(place):
            self.bind(n.output(), place)
        elif n.output().uses():
            self.around.read(owner, name)
            node = self.emit(n, "get_attr", place.path)
            if node.output.name == name:
                node.output.name = ""

    def prim_SetAttr(self, n: Any) -> None:
        owner = self.env[n.inputsAt(0).debugName()]
        name, value = n.s("name"), self.value(n.inputsAt(1))
        if type(owner) is not Place:
            self.call(n, "builtins:setattr", owner, name, value)
        elif self._has(Place((*owner.names, name)), value):
            self.around.read(owner, name)
        elif owner.names:
            raise GraphError(f"{line_of(n)}: sets {owner.path}.{name}, of another module.")
        else:
            self.around.read(owner, name)
            self.emit(n, "set_attr", name, (value,))

    def _has(self, place: Place, value: Argument) -> bool:
        """Whether an attribute holds a value for sure, which was read from it and changed."""
        got = value.node if type(value) is Value else None
        if got is None or got.op != "get_attr" or got.target != place.path:
            return False
        nodes = got.block.nodes
        since = nodes[nodes.index(got) + 1 : -1]
        return all(node.op in _KEEPS_ATTRIBUTES for node in since)

    # Containers

    def prim_TupleConstruct(self, n: Any) -> None:
        told = [self.kind(n.output(), place) for place in range(n.inputsSize())]
        items = tuple(map(self.value, n.inputs(), told))
        cls = named_tuple(n.output())
        if cls is not None:
            self.call(n, reference(cls), *items)
        else:
            self.bind(n.output(), items)

    def prim_TupleIndex(self, n: Any) -> None:
        owner = self.value(n.inputsAt(0))
        fixed, index = self.constant(n.inputsAt(1))
        cls = named_tuple(n.inputsAt(0))
        if fixed and type(owner) is tuple:
            self.bind(n.output(), owner[index])
        elif fixed and cls is not None:
            self.call(n, "builtins:getattr", owner, cls._fields[index])
        else:
            self.call(n, "operator:getitem", owner, self.value(n.inputsAt(1)))

    def prim_TupleSlice(self, n: Any) -> None:
        owner = self.value(n.inputsAt(0))
        part = slice(n.i("beg"), n.i("end"))
        if type(owner) is tuple:
            self.bind(n.output(), owner[part])
        else:
            self.call(n, "operator:getitem", owner, part)

    def prim_TupleUnpack(self, n: Any) -> None:
        owner, outputs = self.value(n.inputsAt(0)), [*n.outputs()]
        if type(owner) in (tuple, list) and len(owner) == len(outputs):
            for v, item in zip(outputs, owner, strict=True):
                self.bind(v, item)
        else:
            self.emit(n, "unpack", "", (owner,))

    prim_ListUnpack = prim_TupleUnpack

    def prim_ListConstruct(self, n: Any) -> None:
        values = [*n.inputs()]
        if self.is_hidden(n):
            self.bind(n.output(), self.env[values[0].debugName()])
            return
        nested = may_nest(n)
        first = values[0].node() if values else None
        if nested and first is not None and first.kind() == "prim::TupleUnpack":
            # TorchScript takes a tuple apart where it wants a list; Python's callee may not
            names = [v.debugName() for v in first.outputs()]
            if names == [v.debugName() for v in values]:
                self.bind(n.output(), self.value(first.inputsAt(0)))
                return
        wants = self.kind(n.output())
        items = [self.value(v, wants) for v in values]
        if nested or is_indices(n):
            self.bind(n.output(), items)
        else:
            self.emit(n, "list", "", items)

    def prim_DictConstruct(self, n: Any) -> None:
        items = [self.value(v) for v in n.inputs()]
        plain = all(type(key) in (str, int, float, bool) for key in items[::2])
        if plain and may_nest(n):
            self.bind(n.output(), dict(zip(items[::2], items[1::2], strict=True)))
        else:
            self.emit(n, "dict", "", items)

    # Control flow

    def prim_If(self, n: Any) -> None:
        condition = self.value(n.inputsAt(0))
        blocks = [*n.blocks()]
        outputs = [*n.outputs()]
        if type(condition) is bool:
            block = blocks[0 if condition else 1]
            self.nodes(block.nodes())
            for v, result in zip(outputs, block.outputs(), strict=True):
                self.bind(v, self.env[result.debugName()])
            return
        node = self.emit(n, "if", "", (condition,))
        wants = [self.wanted(v) for v in outputs]
        for block in blocks:
            self._fill(node.add_block(), block, [*block.outputs()], wants)

    def prim_Loop(self, n: Any) -> None:
        trips, condition, *carried = n.inputs()
        (block,) = n.blocks()
        index, *inputs = block.inputs()
        wants = [self.wanted(v) for v in n.outputs()]
        first = [self.value(v, w) for v, w in zip(carried, wants, strict=True)]
        count = self.value(trips)
        most = None if count == FOREVER else count
        node = self.emit(n, "loop", "", (most, self.value(condition), *first))
        inner = node.add_block()
        for v in (index, *inputs):
            self.bind(v, inner.add_input(name_of(v.debugName())))
        self._fill(inner, block, [*block.outputs()], ["", *wants])

    def _fill(self, into: Block, block: Any, outputs: list[Any], wants: list[str]) -> None:
        with self.into.inserting_into(into):
            self.nodes(block.nodes())
            into.results = [self.value(v, w) for v, w in zip(outputs, wants, strict=True)]

    def _with(self, nodes: list[Any], start: int) -> int:
        """Lower an Enter, its Exit and all between as a `with`; gives where to go on."""
        enter = nodes[start]
        key = enter.inputsAt(0).debugName()
        end = next(
            at for at in range(start + 1, len(nodes))
            if nodes[at].kind() == "prim::Exit" and nodes[at].inputsAt(0).debugName() == key
        )  # fmt: skip
        around = self._after
        self._after = after = around | {
            v.debugName()
            for n in walk(nodes[end + 1 :])
            for values in (n.inputs(), *(b.outputs() for b in n.blocks()))
            for v in values
        }
        after |= {v.debugName() for v in enter.owningBlock().outputs()}
        context = self.value(enter.inputsAt(0))
        node = self.emit(enter, "with", "", (context,), outputs=())
        self.bind(enter.output(), context)
        before = {*self.env}
        inner = node.add_block()
        with self.into.inserting_into(inner):
            self.nodes(nodes[start + 1 : end])
            made = [k for k in self.env if k not in before and k in after]
            kept = [k for k in made if not is_constant(self.env[k])]
            inner.results = [self.env[k] for k in kept]
        self._after = around
        for name in kept:
            self.env[name] = node.add_output(name_of(name))
        for v in nodes[end].outputs():
            self.bind(v, None)
        return end + 1

    def prim_RaiseException(self, n: Any) -> None:
        name = self.env[n.inputsAt(1).debugName()] if n.inputsSize() > 1 else None
        text = self.value(n.inputsAt(0))
        cls = (name or "builtins.RuntimeError").rpartition(".")[2]
        if name is None and (message := asserted(text)) is not None:
            cls, text = "AssertionError", message
        known = isinstance(getattr(builtins, cls, None), type)
        target = f"builtins:{cls}" if known else self._class_target(name or "")
        self.emit(n, "raise", target, (text,))

    def _class_target(self, qualname: str) -> str:
        found = resolve(demangled(qualname))
        return reference(found) if isinstance(found, type) else "builtins:RuntimeError"

    # Calls

    def prim_CallFunction(self, n: Any) -> None:
        callee, *values = n.inputs()
        target, formals = self.around.function(callee.type().annotation_str)
        args, kwargs = self.arguments(formals or (), values)
        self.emit(n, "call_function", target, args, kwargs)

    def prim_CallMethod(self, n: Any) -> None:
        owner, *values = n.inputs()
        method = n.s("name")
        found = self.env[owner.debugName()]
        if type(found) is Place:
            self._call_module(n, found, method, values)
        elif method == "__init__" and owner.debugName() in self.made:
            cls = resolve(self.made.pop(owner.debugName()))
            args, kwargs = self.arguments(constructor(cls), values)
            self.emit(n, "call_function", reference(cls), args, kwargs, outputs=[owner])
            self.bind(n.output(), None)
        else:
            args = [found, *(self.value(v) for v in values)]
            self.emit(n, "call_method", plain_name(method), args)

    def _call_module(self, n: Any, place: Place, method: str, values: list[Any]) -> None:
        attribute = self.around.stands_for(place)
        module = self.around.module(place.names)
        if attribute:
            self.around.read(Place(place.names[:-1]), attribute)
            self.emit(n, "get_attr", place.path)
        elif method == "__contains__" and isinstance(module, nn.ModuleDict):
            self._contains(n, tuple(module), values[0])
        elif method == "__len__" and isinstance(module, nn.Module):
            self.bind(n.output(), len([*module.children()]))
        else:
            args, kwargs = self.arguments(self.around.called(place, method), values)
            if getattr(module, "kind", "") == "Cell" and plain_name(method) == "forward":
                apart = method == "forward__1"  # the overload that takes its inputs one by one
                if apart:
                    args, kwargs = [[*args, *kwargs.values()]], {}
            name = "" if method == "forward" else f":{spoken(method)}"
            node = self.emit(n, "call_module", f"{place.path}{name}", args, kwargs)
            self.around.returns(place, method, node)

    def _contains(self, n: Any, keys: tuple[str, ...], key: Any) -> None:
        fixed, name = self.constant(key)
        if fixed:
            self.bind(n.output(), name in keys)
        else:
            self.call(n, "operator:contains", keys, self.value(key))

    def _unbound(self, n: Any, method: Any, args: list[Argument]) -> None:
        """A method that was not read: a function of the class, which is given the unit itself."""
        target, itself = self._unread(method)
        self.emit(n, "call_function", target, (itself, *args))

    def _unread(self, method: Any) -> tuple[str, Value]:
        """The target of a method that was not read, and the unit itself, to be given to it."""
        module = self.around.module(())
        assert module is not None
        name, used = method.__name__, names_of(method)
        if uses_class(used - {name}, type(module)):
            raise GraphError(f"{name} is not read by TorchScript, and uses other methods")
        for attribute in used_attributes(used, module):
            self.around.read(Place(), attribute)
        owner = next(cls for cls in type(module).__mro__ if name in vars(cls))
        return f"{reference(owner)}.{name}", self.into.get_attr("")

    def prim_fork(self, n: Any) -> None:
        """What is forked runs where it stands, as in Python."""
        body, outside = n.g("Subgraph"), {**self.env}
        for inner, v in zip(body.inputs(), n.inputs(), strict=True):
            self.bind(inner, outside[v.debugName()])
        self.nodes(body.nodes())
        results = [self.env[v.debugName()] for v in body.outputs()]
        self.env = outside
        for v, result in zip(n.outputs(), results, strict=True):
            self.bind(v, result)

    def prim_CreateObject(self, n: Any) -> None:
        name = demangled(n.output().type().annotation_str)
        if resolve(name) is None:
            raise GraphError(f"{line_of(n)}: the class {name} cannot be imported.")
        self.made[n.output().debugName()] = name
        self.bind(n.output(), None)

    def prim_PythonOp(self, n: Any) -> None:
        """A function or method that TorchScript was told to ignore: a plain call of it."""
        function = n.pyobj()
        if isinstance(owner := getattr(function, "__self__", None), type):  # a method of a class
            args = [self.value(v) for v in n.inputs()]
            self.emit(n, "call_function", f"{reference(owner)}.{function.__name__}", args)
            return
        free = getattr(getattr(function, "__code__", None), "co_freevars", ())
        cells = dict(zip(free, getattr(function, "__closure__", None) or (), strict=True))
        given = [v for v in n.inputs() if self.env[v.debugName()] != Place()]  # all but self
        args = [self.value(v) for v in given]
        if "unbound_method" in cells:
            self._unbound(n, cells["unbound_method"].cell_contents, args)
            return
        function = getattr(function, "__original_fn", getattr(function, "__wrapped__", function))
        self.emit(n, "call_function", reference(function), args)


def asserted(text: Argument) -> Argument | None:
    """The message of an assertion, without what TorchScript writes in front; else None."""
    mark = "AssertionError: "
    if type(text) is str and text.startswith(mark):
        return text.removeprefix(mark)
    node = text.node if type(text) is Value else None
    if node is not None and node.target == "operator:add" and node.args[0] == mark:
        argument: Argument = node.args[1]
        return argument
    return None


def is_constant(argument: Any) -> bool:
    return type(argument) in (type(None), bool, int, float, str, Ref, Place)


def sweep(block: Block) -> None:
    """Erase what only the folding of indices left behind, and other reads nobody uses."""
    for node in reversed(block.nodes[:-1]):
        for inner in node.blocks:
            sweep(inner)
        if node.outputs and not node.users and _is_pure(node):
            node.args, node.kwargs = (), {}
            block.nodes.remove(node)


def _is_pure(node: Node) -> bool:
    if node.op in ("get_attr", "list", "dict"):
        return True
    return node.op == "call_function" and node.target in _PURE


_KEEPS_ATTRIBUTES = ("call_function", "call_method", "get_attr", "list", "dict", "unpack")
_PURE = frozenset(
    {
        "builtins:getattr",
        "operator:getitem",
        "torch:tensor",
        "builtins:list",
        "builtins:range",
        "operator:add",
    }
)
