"""The scene of a picture: boxes, frames around boxes, and the dataflow between them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import final

from runner.errors import GraphError
from runner.graph.drawing.caption import (
    MERGES,
    candidates_of,
    kind_of,
    label_of,
    signature_of,
    title_of,
)  # fmt: skip
from runner.graph.interpreter.shape_propagation import Shapes
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Argument, Block, Node, Spec, Value, producer, values_in
from runner.graph.ir.signature import runs_in_order
from runner.graph.ir.unit import Ref, Unit, joined

Flow = dict["Item", None]  # items that a value comes from, in order


@final
@dataclass(eq=False)
class Item:
    """A box, a frame with a scene of its own inside, or (kind "merge") a circle."""

    text: str
    kind: str = "other"  # decides the colour; see `KINDS`
    hint: str = ""  # the tooltip
    small: str = ""  # a second line
    sources: Flow = field(default_factory=dict)
    spec: Spec | None = None  # of its output
    scene: "Scene | None" = None
    changed: bool = False  # by a mutator
    dashed: bool = False  # runs under a condition, or in a loop


@final
@dataclass(eq=False)
class Scene:
    """Items in execution order. Without `flows`, they are drawn side by side, without edges."""

    items: list[Item] = field(default_factory=list)
    start: Item = field(default_factory=lambda: Item("", "port"))
    end: Item = field(default_factory=lambda: Item("", "port"))
    flows: bool = True
    is_root: bool = False


def scene_of(graph: Graph, depth: int, shapes: Shapes | None = None) -> Scene:
    """Returns the scene of a model; units at `depth` are boxes."""
    return _Painter(graph, depth, shapes).unit_scene(graph.root, "", 0)


def size_of(scene: Scene) -> int:
    """Returns the number of boxes, including those in frames."""
    return sum(1 if item.scene is None else size_of(item.scene) for item in scene.items)


@final
class _Painter:
    """A builder of the scenes of units, down to a depth."""

    def __init__(self, graph: Graph, depth: int, shapes: Shapes | None) -> None:
        self.graph = graph
        self.depth = depth
        self.shapes = shapes

    def unit_scene(self, unit: Unit, path: str, level: int) -> Scene:
        scene = Scene()
        if unit.grade == "graph" and "forward" in unit.functions:
            flow = _Tracer(self, unit, path, level, scene)
            forward = unit.functions["forward"]
            if forward.inputs:
                scene.start.spec = self.spec(path, forward.inputs[0])
            scene.end.sources = flow.function(forward, [{scene.start: None}])
        elif unit.grade == "graph" and runs_in_order(unit.cls):
            before: Flow = {scene.start: None}
            for name, child in unit.children.items():
                if child is not None:
                    item = self.unit_item(child, joined(path, name), level, before)
                    item.spec = self._result(child, joined(path, name))
                    scene.items.append(item)
                    before = {item: None}
            scene.end.sources = before
        else:
            scene.flows = False
            for name, child in unit.children.items():
                if child is not None:
                    scene.items.append(self.unit_item(child, joined(path, name), level, {}))
        return scene

    def unit_item(self, unit: Unit, path: str, level: int, sources: Flow) -> Item:
        """Returns a unit as a frame, or as a box if it is too deep or has no items inside."""
        kind = "choice" if unit.grade == "symbolic" else kind_of(unit.name)
        hint = f"{path or 'the model'}: {signature_of(unit)}"
        item = Item(label_of(unit), kind, hint, sources=dict(sources), changed=unit.mutated)
        item.small = candidates_of(unit)
        if level < self.depth and unit.grade != "basic" and any(unit.children.values()):
            scene = self.unit_scene(unit, path, level + 1)
            scene.start.spec = next((source.spec for source in sources if source.spec), None)
            if scene.items:
                item.scene, item.kind = scene, "choice" if unit.grade == "symbolic" else "frame"
                item.text = title_of(unit, path)
        elif unit.grade != "basic":
            layers = sum(u.grade == "basic" for _, u in unit.walk())
            item.small = item.small or (f"{layers} layers" if layers > 1 else "")
        return item

    def spec(self, path: str, value: Value) -> Spec | None:
        """Returns the spec of a value in a function of the unit at a path; None if unknown."""
        known = self.shapes.specs.get(path, {}).get(value) if self.shapes else None
        return known or value.spec

    def _result(self, unit: Unit, path: str) -> Spec | None:
        forward = unit.functions.get("forward")
        if forward is None or not isinstance(forward.result, Value):
            return None
        return self.spec(path, forward.result)


@final
class _Tracer:
    """A tracer of the dataflow through the functions of one unit."""

    def __init__(self, painter: _Painter, unit: Unit, path: str, level: int, scene: Scene) -> None:
        self.painter = painter
        self.unit = unit
        self.path = path
        self.level = level
        self.scene = scene
        self._flows: dict[Value, Flow] = {}
        self._inside: list[str] = []  # functions being followed
        self._dashed = False

    def function(self, function: Function, flows: Iterable[Flow]) -> Flow:
        """Returns the items that the result of a function comes from, from those of its inputs."""
        given = [*flows]
        for place, value in enumerate(function.inputs):
            everything = given[0] if len(given) == 1 and not self._inside else {}
            self._flows[value] = given[place] if place < len(given) else everything
        self._inside.append(function.name)
        self._block(function.block)
        self._inside.pop()
        return self.flow(function.block.results)

    def flow(self, argument: Argument) -> Flow:
        return {item: None for v in values_in(argument) for item in self._flows.get(v, {})}

    def _block(self, block: Block) -> None:
        for node in block.nodes[:-1]:
            getattr(self, f"_{node.op}", self._through)(node)

    def _through(self, node: Node) -> None:
        """Passes the items that the arguments come from on to the outputs, without a box."""
        flow = self.flow((node.args, {**node.kwargs}))
        self._flows.update((value, flow) for value in node.outputs)

    def _get_attr(self, node: Node) -> None:
        self._flows[node.output] = {}

    def _call_module(self, node: Node) -> None:
        own = self.unit.functions.get(node.method) if not node.path else None
        if own is not None and own.name not in self._inside:
            given = [self.flow(argument) for argument in (*node.args, *node.kwargs.values())]
            flow = self.function(own, given)
            self._flows.update((value, flow) for value in node.outputs)
            return
        try:
            unit = self.unit.at(node.path)
        except GraphError:
            unit = Unit("basic", Ref(f"unknown:{node.path}"))
        flow = self.flow((node.args, {**node.kwargs}))
        path = joined(self.path, node.path)
        self._add(node, self.painter.unit_item(unit, path, self.level, flow))

    def _call_function(self, node: Node) -> None:
        module, _, name = node.target.partition(":")
        flow = self.flow((node.args, {**node.kwargs}))
        last = name.rpartition(".")[2]
        if last in _NUMBERS or module in _NUMERIC or _asks(node):
            self._flows.update((value, {}) for value in node.outputs)
        elif last in MERGES and len(flow) > 1:
            self._add(node, Item(MERGES[last], "merge", node.target, sources=flow))
        elif last in _THROUGH or not flow or (module == "operator" and not self._is_known(node)):
            self._through(node)
        else:
            text = f"{MERGES[last]} {_constants(node)}".rstrip() if last in MERGES else last
            self._add(node, Item(text, kind_of(last), node.target, sources=flow))

    def _call_method(self, node: Node) -> None:
        name = node.target
        flow = self.flow((node.args, {**node.kwargs}))
        if name in ("append", "extend", "insert") and isinstance(node.args[0], Value):
            self._flows[node.args[0]] = flow
        elif name in _NUMBERS:
            self._flows.update((value, {}) for value in node.outputs)
        elif name in _THROUGH or not flow:
            self._through(node)
        elif name.rstrip("_") in MERGES and len(flow) > 1:
            self._add(node, Item(MERGES[name.rstrip("_")], "merge", f".{name}", sources=flow))
        else:
            text = _called(node) if name == "__call__" else name
            self._add(node, Item(text, kind_of(text), f".{name}", sources=flow))

    def _is_known(self, node: Node) -> bool:
        return any(self.painter.spec(self.path, value) for value in node.outputs)

    def _add(self, node: Node, item: Item) -> None:
        item.dashed = self._dashed
        item.hint += f" ({node.line})" if node.line else ""
        self.scene.items.append(item)
        receivers = [*node.outputs]
        if not receivers and node.args and isinstance(node.args[0], Value):
            receivers = [node.args[0]]  # modified in place
        for value in receivers:
            self._flows[value] = {item: None}
        specs = (self.painter.spec(self.path, value) for value in receivers)
        item.spec = next(filter(None, specs), None)

    # Control flow: items that run conditionally, or repeatedly, are dashed

    def _if(self, node: Node) -> None:
        dashed, self._dashed = self._dashed, True
        self._with(node)
        self._dashed = dashed

    def _with(self, node: Node) -> None:
        for block in node.blocks:
            self._block(block)
        for place, value in enumerate(node.outputs):
            self._flows[value] = {
                item: None
                for block in node.blocks
                if place < len(block.results)
                for item in self.flow(block.results[place])
            }

    def _loop(self, node: Node) -> None:
        (block,) = node.blocks
        carried = node.args[2:]
        for value, argument_ in zip(block.inputs[1:], carried, strict=False):
            self._flows[value] = self.flow(argument_)
        dashed, self._dashed = self._dashed, True
        self._block(block)
        self._dashed = dashed
        for value, result in zip(node.outputs, block.results[1:], strict=False):
            self._flows[value] = self.flow(result)


_NUMBERS = frozenset(["size", "dim", "numel", "item", "tolist", "len", "range", "isinstance",
                      "is_floating_point", "ndimension", "stride", "is_scripting"])  # fmt: skip
_NUMERIC = frozenset(["math", "builtins"])
_THROUGH = frozenset(["getitem", "contiguous", "detach", "clone", "to", "float", "type_as", "copy",
                      "half", "getattr", "list", "tuple", "keys", "values", "items"])  # fmt: skip


def _asks(node: Node) -> bool:
    """Returns whether a node reads an attribute of a tensor or module that is no tensor."""
    return node.target == "builtins:getattr" and node.args[1:2] in [
        ("shape",), ("dtype",), ("device",), ("ndim",), ("training",), ("is_cuda",)
    ]  # fmt: skip


def _called(node: Node) -> str:
    """Returns what a node calls that calls a value: `Softmax` for `nn.Softmax(dim=1)(x)`."""
    made = producer(node.args[0])
    name = made.target.replace(":", ".").rpartition(".")[2] if made is not None else ""
    return name or "call"


def _constants(node: Node) -> str:
    return ", ".join(map(str, (a for a in node.args if isinstance(a, int | float | str))))
