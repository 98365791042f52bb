"""Decorators that put a function around the one that is written: TorchScript reads past them."""

import ast
import inspect

from runner.graph.frontend.torchscript.desugar.source import FunctionSource


def refuse_wrapped(source: FunctionSource) -> None:
    """Refuses a function that does more when it is called than its own source says."""
    called = getattr(source.called, "__func__", source.called)
    if source.answers and inspect.unwrap(called) is not called:
        definition = source.definition
        around = ", ".join(f"@{ast.unparse(node)}" for node in definition.decorator_list)
        source.refuse(
            definition,
            f"{definition.name} is wrapped ({around or 'by another function'}), and what wraps it "
            "runs, too",
        )
