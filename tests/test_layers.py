"""The import graph, read from the source: arrows point down, and there is no ring."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the top: a module imports only from lines below its own, and from its own package. A name
# stands for all below it that no longer name stands for.
LAYERS = [
    ["__main__"],
    ["launch"],
    ["tasks"],
    ["export"],
    ["experiment", "parts", "results", "training"],
    ["limits"],
    ["worker"],
    ["display.progress", "display.tables", "engines", "evaluators", "store", "strategies",
     "training.service"],
    ["config.compose", "display.counts", "duplicates"],
    ["fusion", "mutators"],
    ["graph"],
    ["graph.drawing", "graph.weight_transfer"],
    ["graph.channels", "graph.validation"],
    ["graph.transforms"],
    ["graph.frontend"],
    ["graph.codegen"],
    ["graph.interpreter"],
    ["graph.ir"],
    ["config.instantiate", "config.python_source", "config.settings", "data", "display.format",
     "model_header", "nn", "trial", "weights"],
    ["config.check_arguments", "config.mutator_entries", "operators", "space.space",
     "training.devices"],
    ["config", "config.allowlist", "display", "probing", "space.structure"],
    ["space.sample"],
    ["space.choice"],
    ["errors", "nested", "space"],
]  # fmt: skip

# What the members of a family may import from it: its contract, and these helpers.
SHARED = {
    "data": {"data", "holdout", "images", "splits"},
    "engines": {
        *("base", "compiler", "engine", "example", "inheritance", "model_space", "conversion_log"),
        *("bounded_cache", "symbolic_graph", "standalone"),
    },
    "mutators": {"candidates", "channel_counts", "function_calls", "selection"},
    "evaluators": {
        *("evaluator", "fused_group", "group", "member", "race", "recipe", "seeds", "snapshot"),
        "supervised",
    },
    "strategies": {"strategy"},
    "tasks": {"task"},
    "training": {"devices", "service"},
}
EXTRAS = {"torchvision", "timm", "ray", "submitit"}  # each in one file only, which names the extra
LIGHT = ["space.choice", "space.sample", "space.space", "trial", "store", "config.settings",
         "strategies.strategy", "space.structure", "display.format", "display.progress",
         "display.tables", "config.mutator_entries", "launch", "__main__"]  # fmt: skip


def _modules() -> dict[str, Path]:
    paths = [path for top in ("runner", "spaces") for path in (ROOT / top).rglob("*.py")]
    return {
        ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
        for p in paths
    }


MODULES = _modules()


def imported(node: ast.AST) -> Iterator[str]:
    """All that is imported below a node: inside functions too, and for type checkers alone."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        assert node.module is not None
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in MODULES else node.module
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


ARROWS = {name: set(imported(ast.parse(path.read_text()))) for name, path in MODULES.items()}
GRAPH = {
    name: {other for other in seen if other in MODULES and other != name}
    for name, seen in ARROWS.items()
}
OURS = [(a.removeprefix("runner."), b.removeprefix("runner."))
        for a, seen in GRAPH.items() for b in seen if a.startswith("runner.")]  # fmt: skip


def place(name: str) -> tuple[int, str]:
    """The line of LAYERS a module belongs to, and the name there that stands for it."""
    found = [(len(entry), line, entry) for line, entries in enumerate(LAYERS) for entry in entries
             if name == entry or name.startswith(f"{entry}.")]  # fmt: skip
    assert found, f"runner/{name.replace('.', '/')}.py has no place in LAYERS"
    _, line, entry = max(found)
    return line, entry


def test_every_arrow_points_down():
    up = []
    for name, other in OURS:
        (line, entry), (below, target) = place(name), place(other)
        if below <= line and entry != target:
            up.append(f"{name} -> {other}")
    assert not up


def rooms() -> dict[str, set[str]]:
    """The entries of LAYERS, and those that each imports from."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, other in OURS:
        room, below = place(name)[1], place(other)[1]
        found[room] |= {below} - {room}
    return found


def test_there_is_no_ring():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        arrows = [f"{room} -> {', '.join(sorted(below))}" for room, below in rooms().items()]
        pytest.fail("\n".join([f"{' -> '.join(error.args[1])}; the rooms are:", *arrows]))


def test_the_members_of_a_family_do_not_import_each_other():
    wrong = [
        f"{name} -> {other}"
        for name, other in OURS
        for family, _, member in [name.partition(".")]
        if family in SHARED and other.startswith(f"{family}.") and member
        if other.removeprefix(f"{family}.") not in SHARED[family]
    ]
    assert not wrong


def test_spaces_import_nothing_else_of_ours_than_runner_nn():
    for name, seen in GRAPH.items():
        if name.startswith("spaces."):
            assert seen == {"runner.nn"}, name
        assert name.startswith("spaces.") or not any(n.startswith("spaces") for n in seen), name


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_an_extra_is_imported_in_one_file_only(extra):
    users = defaultdict(set)
    for name, seen in ARROWS.items():
        for other in seen:
            users[other.split(".")[0]].add(name)
    assert len(users[extra]) <= 1


def test_what_a_light_command_needs_imports_no_torch():
    lines = [f"import runner.{name}\nassert 'torch' not in sys.modules, {name!r}" for name in LIGHT]
    script = "\n".join(["import sys", "import runner", *lines])
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
