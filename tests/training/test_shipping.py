"""What is sent to the nodes: packages and modules, by name, without importing them."""

import sys
from pathlib import Path

import pytest

from runner.errors import ConfigError
from runner.training.shipping import folders_of, found_of

ROOT = Path(__file__).parents[2]


def test_this_package_and_the_spaces_always_go(tmp_path, monkeypatch):
    (tmp_path / "mypkg").mkdir()
    (tmp_path / "mypkg" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "mymodule.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    found = folders_of(["mypkg", "mymodule", "runner"])
    ours = [str(ROOT / "runner"), str(ROOT / "spaces")]
    assert found == [*ours, str(tmp_path / "mypkg"), str(tmp_path / "mymodule.py")]
    assert not {"mypkg", "mymodule"} & {*sys.modules}


def test_what_a_user_trusts_is_needed_on_the_nodes_if_it_is_found_here():
    found = found_of(["toy", "toy.Net", "no_such_module", "os.path", "__main__", "a b", ""])
    assert found == ["toy", "os"] and "no_such_module" not in sys.modules


@pytest.mark.parametrize("name", ["no_such_module", "os.path", "../x", "", "math", "a b"])
def test_what_cannot_be_sent_is_refused_in_one_line(name):
    with pytest.raises(ConfigError, match=r"training\.ship names") as error:
        folders_of([name])
    assert "\n" not in str(error.value)
