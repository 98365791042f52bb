"""Generated source as a module that is imported, and the tensors that it reads."""

import hashlib
import linecache
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from safetensors.torch import save
from torch import Tensor

from runner.errors import GraphError
from runner.graph.ir.graph import Graph

CONSTANTS = "constants.safetensors"
KEPT = 256  # so many sources are kept for tracebacks
_lines: OrderedDict[str, None] = OrderedDict()


def save_tensors(graph: Graph) -> bytes:
    """The tensors of a graph as the safetensors file that its source reads; empty for none.

    Raises GraphError for a tensor that such a file cannot hold.
    """
    if not graph.tensors:
        return b""
    return _saved(graph.tensors)


def load_source(
    text: str, tensors: Mapping[str, Tensor] | None = None, *, name: str = "model"
) -> ModuleType:
    """The module of a text that `generate` made, with the tensors it reads.

    Tracebacks show its lines. It is not in `sys.modules`: many samples may have one name.
    """
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    file = f"<{name} {digest}>"
    _keep_lines(file, text)
    if not tensors:
        return _executed(text, name, file, file)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / CONSTANTS).write_bytes(_saved(tensors))
        return _executed(text, name, file, str(Path(folder) / "model.py"))


def load_file(path: Path) -> ModuleType:
    """The module of a file that holds generated source, with the tensors beside it."""
    return _executed(path.read_text(encoding="utf-8"), path.stem, str(path), str(path))


def _executed(text: str, name: str, file: str, place: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = place
    exec(compile(text, file, "exec"), module.__dict__)
    return module


def _keep_lines(file: str, text: str) -> None:
    """Let tracebacks and `inspect` find the lines of a source that is in no file."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    _lines[file] = None
    _lines.move_to_end(file)
    while len(_lines) > KEPT:
        linecache.cache.pop(_lines.popitem(last=False)[0], None)


def _saved(tensors: Mapping[str, Tensor]) -> bytes:
    try:
        return save({n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()})
    except (KeyError, RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        kinds = ", ".join(f"{n} ({t.dtype}, {t.layout})" for n, t in tensors.items())
        raise GraphError(f"These tensors cannot be saved: {kinds}: {error}.") from error
