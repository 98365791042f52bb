"""`tests/` mirrors `runner/`: the tests of a file have its name and lie in its folder."""

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
HELPERS = {"toys", "graph/programs"}  # folders of helpers; pytest collects nothing there

# Tests of more than one file, and why they lie where they do.
CROSS_CUTTING = {
    "test_benchmarks": "each of `benchmarks/`",
    "test_benchmarks_device": "`benchmarks/device.sh`, on a CPU",
    "test_benchmarks_tabular": "`benchmarks/tabular.py`, beside the loop",
    "test_canary": "secrets, and all that a run shows and writes",
    "test_classes_of_users": "classes that are reloaded, changed or deleted, from model to fusion",
    "test_conf_nodes": "all of `conf/`",
    "test_examples": "each of `examples/`",
    "test_docs": "the commands and code of the docs",
    "test_docs_site": "`docs/tools/`, and the docs as a site",
    "test_layers": "imports",
    "test_main": "the command line, in processes of its own: `__main__.py`",
    "test_mirror": "this",
    "test_module_state": "what `test_names` takes for state of a module",
    "test_operations": "the promises of `docs/how-to/operations.md`, and clocks of machines",
    "test_names": "names, state and lengths",
}
CONTRACT = "test_contract"  # in a family: what all members promise; also with a suffix


def room_of(path: Path) -> Path:
    """The folder that a test belongs to: of `runner/`, or `spaces/`."""
    folder = path.parent.relative_to(TESTS)
    return ROOT / folder if folder.parts[:1] == ("spaces",) else ROOT / "runner" / folder


def all_tests() -> list[Path]:
    return [p for p in sorted(TESTS.rglob("test_*.py")) if not p.is_relative_to(TESTS / "toys")]


def test_each_folder_of_tests_is_one_of_the_package():
    helpers = {TESTS / name for name in HELPERS}
    folders = {p.parent for p in TESTS.rglob("*.py") if "__pycache__" not in p.parts}
    mine = {f for f in folders if not any(f.is_relative_to(helper) for helper in helpers)}
    assert not {str(f) for f in mine if not room_of(f / "test_x.py").is_dir()}


def test_each_test_has_the_name_of_a_file_or_a_reason():
    """`test_X_suffix.py` is a further file of tests of `X.py`."""
    missing = []
    for path in all_tests():
        name = path.stem
        if path.parent == TESTS and name in CROSS_CUTTING:
            continue
        words = name.removeprefix("test_").split("_")
        files = ["_".join(words[:n]) for n in range(1, len(words) + 1)]
        of_family = name.startswith(CONTRACT) and path.parent != TESTS
        if not of_family and not any((room_of(path) / f"{file}.py").is_file() for file in files):
            missing.append(str(path.relative_to(TESTS)))
    assert not missing


def test_each_reason_is_of_a_test():
    assert {f"{name}.py" for name in CROSS_CUTTING} <= {path.name for path in TESTS.glob("*.py")}
