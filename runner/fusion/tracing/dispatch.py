"""Dispatches function and method calls of a meta run: to recorded steps or to Python."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.fusion.tracing.functionalize import (
    FunctionalCall,
    NotFunctional,
    functionalize_function,
    functionalize_method,
)
from runner.fusion.tracing.pure_modules import UNTOLD
from runner.fusion.tracing.tape import Tape, What
from runner.graph.interpreter.meta_calls import META, MetaMemo
from runner.graph.ir.effects import WRITE, of_function, of_method
from runner.graph.ir.signature import locate
from runner.nn.recording.tensor_history import tensors_in
from runner.operators import function_facts


@final
class Operations:
    """A recorder of calls on a tape. Adds paths of attributes that the model mutates to
    `changing`."""

    def __init__(self, tape: Tape, memo: MetaMemo, changing: set[str]) -> None:
        self.tape = tape
        self._memo = memo
        self._changing = changing
        self._containers: dict[int, tuple[str, Any]] = {}  # lists and dicts in attributes

    def function(self, target: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Calls a function, and returns its result."""
        if any(isinstance(thing, nn.Module) for thing in (*args, *kwargs.values())):
            self.tape.unfollowed(f"{target} takes a module as an argument.")
        if _name(target, args) in UNTOLD:
            self.tape.unfollowed(f"{_name(target, args)} depends on device, gradients or layout.")
        if _keeps_statistics(target, args, kwargs):
            self.tape.unfollowed("A normalization updates its running statistics.")
        functional = self.functional(lambda: functionalize_function(target, args, kwargs))
        if functional is not None:
            return self.in_place("function", functional)
        is_write = of_function(target) == WRITE
        is_tensors = any(type(t) is Tensor for t in args) and target != "operator:setitem"
        if is_tensors or target.startswith("torch") or target == "builtins:sum":
            return self.operation("function", target, args, kwargs, pure=not is_write)
        if is_write and not target.startswith("operator:"):
            self.tape.unfollowed(f"The effects of {target} are unknown.")
        return self.worked_out(target, locate(target), args, kwargs, changes=is_write)

    def method(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Calls a method of the first argument, and returns its result."""
        receiver = args[0]
        if not isinstance(receiver, Tensor):
            method = getattr(receiver, name)
            if isinstance(receiver, nn.Module) or not isinstance(receiver, _CONTAINERS):
                self.tape.unfollowed(
                    f"The effects of {name}() of a {type(receiver).__name__} are unknown."
                )
            changes = of_method(name) == WRITE
            return self.worked_out(name, lambda _, *a, **k: method(*a, **k), args, kwargs,
                                   changes=changes)  # fmt: skip
        if name in UNTOLD or (name == "type" and len(args) == 1):
            self.tape.unfollowed(f"{name}() depends on device, gradients or layout.")
        functional = self.functional(lambda: functionalize_method(name, args, kwargs))
        if functional is not None:
            return self.in_place("function" if ":" in functional.target else "method", functional)
        return self.operation("method", name, args, kwargs, pure=of_method(name) != WRITE)

    def watch(self, path: str, thing: Any) -> None:
        """Registers the lists and dicts in an attribute, which outlive the call that reads them."""
        if isinstance(thing, list | dict):
            self._containers[id(thing)] = path, thing
            for item in thing.values() if isinstance(thing, dict) else thing:
                self.watch(path, item)

    def functional(self, find: Callable[[], FunctionalCall | None]) -> FunctionalCall | None:
        """Returns the functional form of a call, if any. Raises Unfollowed instead of
        NotFunctional."""
        try:
            return find()
        except NotFunctional as problem:
            self.tape.unfollowed(str(problem))

    def in_place(self, what: What, call: FunctionalCall) -> Tensor:
        """Records the functional form of an in-place call, and rebinds the changed tensor."""
        pure = (of_function if what == "function" else of_method)(call.target) != WRITE
        result = self.operation(what, call.target, call.args, call.kwargs, pure=pure)
        if not isinstance(result, Tensor):
            self.tape.unfollowed(f"{call.target} returns no tensor.")
        self.tape.rebind(call.changed, result)
        return call.changed

    def operation(
        self,
        what: What,
        target: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        pure: bool,
    ) -> Any:
        """Calls a function or a tensor method; records a step if the result contains tensors."""
        args, kwargs = self.anywhere(target, args, kwargs)
        if what == "method" and target == "to" and len(args) + len(kwargs) == 1:
            return args[0]
        if what == "function":
            outcome = self._memo.outcome(target, locate(target), args, kwargs)
        else:
            outcome = self._memo.outcome(f".{target}", getattr(Tensor, target), args, kwargs)
        if outcome.changed:
            self.tape.unfollowed(f"{target} changes its arguments in place.")
        if tensors_in(outcome.result):
            return self.tape.step(what, target, args, kwargs, outcome, pure=pure)
        if not pure:
            self.tape.unfollowed(f"The effects of {target} are unknown.")
        if not tensors_in(args):
            self.tape.value(target, args)
        return outcome.result

    def anywhere(
        self, target: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Returns the arguments without the batch's device. Raises Unfollowed for any other."""
        is_move = target == "to"
        args = [a for a in args if not (is_move and _is_device(a) and a == META)]
        kwargs = {n: a for n, a in kwargs.items() if n != "device" or not (a is None or a == META)}
        if "device" in kwargs or any(_is_device(a) or (is_move and type(a) is str) for a in args):
            self.tape.unfollowed("The code specifies a device.")
        return args, kwargs

    def worked_out(
        self,
        name: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        changes: bool,
    ) -> Any:
        """Returns the result of a call that Python evaluates, on numbers, lists and the like."""
        if changes and id(args[0]) in self._containers:
            self._changing.add(self._containers[id(args[0])][0])
            self.tape.unfollowed("The code changes an attribute of the model.")
        if any(_is_device(thing) and thing != META for thing in args) or (
            any(map(_is_device, args)) and name not in ("operator:eq", "operator:ne")
        ):
            self.tape.unfollowed("The code inspects a device.")
        result = function(*args, **kwargs)
        for tensor in tensors_in(result):
            if not self.tape.knows(tensor):
                self.tape.unfollowed(f"{name} returns tensors of unknown origin.")
        if name == "operator:getitem":
            self.tape.value(name, args[1:])
        elif name not in _MOVES and not isinstance(result, str):
            self.tape.value(name, (*args, *kwargs.values()))
        return result


def _is_device(thing: Any) -> bool:
    return type(thing) is torch.device


def _name(target: str, args: Sequence[Any]) -> str:
    """Returns the name of a function, or of the attribute that `getattr` reads."""
    if target == "builtins:getattr" and len(args) > 1:
        return str(args[1])
    return target.rpartition(":")[2].rpartition(".")[2]


def _keeps_statistics(target: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Returns whether a call is a normalization that updates its running statistics."""
    name = target.rpartition(":")[2]
    if name not in ("batch_norm", "instance_norm"):
        return False
    given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
    has_any = any(given.get(key) is not None for key in function_facts(target).writes)
    learns = "training" if name == "batch_norm" else "use_input_stats"
    is_told = args[5] if len(args) > 5 else kwargs.get(learns, name == "instance_norm")
    return has_any and bool(is_told)


_CONTAINERS = (list, dict, tuple, str, int, float, type(None))
_MOVES = frozenset([
    *("builtins:len", "builtins:list", "builtins:tuple", "builtins:isinstance", "builtins:type"),
    *("builtins:reversed", "builtins:enumerate", "builtins:zip", "builtins:dict", "append"),
    *("builtins:getattr", "extend", "insert", "copy", "keys", "values", "items", "get", "clear"),
    *("operator:setitem", "operator:is_", "operator:is_not"),
])  # fmt: skip
