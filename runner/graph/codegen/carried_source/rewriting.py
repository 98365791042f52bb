"""The text of a user's statement in another file: as it stands, with the names of that file."""

import ast
import textwrap
from collections.abc import Callable, Iterator

from runner.errors import GraphError
from runner.graph.codegen.carried_source.analysis import Analysis
from runner.graph.codegen.carried_source.resolution import Library, Meaning
from runner.graph.codegen.carried_source.source_module import SourceModule

Expressed = Callable[[Meaning], str]  # a meaning -> its expression in the file
_TextEdit = tuple[int, int, str]


def rewritten(
    source: SourceModule, made: Analysis, written: Expressed, own: Callable[[str], str]
) -> str:
    """Returns the text of a statement; `own` gives the names in the file of those that it binds."""
    start, end, _ = source.extent(made.node)
    edits = [*_names(source, made, written), *_imports(source, made, written)]
    edits += [*_binding(source, made.node, own), *_left_out(source, made, start)]
    text = b""
    for begin, stop, new in sorted(dict.fromkeys(edits)):
        if begin < start:  # inside a part that is left out
            continue
        text += source.data[start:begin] + new.encode("utf-8", "surrogatepass")
        start = stop
    return (text + source.data[start:end]).decode("utf-8", "replace").rstrip()


def _names(source: SourceModule, made: Analysis, written: Expressed) -> Iterator[_TextEdit]:
    for found in made.found:
        if found.use.annotation in made.untyped or found.use.unsure:
            continue
        begin, _ = source.span(found.use.chain[0])
        _, stop = source.span(found.use.chain[found.count])
        before, after = ast.unparse(found.use.chain[found.count]), written(found.meaning)
        if before == after:
            continue
        if source.data[begin:stop].decode("utf-8", "replace") != before:  # in an f-string
            raise GraphError(f"{source.place}:{made.node.lineno}: {before} cannot be renamed")
        yield begin, stop, after


def _imports(source: SourceModule, made: Analysis, written: Expressed) -> Iterator[_TextEdit]:
    """Yields the changes of imports inside functions and blocks."""
    for node, names in made.imports:
        lines = [line for meaning, bound in names for line in _import(meaning, bound, written)]
        yield (*source.span(node), "; ".join(lines) or "pass")


def _import(meaning: Meaning, bound: str, written: Expressed) -> Iterator[str]:
    if isinstance(meaning, Library) and not meaning.rest:
        yield meaning.statement
    elif (text := written(meaning)) != bound:
        yield f"{bound} = {text}"


def _binding(
    source: SourceModule, node: ast.stmt, own: Callable[[str], str]
) -> Iterator[_TextEdit]:
    """Yields the changes of the name of a definition; those of variables are names like others."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        new = own(node.name)
        if new != node.name:
            begin, _ = source.span(node)
            begin = source.data.index(node.name.encode(), begin + len("def "))
            yield begin, begin + len(node.name.encode()), new


def _left_out(source: SourceModule, made: Analysis, first: int) -> Iterator[_TextEdit]:
    decorators = getattr(made.node, "decorator_list", ())
    for part in made.dropped:
        assert isinstance(part, ast.expr | ast.stmt)
        begin, stop = source.span(part)
        if part in decorators:
            begin = source.data.rfind(b"\n", 0, begin) + 1
            yield max(begin, first), source.data.index(b"\n", stop) + 1, ""
        else:
            yield _with_what_precedes(source, part), stop, ""
    yield from _untyped(source, made)
    body = getattr(made.node, "body", ())
    if isinstance(made.node, ast.ClassDef) and all(part in made.dropped for part in body):
        _, stop = source.span(made.node)
        yield stop, stop, textwrap.indent("\npass", "    ")


def _with_what_precedes(source: SourceModule, part: ast.expr | ast.stmt) -> int:
    """Returns where a member of a class begins, with its decorators, comments and blank lines."""
    line = min([part.lineno, *(each.lineno for each in getattr(part, "decorator_list", ()))])
    begin = source.offset(line, 0)
    while True:
        above = source.data.rfind(b"\n", 0, begin - 1) + 1
        text = source.data[above:begin].strip()
        if above == begin or (text and not text.startswith(b"#")):
            return max(begin - 1, 0)
        begin = above


def _untyped(source: SourceModule, made: Analysis) -> Iterator[_TextEdit]:
    """Yields the removals of annotations."""
    for annotation in made.untyped:
        begin, stop = source.span(annotation)
        colon, arrow = source.data.rfind(b":", 0, begin), source.data.rfind(b"->", 0, begin)
        if arrow > colon or source.data[arrow + 2 : begin].strip() == b"":
            before = source.data[:arrow].rstrip()
            yield len(before), stop, ""
        else:
            yield colon, stop, ""
