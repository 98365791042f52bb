"""Hooks TorchScript's access to the source of functions while a model is compiled."""

import ast
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from textwrap import dedent
from typing import Any, final

import torch
from torch import _jit_internal, nn
from torch._jit_internal import FunctionModifiers
from torch._sources import ParsedDef, SourceContext, make_source_context
from torch.jit import _recursive, frontend

from runner.graph.frontend.torchscript.desugar.rules import desugar
from runner.graph.frontend.torchscript.isolation import CompiledFunctions
from runner.graph.frontend.torchscript.scope import is_called_by_name
from runner.graph.frontend.torchscript.source import Assumptions, FunctionSource

frontend_: Any = frontend  # has no types
recursive: Any = _recursive
jit: Any = torch.jit
annotations: Any = torch.jit.annotations
internal: Any = _jit_internal
_PADDING = "\n#" + "." * 200  # TorchScript looks up rewritten names past the end of the source


@final
class Desugaring:
    """A hook that passes desugared source of all that is compiled to TorchScript."""

    def __init__(self, compiled: CompiledFunctions) -> None:
        self.symbolic: dict[int, frozenset[str]] = {}  # by id of module, see `FunctionSource`
        self._compiled = compiled
        self._modules: list[tuple[nn.Module, Assumptions]] = []
        self._answers = True

    @contextmanager
    def of(self, module: nn.Module, assumptions: Assumptions) -> Iterator[None]:
        """Takes methods compiled in the block for those of a module; assumptions they make are
        added to `assumptions`."""
        self._modules.append((module, assumptions))
        try:
            yield
        finally:
            self._modules.pop()

    def install(self, restore: ExitStack) -> None:
        """Replaces TorchScript's access to source until `restore` is closed."""
        for owner, name, own in (
            (frontend_, "parse_def", self._parse),
            (recursive, "try_compile_fn", self._compile_function),
            (jit, "script", self._script),
            (internal, "should_drop", _drops),
            (annotations, "get_signature", _takes_anything),
        ):
            before = getattr(owner, name)
            restore.callback(setattr, owner, name, before)
            setattr(owner, name, own(before))

    def _parse(self, before: Callable[[Any], ParsedDef]) -> Callable[[Any], ParsedDef]:
        def parse_def(function: Any) -> ParsedDef:
            parsed = before(function)
            definition = parsed.ast.body[0]
            if not isinstance(definition, ast.FunctionDef) or not _is_read(function, parsed):
                return parsed
            desugar(self._source(function, definition, parsed))
            return parsed._replace(ctx=_padded(parsed))

        return parse_def

    def _source(
        self, function: Any, definition: ast.FunctionDef, parsed: ParsedDef
    ) -> FunctionSource:
        plain = inspect.unwrap(getattr(function, "__func__", function))
        file = inspect.getsourcefile(plain) or parsed.filename or ""
        start = parsed.file_lineno
        source = FunctionSource(function, plain, definition, file, start, answers=self._answers)
        if self._modules:
            module, assumptions = self._modules[-1]
            if getattr(function, "__self__", None) is module or _is_method(plain, type(module)):
                source.module, source.assumptions = module, assumptions
                source.symbolic = self.symbolic.get(id(module), frozenset())
        return source

    def _compile_function(self, before: Callable[..., Any]) -> Callable[..., Any]:
        def try_compile_fn(function: Any, place: Any) -> Any:
            made = self._attempt(before, function, place)
            self._compiled.note(function, made)
            return made

        return try_compile_fn

    def _script(self, before: Callable[..., Any]) -> Callable[..., Any]:
        """Replaces `torch.jit.script`, which compiles functions that are attributes."""

        def script(thing: Any, *args: Any, **kwargs: Any) -> Any:
            if not inspect.isfunction(thing) or args or kwargs:
                return before(thing, *args, **kwargs)
            return self._attempt(lambda function, _: before(function), thing, None)

        return script

    def _attempt(self, compile_: Callable[..., Any], function: Any, place: Any) -> Any:
        """Compiles a function. If it fails and generated source calls it by name, only its types
        matter: it is compiled again without answering queries."""
        try:
            return compile_(function, place)
        except Exception:  # TorchScript may raise anything
            if not self._answers or not is_called_by_name(function):
                raise
        self._answers = False
        try:
            return compile_(function, place)
        finally:
            self._answers = True


def _drops(before: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Makes calls of `unused` functions remain calls, like those of `ignore`d ones."""

    def should_drop(function: Any) -> bool:
        unused = getattr(function, "_torchscript_modifier", None) is FunctionModifiers.UNUSED
        return not unused and before(function)

    return should_drop


def _takes_anything(before: Callable[..., Any]) -> Callable[..., Any]:
    """Makes functions that are not compiled accept any argument, whatever their annotations."""

    def get_signature(function: Any, *args: Any) -> Any:
        signature = before(function, *args)
        if signature is None or not internal.is_ignored_fn(function):
            return signature
        taken, given = signature
        return [torch._C.AnyType.get() for _ in taken], given

    return get_signature


def _padded(parsed: ParsedDef) -> SourceContext:
    """Returns the source that places refer to, padded for rewritten code at its end."""
    source = parsed.source
    first = source.partition("\n")[0]
    indent = len(first) - len(dedent(source).partition("\n")[0])
    context: SourceContext = make_source_context(
        source + _PADDING, parsed.filename, parsed.file_lineno, indent, True, parsed.ctx.funcname
    )
    return context


def _is_read(function: Any, parsed: ParsedDef) -> bool:
    """Returns whether a function is compiled, unlike those of torch, called by name, and stubs."""
    module = getattr(function, "__module__", None) or ""
    stub = (parsed.filename or "").startswith("<stub")
    return not stub and module.partition(".")[0] != "torch"


def _is_method(function: Any, cls: type) -> bool:
    """Returns whether a function is a method, or an accessor of a property, of a class."""
    for owner in cls.__mro__:
        for member in vars(owner).values():
            parts = (member.fget, member.fset) if isinstance(member, property) else (member,)
            for part in parts:
                plain = getattr(part, "__func__", part)
                if callable(plain) and inspect.unwrap(plain) is function:
                    return not isinstance(member, staticmethod | classmethod)
    return False
