"""Keeps work in place from what it was not meant for: when a unit or a call no longer makes a new
tensor, what changes it behind that would change what others have, too."""

from typing import final

from runner.errors import GraphError
from runner.graph.argument import Ref
from runner.graph.graph import Graph
from runner.graph.node import Argument, Function, Node, Parameter, Value
from runner.graph.signature import argument, signature
from runner.graph.sites import behind, is_in_order, runs_its_children, sites
from runner.graph.unit import Unit

_IN_PLACE = frozenset(
    f"operator:{name}"
    for name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "ipow", "iand", "ior", "imatmul",
                 "setitem", "delitem")
)  # fmt: skip
_SHARING = (
    "alias as_strided broadcast_to chunk contiguous cpu cuda detach diagonal double expand "
    "expand_as flatten float getitem half identity movedim moveaxis narrow permute positive ravel "
    "real reshape reshape_as select split split_with_sizes squeeze swapaxes swapdims t "
    "tensor_split to transpose type type_as unbind unflatten unfold unsqueeze view view_as "
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout"
)
_VIEWS = frozenset(_SHARING.split())  # functions and methods that may give what they are given
_PARTS = frozenset(("T", "mT", "H", "mH", "data", "real"))  # attributes that do
_SAME = frozenset(
    ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout",
     "FeatureAlphaDropout", "Flatten", "Unflatten")
)  # fmt: skip
_MAKERS = ("Conv", "Linear", "Norm")  # in names of classes that need what they gave no more


