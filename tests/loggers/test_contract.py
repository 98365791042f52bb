"""What all loggers promise: they show what a record says, once, whatever its names and numbers."""

import math
import shutil

import pytest
from logged import EXTRAS, GOALS, NAMES, hostile, node, search, show

from runner.config.check_arguments import check_arguments
from runner.config.instantiate import build
from runner.errors import ConfigError
from runner.loggers import logger as contract
from runner.loggers.logger import LoggedRun, Logger, flat, plain
from runner.run_folder import check_links
from runner.store import read


@pytest.mark.parametrize("name", NAMES)
def test_its_keys_are_the_arguments_of_its_class(name):
    check_arguments(node(name), [], f"logger.{name}", expected=Logger)
    made = build(node(name))
    assert isinstance(made, Logger) and (made.extra == name or name == "csv")


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_package_is_named_before_the_search(name, monkeypatch):
    monkeypatch.setattr(contract, "_is_installed", lambda package: False)
    with pytest.raises(ConfigError, match=rf'pip install "nas-runner\[{name}\]"') as caught:
        build(node(name)).check()
    assert "\n" not in str(caught.value)


def test_a_folder_of_the_name_of_a_package_is_none(tmp_path, monkeypatch):
    (tmp_path / "no_such_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not contract._is_installed("no_such_package") and contract._is_installed("yaml")


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_and_numbers_are_no_failure(name, tmp_path):
    pytest.importorskip(name)
    assert show(name, tmp_path, hostile) == []
    assert read(tmp_path, GOALS).trials[0].scored


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_may_be_elsewhere_and_shared(name, tmp_path):
    pytest.importorskip(name)
    if "folder" not in node(name):
        pytest.skip("it writes to a server or a database")
    shared = tmp_path / "shared"
    for run in ("a", "b"):
        assert show(name, tmp_path / run, search, folder=str(shared)) == []
        check_links(tmp_path / run)
        assert not (tmp_path / run / name).exists()
        shutil.rmtree(tmp_path / run / "top")
    assert len([*shared.iterdir()]) == 2


@pytest.mark.parametrize(("folder", "name"), [
    ("/data/outputs/2025-01-31/12-00-00", "2025-01-31_12-00-00"),
    ("/data/multirun/2025-01-31/12-00-00/3", "2025-01-31_12-00-00_3"),
    ("/data/first", "first"), ("/", "/"), ("/outputs", "run"), ("/a/b\nc", "b\\nc"),
])  # fmt: skip
def test_a_run_is_named_by_where_it_lies(folder, name, tmp_path):
    run = LoggedRun(tmp_path.__class__(folder), "0123abcd", {}, GOALS)
    assert run.name == name
    assert run.place("/shared", "x").parent == tmp_path.__class__("/shared")


def test_a_config_is_flat_and_its_values_are_plain():
    config = {"a": {"b": 1, "c/d": {"e": [1, None]}}, "f": {}, "g": None, "h\n": "i\x00", "j": True}
    assert dict(flat(config)) == {
        "a.b": 1, "a.c/d.e": "[1, null]", "f": "{}", "g": "null", "h\\n": "i\\x00", "j": True,
    }  # fmt: skip
    assert math.isnan(plain(math.nan)) and plain("x") == "x"
