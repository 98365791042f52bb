"""Decorators that wrap a function, which TorchScript ignores."""

import ast
import inspect

from runner.graph.frontend.torchscript.source import FunctionSource


def refuse_wrapped(source: FunctionSource) -> None:
    """Refuses a function whose wrappers run code of their own."""
    called = getattr(source.called, "__func__", source.called)
    if source.answers and inspect.unwrap(called) is not called:
        definition = source.definition
        around = ", ".join(f"@{ast.unparse(node)}" for node in definition.decorator_list)
        source.refuse(
            definition,
            f"{definition.name} is wrapped ({around or 'by another function'}), and its wrapper "
            "runs, too",
        )