@final
class Trace:
    """What changes a tensor in place, followed from where it is made, as far as code can be read:
    `units` constructed with inplace=True; `is_hard` where it is not just that, and nothing else
    reads what they change."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.units: list[Unit] = []
        self.is_hard = False
        self._is_shared = False
        self._seen: dict[object, bool] = {}

    @property
    def needs_copy(self) -> bool:
        """Whether only a copy of the tensor keeps things as they were."""
        return self.is_hard or bool(self.units and self._is_shared)

    @property
    def found(self) -> bool:
        """Whether anything changes it."""
        return self.is_hard or bool(self.units)

    def value(self, owner: Unit, value: Value) -> bool:
        """Follow a value in code of a unit; whether the function may give it back."""
        if value in self._seen:
            return self._seen[value]
        self._seen[value] = False
        if len(value.users) > 1:
            self._is_shared = True
        left = [self.node(owner, node, value) for node in value.users]
        self._seen[value] = any(left)
        return any(left)

    def node(self, owner: Unit, node: Node, value: Value) -> bool:
        """Follow a value into a node that uses it."""
        if node.op == "output":
            above = node.block.owner
            if isinstance(above, Function):
                return True
            return self._values(owner, [*above.outputs, *node.block.inputs])
        if node.op == "call_module":
            passes = self._called(owner, node, value)
        elif node.op in ("call_function", "call_method"):
            if overwrites(node, value):
                self.is_hard = True
                return False
            passes = self._computed(owner, node, value)
        else:
            passes = node.op in ("list", "dict", "unpack", "if", "loop", "with")
        inner = [value for block in node.blocks for value in block.inputs]
        return passes and self._values(owner, [*node.outputs, *inner])

    def _values(self, owner: Unit, values: list[Value]) -> bool:
        left = [self.value(owner, value) for value in values]
        return any(left)

    def _called(self, owner: Unit, node: Node, value: Value) -> bool:
        unit = owner.find(node.path)
        if unit is None:  # a part of what is not looked at
            return False
        self._is_shared = self._is_shared or not node.users
        function = unit.functions.get(node.method)
        if function is not None:
            return self._into(unit, function, node, value)
        return self.unit(unit)

    def _computed(self, owner: Unit, node: Node, value: Value) -> bool:
        """Follow a value into a function; whether that may give it back."""
        function = self.graph.functions.get(node.target[1:]) if node.target[:1] == ":" else None
        if function is not None:
            return self._into(owner, function, node, value)
        name = node.target.rpartition(":")[2].rpartition(".")[2]
        return name in _VIEWS or (name == "getattr" and str(node.args[-1]) in _PARTS)

    def _into(self, unit: Unit, function: Function, node: Node, value: Value) -> bool:
        """Follow a value into a function that a node calls."""
        names = [parameter.name for parameter in function.parameters]
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        inner = [own for name, own in zip(names, function.inputs, strict=True)
                 if given.get(name) is value]  # fmt: skip
        return self._values(unit, inner)

    def unit(self, unit: Unit) -> bool:
        """Follow what a unit is given; whether it may give that back."""
        if works_in_place(unit):
            self.units.append(unit)
            self.is_hard = self.is_hard or not _is_free(self.graph, unit)
            return False
        if is_in_order(unit):
            return all(self.unit(child) for child in unit.children.values() if child is not None)
        if forward := unit.functions.get("forward"):
            return bool(forward.inputs) and self.value(unit, forward.inputs[0])
        self.is_hard = self.is_hard or any(works_in_place(inner) for _, inner in unit.walk())
        return unit.grade == "basic" and unit.name in _SAME

    def behind(self, unit: Unit, *, is_called: bool = True) -> None:
        """Follow what a unit gives: to what runs behind it, and with `is_called` in code."""
        if unit in self._seen:
            return
        self._seen[unit] = True
        for path, owner in [*self.graph.units()]:
            names = [name for name, child in owner.children.items() if child is unit]
            if names and is_in_order(owner):
                if runs_its_children(self.graph, path) and self._rest(owner, names[0]):
                    self.behind(owner)
            elif names and owner.grade == "shell":
                self.unit(owner)
                self.behind(owner)
            outputs = [v for node in _calls(owner, unit) for v in node.outputs] if is_called else []
            if self._values(owner, outputs):
                self.behind(owner)

    def _rest(self, owner: Unit, name: str) -> bool:
        """Follow a tensor through the children behind one; whether it may come out."""
        names = [*owner.children]
        later = (owner.children[other] for other in names[names.index(name) + 1 :])
        return all(self.unit(child) for child in later if child is not None)


def overwrites(node: Node, value: Value) -> bool:
    """Whether a call of a function or method changes a value in place: its first argument."""
    if next(iter((*node.args, *node.kwargs.values())), None) is not value:
        return False
    name = node.target.rpartition(":")[2]
    if (name.endswith("_") and not name.endswith("__")) or node.target in _IN_PLACE:
        return True
    return _in_place_argument(node) not in (None, False)


def _in_place_argument(node: Node) -> Argument:
    if "inplace" in node.kwargs or node.op != "call_function":
        return node.kwargs.get("inplace")
    try:
        names = [*signature(node.target).parameters]
    except GraphError:
        return None
    place = names.index("inplace") if "inplace" in names else len(node.args)
    return node.args[place] if place < len(node.args) else None


def works_in_place(unit: Unit) -> bool:
    """Whether a module that is not looked into was told to work in place."""
    if unit.grade != "basic" or unit.call is None:
        return False
    try:
        return argument(unit.call, "inplace") is True
    except GraphError:  # it has no such argument
        return False


def handed_on(
    graph: Graph, owner: Unit, function: Function, node: Node, value: Value, given: Value
) -> Value:
    """What may stand for a value that a node makes, where that is to be what the node is given:
    this very value, once nothing works on it in place; else a copy, made in front of the node."""
    trace, other = Trace(graph), Trace(graph)
    if trace.value(owner, value):
        trace.behind(owner)
    later = {*behind(node)}
    for user in given.users:
        if user is not node and user in later:
            other.node(owner, user, given)
    if other.found or (trace.needs_copy and not _is_spare(owner, node, given)):
        with function.inserting_before(node):
            return function.call_method("clone", given)
    if not trace.needs_copy:
        _calm(trace)
    return given


def calm_place(graph: Graph, path: str) -> None:
    """Have a unit that may give what it is given change nothing but the unit it stands for."""
    unit = graph.unit(path)
    for site in sites(graph, unit):
        keep_apart(graph, site.owner, site.function, site.node)
    trace = Trace(graph)
    trace.behind(unit, is_called=False)
    if not trace.needs_copy:
        _calm(trace)
    elif unit.name == "Identity":
        graph.replace(path, copying())
    else:
        graph.replace(path, Unit.of("torch.nn:Sequential", copying(), unit))


def keep_apart(graph: Graph, owner: Unit, function: Function, node: Node) -> None:
    """Have a node that may give its first argument change nothing but what it stands for."""
    for given in node.inputs[:1]:
        for value in node.outputs:
            kept = handed_on(graph, owner, function, node, value, given)
            if kept is not given:
                node.replace_input(given, kept)


def passes(graph: Graph, unit: Unit) -> bool:
    """Whether a unit may give the very tensor that it is given."""
    return Trace(graph).unit(unit)


def copying() -> Unit:
    """An identity that gives a copy."""
    unit = Unit("graph", Ref("torch.nn:Identity"))
    forward = Function("forward", [Parameter("input", annotation="torch.Tensor")])
    forward.result = forward.call_method("clone", forward.inputs[0])
    unit.define(forward)
    return unit


def _calm(trace: Trace) -> None:
    for unit in trace.units:
        unit.set_argument("inplace", False)


def _is_spare(owner: Unit, node: Node, given: Value) -> bool:
    """Whether only a node has a value, which a layer made that does not need it any more."""
    made = given.node if [*given.users] == [node] else None
    unit = owner.find(made.path) if made is not None and made.op == "call_module" else None
    return unit is not None and unit.grade == "basic" and any(m in unit.name for m in _MAKERS)


def _is_free(graph: Graph, unit: Unit) -> bool:
    """Whether nothing reads what a unit that works in place has changed, but through what it
    gives."""
    places = 0
    for _, owner in graph.units():
        places += sum(child is unit for child in owner.children.values())
        if owner.grade == "shell" and unit in owner.children.values():
            return False
        for node in _calls(owner, unit):
            given = node.inputs[0] if node.inputs else None
            if given is None or len(given.users) > 1 or not node.users:
                return False
    return places == 1


def _calls(owner: Unit, unit: Unit) -> list[Node]:
    """All calls of a unit in the code of another one, to be read."""
    return [
        node
        for function in owner.functions.values()
        for node in function.nodes
        if node.op == "call_module" and owner.find(node.path) is unit
    ]
