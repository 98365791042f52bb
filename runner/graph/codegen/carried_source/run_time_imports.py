"""Code that imports, or runs, what only a value tells: no reading of it says what it needs."""

import ast
import builtins
import importlib
import importlib.machinery
import importlib.util
import pkgutil
import runpy
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from runner.graph.codegen.carried_source.packages import is_own

_IMPORTING = (builtins.__import__, importlib.__import__, importlib.import_module,
              pkgutil.resolve_name, runpy.run_module)  # fmt: skip
_RUNNING = (builtins.eval, builtins.exec)
_OF_FILES = (importlib.machinery.SourceFileLoader, importlib.reload,
             importlib.util.spec_from_file_location, runpy.run_path)  # fmt: skip
LONGEST = 80  # characters of a call in a message
_NONE: frozenset[ast.AST] = frozenset()


def run_time_imports(
    tree: ast.AST, names: Mapping[str, Any], without: frozenset[ast.AST] = _NONE
) -> Iterator[ast.expr]:
    """Yields the calls, and other uses, of functions that import or run code, but for literals that
    name torch, the standard library or an installed package. `names` are the objects of the names
    that the code has from outside, and `without` parts that are left out."""
    nodes = [*_walk(tree, without)]
    bound = {**vars(builtins), **names, **_imported(nodes)}
    for name in _assigned(nodes):
        bound.pop(name, None)
    called = {node.func: node for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            call = called.get(node)
            if not _is_harmless(_live(node, bound), call):
                yield call or node


def any_code(call: ast.expr) -> str:
    """Returns what an error says of such a call."""
    text = " ".join(ast.unparse(call).split())
    short = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    return f"{short} imports or runs code that no import statement names"


def _walk(tree: ast.AST, without: frozenset[ast.AST]) -> Iterator[ast.AST]:
    if tree not in without:
        yield tree
        for child in ast.iter_child_nodes(tree):
            yield from _walk(child, without)


def _is_harmless(function: Any, call: ast.Call | None) -> bool:
    """Returns whether an object imports and runs no code, or is called with a literal that says
    which."""
    given = None if call is None else _first(call)
    if any(function is each for each in _IMPORTING):
        return _is_installed(given)
    if any(function is each for each in _RUNNING):
        return _is_plain(given)
    return not any(function is each for each in _OF_FILES)


def _first(call: ast.Call) -> object:
    """Returns the first argument, or that called `name`, of a call, if it is a literal."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "name"]
    first = next(iter([*call.args, *named]), None)
    return first.value if isinstance(first, ast.Constant) else None


def _live(node: ast.expr, bound: Mapping[str, Any]) -> Any:
    """Returns the object of a name, or of an attribute of a module; None for anything else."""
    if isinstance(node, ast.Name):
        return bound.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = _live(node.value, bound)
        return vars(owner).get(node.attr) if isinstance(owner, ModuleType) else None
    return None


def _imported(nodes: Iterable[ast.AST]) -> dict[str, Any]:
    """Returns what imports of loaded modules bind in some code."""
    found: dict[str, Any] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = alias.name if alias.asname else alias.name.partition(".")[0]
                found[alias.asname or module] = sys.modules.get(module)
        elif isinstance(node, ast.ImportFrom) and node.module in sys.modules and not node.level:
            home = vars(sys.modules[node.module])
            found |= {alias.asname or alias.name: home.get(alias.name) for alias in node.names}
    return found


def _assigned(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yields the names that are variables, or functions in others, somewhere in some code."""
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (each.name for each in node.body if isinstance(each, ast.FunctionDef))


def _is_installed(name: object) -> bool:
    """Returns whether a module is of a library, or is nowhere: then its import fails here, too."""
    if not isinstance(name, str) or not name or name.startswith("."):
        return False
    top = name.partition(":")[0].partition(".")[0]
    if not is_own(top):
        return True
    try:
        return top not in sys.modules and importlib.util.find_spec(top) is None
    except (ImportError, ValueError):
        return False


def _is_plain(text: object) -> bool:
    """Returns whether a text is code that needs nothing but builtins."""
    if not isinstance(text, str):
        return False
    try:
        tree = ast.parse(text.strip())
    except SyntaxError:
        return False
    nodes = [*ast.walk(tree)]
    if any(isinstance(node, ast.Import | ast.ImportFrom) for node in nodes):
        return False
    names = {node.id for node in nodes if isinstance(node, ast.Name)} - {*_assigned(nodes)}
    return names <= vars(builtins).keys() and not [*run_time_imports(tree, {})]
