"""Stubs: classes that replace those of modules while their parents are compiled.

A stub has a forward with the signature of the original and a body that only raises, so that callers
compile to a plain call of it. (`torch.jit.ignore` and `unused` would lose default arguments.)
"""

import functools
import inspect
import linecache
import typing
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any, final

from torch import Tensor, nn

from runner.graph.frontend.literals.references import parameters_of
from runner.unregistered import unregistered

_STUB = "Stub"  # the name of the class of all stubs


@final
class Stubs:
    """The stubs of one compilation, one for all modules of a class."""

    def __init__(self) -> None:
        self._like = functools.cache(_like)
        self.tells_its_types = functools.cache(tells_its_types)

    def stub_of(self, cls: Any) -> type[nn.Module]:
        """Returns a stub with the signature of the forward of a class; parameters without
        annotation are Tensors."""
        return self._like(cls, cls.forward, False)

    def hidden(self, cls: Any, like: type[nn.Module] | None = None) -> type[nn.Module]:
        """Returns a stub that hides the children of a module, with the forward of `like`, if
        given."""
        return self._like(cls, (like or cls).forward, True)


def _like(cls: Any, forward: Callable[..., Any], hide: bool) -> type[nn.Module]:
    parameters, result = typed_parameters(forward)
    return stub(cls, [function(parameters, result)], hide=hide)


def stub(
    cls: type[nn.Module], forwards: Sequence[FunctionType], *, hide: bool = False
) -> type[nn.Module]:
    """Returns a stub of a class with these forwards; several become overloads.

    The class and its instances list no other names: TorchScript calls `dir` on every object, which
    for a layer takes most of the time.
    """
    body: dict[str, Any] = {"__module__": cls.__module__, "__constants__": ()}
    body["__annotations__"] = {"_": int}  # otherwise those of the class would be inherited
    names = ["forward"]
    body["forward"] = forwards[0]
    if len(forwards) > 1:
        names = [f"forward__{number}" for number in range(len(forwards))]
        body |= dict(zip(names, forwards, strict=True))
        body["__overloads__"] = {"forward": names}
    if hide:
        body["__jit_ignored_attributes__"] = property(lambda self: [*self._modules])
    body["__dir__"] = lambda self: names
    meta = unregistered(type, _STUB, (type(cls),), {"__dir__": lambda cls: names})
    found: type[nn.Module] = unregistered(meta, cls.__name__, (cls,), body)
    return found


def original(module: nn.Module) -> type[nn.Module]:
    """Returns the class of a module, also if a stub replaces it."""
    cls = type(module)
    while type(cls).__name__ == _STUB:
        cls = cls.__mro__[1]
    return cls


Typed = tuple[str, Any, Any]  # name, type or None, default or Parameter.empty


def typed_parameters(forward: Callable[..., Any]) -> tuple[list[Typed], Any]:
    """Returns the parameters of a forward after `self`, each with a type, and its return type."""
    forward = inspect.unwrap(forward)
    hints = _hints(forward)
    parameters: list[Typed] = []
    for parameter in [*inspect.signature(forward).parameters.values()][1:]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        kind = hints.get(parameter.name)
        if kind is None and parameter.default is None:
            kind = Tensor | None
        elif kind is None and parameter.default is not parameter.empty:
            kind = type(parameter.default)
        parameters.append((parameter.name, kind, parameter.default))
    result = hints.get("return", Tensor)
    return parameters, Tensor if result in (None, type(None), Any) else result


def keyword_only(function: Any) -> frozenset[str]:
    """Returns the names of keyword-only parameters. TorchScript has none with defaults, so a stub
    takes them by position."""
    parameters = parameters_of(function).values()
    return frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def _hints(forward: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(forward)
    except Exception:  # a name that only type checkers see
        return {k: v for k, v in inspect.get_annotations(forward).items() if not isinstance(v, str)}


def function(parameters: Sequence[Typed], result: Any) -> FunctionType:
    """Returns a method with these parameters that raises, and whose source TorchScript can read."""
    names: dict[str, Any] = {"_R": result}
    signature = ["self"]
    for number, (name, kind, default) in enumerate(parameters):
        text = name
        if kind is not None:
            names[f"_T{number}"] = kind
            text += f": _T{number}"
        if default is not inspect.Parameter.empty:
            names[f"_d{number}"] = default
            text += f" = _d{number}"
        signature.append(text)
    source = f"def forward({', '.join(signature)}) -> _R:\n    raise NotImplementedError('stub')\n"
    file = f"<stub {source.splitlines()[0]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), names)
    made: FunctionType = names["forward"]
    return made


def tells_its_types(cls: Any) -> bool:
    """Returns whether all parameters of the forward of a class, and its result, are annotated."""
    _, *parameters = parameters_of(cls.forward)
    return {"return", *parameters} <= {*inspect.get_annotations(inspect.unwrap(cls.forward))}
