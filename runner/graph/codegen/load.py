"""Loads generated source as a module, and saves and loads the tensors that it reads."""

import hashlib
import linecache
import sys
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import final

from safetensors.torch import save
from torch import Tensor

from runner.errors import GraphError
from runner.graph.codegen.carried_source.packages import is_own
from runner.graph.ir.graph import Graph
from runner.unregistered import unregistered_classes

CONSTANTS = "constants.safetensors"


@final
class _Lifetime:
    """An object in the globals of a module, alive as long as any of its functions."""


def save_tensors(graph: Graph) -> bytes:
    """Returns the tensors of a graph as the safetensors file that its source reads; empty for none.

    Raises GraphError for a tensor that such a file cannot hold.
    """
    if not graph.tensors:
        return b""
    return _saved(graph.tensors)


def load_source(
    text: str, tensors: Mapping[str, Tensor] | None = None, *, name: str = "model"
) -> ModuleType:
    """Returns the module of a text that `generate` made, with the tensors it reads.

    Tracebacks show its lines. It is not in `sys.modules`: many samples may have one name.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    file = f"<{name} {digest}>"
    module = ModuleType(name)
    _keep_lines(module, file, text)
    if not tensors:
        return _execute(module, text, file, file)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CONSTANTS).write_bytes(_saved(tensors))
        return _execute(module, text, file, str(Path(folder) / "model.py"))


def load_file(path: Path) -> ModuleType:
    """Returns the module of a file that holds generated source, with the tensors beside it."""
    return _execute(ModuleType(path.stem), path.read_text(encoding="utf-8"), str(path), str(path))


def _execute(module: ModuleType, text: str, file: str, place: str) -> ModuleType:
    module.__file__ = place
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses look there, while a class is made
    try:
        with unregistered_classes(module, is_own):
            exec(compile(text, file, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
        if before is not None:
            sys.modules[module.__name__] = before
    return module


def _keep_lines(module: ModuleType, file: str, text: str) -> None:
    """Lets tracebacks and `inspect` find the source while any function of the module lives."""
    entry = (len(text), None, text.splitlines(keepends=True), file)
    linecache.cache[file] = entry
    lifetime = module.__dict__["__lifetime__"] = _Lifetime()
    weakref.finalize(lifetime, _forget_lines, file, entry).atexit = False


def _forget_lines(file: str, entry: object) -> None:
    if linecache.cache.get(file) is entry:
        del linecache.cache[file]


def _saved(tensors: Mapping[str, Tensor]) -> bytes:
    try:
        return save({n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()})
    except (KeyError, RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        kinds = ", ".join(f"{n} ({t.dtype}, {t.layout})" for n, t in tensors.items())
        raise GraphError(f"These tensors cannot be saved: {kinds}: {error}.") from error
