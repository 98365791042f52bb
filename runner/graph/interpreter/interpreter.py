"""The interpreter: executes a graph node by node, with control flow, on real or meta tensors."""

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.interpreter.modules import Builder, Live
from runner.graph.ir.function import Function
from runner.graph.ir.graph import Graph
from runner.graph.ir.node import Argument, Block, Node, Value, map_values
from runner.graph.ir.signature import locate


@final
class Frame:
    """The state of one function call: its module, and the values computed so far."""

    __slots__ = ("function", "module", "path", "values")

    def __init__(self, function: Function, module: nn.Module | None, path: str) -> None:
        self.function = function
        self.module = module  # None for a free function of the graph
        self.path = path  # of the unit
        self.values: dict[Value, Any] = {}


class Interpreter:
    """An interpreter of a graph. To observe or change operations, override `run_{op}` of each.

        interpreter = Interpreter(graph)
        interpreter.load_state_dict(model.state_dict())
        interpreter.model.eval()
        assert interpreter(x).equal(model.eval()(x))

    `model` is a module with the names and tensors of the original model: modes, devices, weights
    and gradients work as usual. Parameters have the initial values that the graph defines.
    """

    def __init__(self, graph: Graph, device: torch.device | str = "cpu") -> None:
        self.graph = graph
        self.builder = self.make_builder(torch.device(device))
        self._run: Mapping[str, Callable[[Node, Frame], Any]] = {
            name: getattr(self, f"run_{name}") for name in OPS
        }
        self._located: dict[str, Callable[..., Any]] = {}
        self.model = self.builder.model()

    def make_builder(self, device: torch.device) -> Builder:
        """Returns the builder of modules for units."""
        return Builder(self.graph, self.run_method, device)

    def load_state_dict(self, state: Mapping[str, Any], *, strict: bool = True) -> "Interpreter":
        """Loads the state_dict of a model; returns the interpreter itself."""
        self.model.load_state_dict(state, strict=strict)
        return self

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        """Runs the model on inputs."""
        return self.model(*inputs, **kwargs)

    # Functions, blocks, nodes

    def run_method(
        self, module: Live, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Runs a function of a unit. Raises GraphError if it has none of that name."""
        function = module._runner_unit.functions.get(name)
        if function is None:
            raise GraphError(
                f"{module._runner_path or 'The model'} has no function {name!r} to run."
            )
        return self.run_function(Frame(function, module, module._runner_path), args, kwargs)

    def run_function(self, frame: Frame, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Runs a function on arguments, and returns its result."""
        self.bind(frame, args, dict(kwargs))
        results = self.run_block(frame.function.block, frame)
        return results[0] if results else None

    def bind(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Binds arguments to the inputs of a function. Raises TypeError as a Python call does."""
        function = frame.function
        bound = function.bound(args, kwargs)
        for parameter, value in zip(function.parameters, function.inputs, strict=True):
            if value in bound:
                given = bound[value]
            elif parameter.default:
                given = self.builder.constant(parameter.default[0])
            else:
                raise TypeError(f"{function.name}() is missing the argument {parameter.name!r}")
            self.store(value, given, frame)

    def run_block(self, block: Block, frame: Frame) -> tuple[Any, ...]:
        """Runs the nodes of a block, and returns its results."""
        for node in block.nodes:
            if node.op == "output":
                break
            self.run_node(node, frame)
        return tuple(self.value(argument, frame) for argument in block.results)

    def run_node(self, node: Node, frame: Frame) -> None:
        """Runs a node, and stores its result."""
        self.keep(node, self._run[node.op](node, frame), frame)

    def keep(self, node: Node, result: Any, frame: Frame) -> None:
        """Stores the result of a node, unpacked if the node has several outputs."""
        outputs = node.outputs
        if len(outputs) == 1 and node.op not in _SEVERAL:
            self.store(outputs[0], result, frame)
        elif outputs:
            for output, item in zip(outputs, result, strict=True):
                self.store(output, item, frame)

    def store(self, value: Value, thing: Any, frame: Frame) -> None:
        """Stores a value; called for every value in order of execution."""
        frame.values[value] = thing

    def value(self, argument: Argument, frame: Frame) -> Any:
        """Evaluates an argument."""
        kind = type(argument)
        if kind is Value:
            return frame.values[argument]
        if kind in _ATOMS:
            return argument
        return self.builder.constant(map_values(argument, frame.values.__getitem__))

    def arguments(self, node: Node, frame: Frame) -> tuple[list[Any], dict[str, Any]]:
        """Evaluates the arguments of a node."""
        args = [self.value(argument, frame) for argument in node.args]
        kwargs = {name: self.value(a, frame) for name, a in node.kwargs.items()}
        if "*" in kwargs:
            args += kwargs.pop("*")
        return args, kwargs | kwargs.pop("**", {})

    def locate(self, target: str) -> Callable[..., Any]:
        """Returns the function that a node calls."""
        if target not in self._located:
            self._located[target] = locate(target)
        return self._located[target]

    # One method per operation

    def run_call_module(self, node: Node, frame: Frame) -> Any:
        module = self.submodule(frame, node.path)
        args, kwargs = self.arguments(node, frame)
        if node.method == "forward":
            return module(*args, **kwargs)
        if isinstance(module, Live):
            return self.run_method(module, node.method, tuple(args), kwargs)
        return getattr(module, node.method)(*args, **kwargs)

    def submodule(self, frame: Frame, path: str) -> Any:
        """Returns the module at a path below the one that runs."""
        assert frame.module is not None
        found: Any = frame.module
        for name in path.split(".") if path else ():
            found = found._modules[name] if name in found._modules else getattr(found, name)
        return found

    def run_call_function(self, node: Node, frame: Frame) -> Any:
        args, kwargs = self.arguments(node, frame)
        if node.target.startswith(":"):
            function = self.graph.functions[node.target[1:]]
            return self.run_function(Frame(function, None, frame.path), tuple(args), kwargs)
        return self.locate(node.target)(*args, **kwargs)

    def run_call_method(self, node: Node, frame: Frame) -> Any:
        (receiver, *args), kwargs = self.arguments(node, frame)
        return method_of(receiver, node.target)(*args, **kwargs)

    def run_get_attr(self, node: Node, frame: Frame) -> Any:
        path, _, name = node.target.rpartition(".")
        found = self.submodule(frame, path)
        if not name:
            return found
        inside = found._modules if isinstance(found, nn.Module) else {}
        return inside[name] if name in inside else getattr(found, name)

    def run_set_attr(self, node: Node, frame: Frame) -> None:
        setattr(frame.module, node.target, self.value(node.args[0], frame))

    def run_list(self, node: Node, frame: Frame) -> list[Any]:
        return self.arguments(node, frame)[0]

    def run_dict(self, node: Node, frame: Frame) -> dict[Any, Any]:
        items = self.arguments(node, frame)[0]
        return dict(zip(items[::2], items[1::2], strict=True))

    def run_unpack(self, node: Node, frame: Frame) -> tuple[Any, ...]:
        return tuple(self.value(node.args[0], frame))

    def run_if(self, node: Node, frame: Frame) -> tuple[Any, ...]:
        taken = node.blocks[0 if self.value(node.args[0], frame) else 1]
        return self.run_block(taken, frame)

    def run_loop(self, node: Node, frame: Frame) -> tuple[Any, ...]:
        trips, condition, *carried = self.arguments(node, frame)[0]
        (block,) = node.blocks
        index = 0
        while condition and (trips is None or index < trips):
            for value, thing in zip(block.inputs, (index, *carried), strict=True):
                self.store(value, thing, frame)
            condition, *carried = self.run_block(block, frame)
            index += 1
        return tuple(carried)

    def run_with(self, node: Node, frame: Frame) -> tuple[Any, ...]:
        with self.value(node.args[0], frame):
            return self.run_block(node.blocks[0], frame)

    def run_raise(self, node: Node, frame: Frame) -> None:
        args, kwargs = self.arguments(node, frame)
        error = self.locate(node.target)(*args, **kwargs)
        assert isinstance(error, BaseException)
        raise error


def method_of(receiver: Any, name: str) -> Callable[..., Any]:
    """Returns a method of an object. What is called as `receiver(...)` is the object itself: its
    attribute `__call__` may be another, as that of a class."""
    return receiver if name == "__call__" else getattr(receiver, name)  # type: ignore[no-any-return]


OPS = ("call_module", "call_function", "call_method", "get_attr", "set_attr", "list", "dict",
       "unpack", "if", "loop", "with", "raise")  # fmt: skip
_SEVERAL = frozenset(["unpack", "if", "loop", "with"])  # return a tuple even for one output
_ATOMS = frozenset([type(None), bool, int, float, str])
