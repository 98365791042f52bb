"""Every node in the YAML of data and evaluators has exactly the arguments of its target."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.config.targets import locate

CONF = Path(__file__).parents[1] / "conf"
FILES = sorted(path for group in ("data", "evaluator") for path in (CONF / group).glob("*.yaml"))


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if value.get("_target_", "???") != "???":
            yield value
        for item in value.values():
            yield from nodes(item)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_keys_are_the_arguments_of_the_target(path: Path) -> None:
    found = list(nodes(yaml.safe_load(path.read_text())))
    assert found
    for node in found:
        parameters = inspect.signature(locate(node["_target_"])).parameters
        keys = node.keys() - {"_target_", "_partial_"}
        assert keys <= parameters.keys()
        if not node.get("_partial_"):
            assert keys == parameters.keys()
            assert all(p.default is p.empty for p in parameters.values())
            assert all(p.annotation is not p.empty for p in parameters.values())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_says_first_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert max(len(line) for line in text.splitlines()) <= 100
