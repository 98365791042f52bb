"""A name means one thing, no module holds state, and nothing is too long."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "runner"
MODULES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(ROOT.rglob("*.py"))
}

# Public names that mean two things: a function of a graph, and the evaluator that is the `_target_`
# of a config; what a job reports of a trial, and what `runner.graph.check_conversion` found.
PUBLIC = {"Function", "Report"}

CONTAINERS = {"dict", "list", "set", "OrderedDict", "defaultdict", "Counter", "deque",
              "WeakKeyDictionary", "WeakValueDictionary", "WeakSet"}  # fmt: skip
MUTATORS = {"append", "extend", "insert", "pop", "popitem", "clear", "remove", "update", "add",
            "setdefault", "discard", "move_to_end", "appendleft", "sort", "reverse"}  # fmt: skip
OF_CLASSES = {"type", "CodeType"}  # parameters of a cache that are as few as there is code
LINES, STATEMENTS = 500, 60


def _assigned(node: ast.stmt) -> tuple[str, ast.expr] | None:
    """The name and value of an assignment to one name."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        target, value = node.target, node.value
    else:
        return None
    return (target.id, value) if isinstance(target, ast.Name) else None


def _defined(tree: ast.Module) -> Iterator[str]:
    """The names of classes and type aliases of a module."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif found := _assigned(node):
            name, _ = found
            if name.lstrip("_")[:1].isupper() and not name.isupper():
                yield name


def clashes() -> dict[str, list[str]]:
    """The names that are defined more than once, without leading underscores, and where."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, tree in MODULES.items():
        for name in _defined(tree):
            found[name.lstrip("_")].append(path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def test_a_class_name_or_alias_means_one_thing():
    found = clashes()
    assert not {name: paths for name, paths in found.items() if name not in PUBLIC}
    assert {*found} == PUBLIC, "take these off the list: they are unique now"


def _class_of(value: ast.expr) -> str:
    """The name of the class that an expression makes an object of, if it is a call."""
    return ast.unparse(value.func).split(".")[-1] if isinstance(value, ast.Call) else ""


def _is_container(value: ast.expr) -> bool:
    if isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp):
        return True
    return _class_of(value) in CONTAINERS


def _written(node: ast.AST, hidden: frozenset[str] = frozenset()) -> Iterator[str]:
    """The names of variables that code writes into, or declares `global`, but for local ones."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        own = {n.arg for n in ast.walk(node.args) if isinstance(n, ast.arg)}
        own |= {n.id for n in ast.walk(node)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}  # fmt: skip
        hidden |= own
    if isinstance(node, ast.Global):
        yield from node.names
    target = None
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
        target = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        target = node.func.value if node.func.attr in MUTATORS else None
    if isinstance(target, ast.Name) and target.id not in hidden:
        yield target.id
    for child in ast.iter_child_nodes(node):
        yield from _written(child, hidden)


def _changes(cls: ast.ClassDef) -> bool:
    """Whether a method other than the constructor writes into an attribute of its object."""
    methods = [n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name != "__init__"]
    for node in [inner for method in methods for inner in ast.walk(method)]:
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            target: ast.expr = node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr not in MUTATORS:
                continue
            target = node.func.value
        else:
            continue
        while isinstance(target, ast.Attribute | ast.Subscript):
            target = target.value
            if isinstance(target, ast.Name) and target.id == "self":
                return True
    return False


_STATEFUL = {"WeakKeyDictionary", "WeakValueDictionary", "WeakSet", "OrderedDict"} | {
    node.name for tree in MODULES.values() for node in tree.body
    if isinstance(node, ast.ClassDef) and _changes(node)
}  # fmt: skip


def state() -> set[str]:
    """Module-level objects that change, globals, and caches without bound: "path: name"."""
    found = set()
    for path, tree in MODULES.items():
        pairs = [pair for node in tree.body if (pair := _assigned(node))]
        held = {name for name, value in pairs if _is_container(value)}
        imported = {a.asname or a.name for node in tree.body if isinstance(node, ast.ImportFrom)
                    if (node.module or "").startswith("runner.") for a in node.names}  # fmt: skip
        declared = {
            n for node in ast.walk(tree) if isinstance(node, ast.Global) for n in node.names
        }
        kept = {name for name, value in pairs if _class_of(value) in _STATEFUL}
        names = ({*_written(tree)} & (held | imported)) | declared | kept
        found |= {f"{path}: {name}" for name in names}
        found |= {f"{path}: {node.name}" for node in ast.walk(tree)
                  if isinstance(node, ast.FunctionDef) and _is_unbounded(node)}  # fmt: skip
    return found


def _is_unbounded(function: ast.FunctionDef) -> bool:
    """Whether a function keeps results without end, by more than classes."""
    words = [ast.unparse(decorator) for decorator in function.decorator_list]
    if not any(w in ("cache", "functools.cache") or "maxsize=None" in w for w in words):
        return False
    kinds = {ast.unparse(argument.annotation or ast.Constant(None)).split("[")[0]
             for argument in ast.walk(function.args) if isinstance(argument, ast.arg)}  # fmt: skip
    return not kinds <= OF_CLASSES


def test_no_module_holds_state():
    assert not state()


def test_no_file_and_no_function_is_too_long():
    for path, tree in MODULES.items():
        assert len((ROOT / path).read_text().splitlines()) <= LINES, path
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < STATEMENTS, f"{path}: {node.name}"
