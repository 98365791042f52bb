"""The text of a user's statement in another file: as it stands, with the names of that file."""

import ast
from collections.abc import Callable, Iterator, Sequence

from runner.errors import GraphError
from runner.graph.codegen.carried_source.analysis import Analysis
from runner.graph.codegen.carried_source.resolution import Library, Meaning, Text
from runner.graph.codegen.carried_source.source_module import SourceModule

Expressed = Callable[[Meaning], str]  # a meaning -> its expression in the file
_TextEdit = tuple[int, int, str]


def rewritten(
    source: SourceModule,
    made: Analysis,
    written: Expressed,
    own: Callable[[str], str],
    constructor: Sequence[str] = (),
) -> str:
    """Returns the text of a statement; `own` gives the names in the file of those that it binds.
    `constructor` are the lines of another constructor of a class, without indentation."""
    start, end, _ = source.extent(made.node)
    edits = [*_names(source, made, written), *_imports(source, made, written)]
    edits += [*_binding(source, made.node, own), *_left_out(source, made, start, constructor)]
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
    elif isinstance(meaning, Text) and meaning.text.startswith("raise "):
        yield meaning.text
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


def _left_out(
    source: SourceModule, made: Analysis, first: int, constructor: Sequence[str]
) -> Iterator[_TextEdit]:
    """Yields the removals of decorators, members and annotations, and the new constructor."""
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
    if isinstance(made.node, ast.ClassDef):
        yield from _body(source, made.node, made.dropped, constructor)


def _body(
    source: SourceModule,
    node: ast.ClassDef,
    dropped: frozenset[ast.AST],
    constructor: Sequence[str],
) -> Iterator[_TextEdit]:
    """Yields the constructor of a class behind its docstring, or `pass` for a body without
    anything else."""
    first = node.body[0]
    if first.lineno == node.lineno and constructor:  # class Net(Base): pass
        begin = source.data.rfind(b":", 0, source.span(first)[0]) + 1
        own = [ast.unparse(part) for part in node.body if not isinstance(part, ast.Pass)]
        lines = [*own, *([""] if own else []), *constructor]
        yield begin, source.span(node)[1], "".join(f"\n    {line}".rstrip(" ") for line in lines)
        return
    margin = source.data[source.offset(first.lineno, 0) : source.span(first)[0]].decode()
    lines = [f"{margin}{line}" if line else "" for line in constructor]
    has_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    kept = [part for part in node.body if part not in dropped]
    if not kept:
        _, stop = source.span(node)
        yield stop, stop, "\n" + ("\n".join(lines) or f"{margin}pass")
    elif has_docstring and lines:
        _, stop = source.span(first)
        yield stop, stop, "\n".join(["\n", *lines])
    elif lines or first in dropped:  # nothing stays between the head and the first member
        begin = _with_what_precedes(source, kept[0])
        line = min([kept[0].lineno, *(d.lineno for d in getattr(kept[0], "decorator_list", ()))])
        start = source.offset(line, 0)
        comments = source.data[begin:start].decode("utf-8", "replace").strip("\n")
        text = "\n".join([*lines, *([""] if lines else []), *([comments] if comments else [])])
        yield begin, start, f"\n{text}\n" if text else "\n"


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
