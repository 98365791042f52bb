"""Parameters of a class that its `__init__` takes as `**kwargs` and passes on to its base class."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter
from typing import Any, final

from runner.config.check_arguments import signature

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


@final
@dataclass(frozen=True)
class _PassingCall:
    """A call of `super().__init__` that passes all of `**kwargs` on, beside some arguments; those
    of `*args`, and what an earlier call put into `**kwargs`, are among them."""

    positional: int
    named: frozenset[str]


_NOTHING = _PassingCall(0, frozenset())


@final
@dataclass(frozen=True)
class TakenParameters:
    """The parameters of a class, by name. `beyond` are those of base classes that `**kwargs` may
    or may not reach."""

    known: Mapping[str, Parameter]
    beyond: Mapping[str, Parameter]


def taken_parameters(target: Any) -> TakenParameters:
    """Returns the parameters of a class or function.

    The parameters of a base class are among them where `__init__` takes `**kwargs`, and its only
    use is one statement `super().__init__(..., **kwargs)`; the same may pass `*args` on, of which a
    config gives none. Nothing is called.
    """
    known = dict(signature(target) or {})
    if not isinstance(target, type) or not _rest(known):
        return TakenParameters(known, {})
    owners = [owner for owner in target.__mro__ if "__init__" in vars(owner)]
    call: _PassingCall | None = None
    for place, owner in enumerate(owners):
        own = dict(signature(vars(owner)["__init__"]) or {})
        own.pop(next(iter(own), ""), None)  # self
        if call is not None:
            known |= {name: p for name, p in _left(own, call).items() if name not in known}
        if not _rest(own):
            return TakenParameters(known, {})
        call = _passing(vars(owner)["__init__"], owner, own, call or _NOTHING)
        if call is None:
            return TakenParameters(known, _of_bases(owners[place + 1 :], known))
    return TakenParameters(known, {})


def _rest(parameters: Mapping[str, Parameter], kind: Any = Parameter.VAR_KEYWORD) -> str:
    """Returns the name of `**kwargs`, or of `*args`, "" if there is none."""
    kinds = {p.kind: name for name, p in parameters.items()}
    return kinds.get(kind, "")


def _left(own: Mapping[str, Parameter], call: _PassingCall) -> dict[str, Parameter]:
    """Returns the parameters of an `__init__` that a call does not fill itself."""
    places = [name for name, p in own.items() if p.kind in _POSITIONAL]
    filled = {*places[: call.positional], *call.named}
    return {name: p for name, p in own.items() if name not in filled}


def _passing(
    init: Any, owner: type, own: Mapping[str, Parameter], given: _PassingCall
) -> _PassingCall | None:
    """Returns the call of an `__init__`, itself called as `given`, that passes the rest on; None if
    it does anything else."""
    try:
        [function] = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(init)))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    if not isinstance(function, ast.FunctionDef):
        return None
    named, unnamed = _rest(own), _rest(own, Parameter.VAR_POSITIONAL)
    uses = [node.id for node in ast.walk(function) if isinstance(node, ast.Name)]
    if uses.count(named) != 1 or uses.count(unnamed) > 1:
        return None
    calls = [s.value for s in function.body if isinstance(s, ast.Expr)]
    for call in calls:
        if isinstance(call, ast.Call) and _is_of_super(call.func, owner):
            before = [each for each in call.args if not isinstance(each, ast.Starred)]
            starred = [_name(each.value) for each in call.args if isinstance(each, ast.Starred)]
            passed = [_name(each.value) for each in call.keywords if each.arg is None]
            if passed != [named] or starred not in ([], [unnamed]):
                return None
            more = max(given.positional - sum(p.kind in _POSITIONAL for p in own.values()), 0)
            keywords = {each.arg for each in call.keywords if each.arg is not None}
            return _PassingCall(
                len(before) + (more if starred else 0),
                frozenset(keywords | (given.named - own.keys())),
            )
    return None


def _name(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def _is_of_super(function: ast.expr, owner: type) -> bool:
    if not isinstance(function, ast.Attribute) or function.attr != "__init__":
        return False
    text = ast.unparse(function.value)
    return text == "super()" or text.startswith(f"super({owner.__name__}, ")


def _of_bases(owners: list[type], known: Mapping[str, Parameter]) -> dict[str, Parameter]:
    found: dict[str, Parameter] = {}
    for owner in owners:
        for name, parameter in (signature(vars(owner)["__init__"]) or {}).items():
            if name not in known:
                found.setdefault(name, parameter)
    return found
