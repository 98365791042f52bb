"""A name means one thing, no module holds state, and nothing is too long."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from module_state import classes_that_change, state_in

ROOT = Path(__file__).parents[1] / "runner"
# Public names that mean two things: a function of a graph, and the evaluator that is the `_target_`
# of a config; what a job reports of a trial, and what `runner.graph.check_conversion` found; the
# choices of a config's model, and the base of models that were written for NNI.
PUBLIC = {"Function", "Report", "ModelSpace"}

LINES, STATEMENTS = 500, 60


@cache
def modules() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for path in sorted(ROOT.rglob("*.py"))
    }


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
    for path, tree in modules().items():
        for name in _defined(tree):
            found[name.lstrip("_")].append(path)
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def test_a_class_name_or_alias_means_one_thing():
    found = clashes()
    assert not {name: paths for name, paths in found.items() if name not in PUBLIC}
    assert {*found} == PUBLIC, "take these off the list: they are unique now"


# State that outlives its users, each with the reason.
KEPT = {
    "config/compose.py: _one_at_a_time": "a lock: Hydra has one state for the process",
    "__main__.py: exit_code": "Hydra calls the program itself, in a sweep once for each run",
    "stops.py: _noted": "between the signals and the runs",
    "config/hydra_folder.py: hydra_folder": "Hydra makes the loader that finds it out",
    "masking.py: masker": "all that this process shows or logs is looked through",
    "display/silence.py: spoken": "all parts of the program speak to one user",
    "graph/ir/signature.py: _signature_in_torch": "the functions of torch never change",
    "nn/values/build.py: _ambient": "of the present context, reset where it was set",
    "nn/recording/construction_record.py: _recording": "of the present context, too",
    "training/fork_server.py: ahead": "of the present context, too",
    "data/shared_tensors.py: _place": "of the present context, too",
}


def test_no_module_holds_state():
    changing = classes_that_change(modules().values())
    found = {f"{path}: {name}" for path, tree in modules().items()
             for name in state_in(tree, changing)}  # fmt: skip
    assert found == {*KEPT}


def test_no_file_and_no_function_is_too_long():
    for path, tree in modules().items():
        assert len((ROOT / path).read_text().splitlines()) <= LINES, path
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < STATEMENTS, f"{path}: {node.name}"
