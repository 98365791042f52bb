"""What a run ran on is noted, and read only as it was noted."""

import json
import platform

import pytest

from runner.report.environment import ENVIRONMENT, note_environment, noted_environment


def test_what_was_noted_is_read(tmp_path):
    note_environment(tmp_path)
    found = noted_environment(tmp_path)
    assert found["python"] == platform.python_version()
    assert found["torch"]
    assert platform.node() not in found.values(), "nothing names the machine"


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"a": 1}', '{"a": {"b": "c"}}', "[" * 100_000, "\udcff", "x" * 10**6],
)
def test_anything_else_is_nothing(content, tmp_path):
    (tmp_path / ENVIRONMENT).write_bytes(content.encode("utf-8", "surrogateescape"))
    assert noted_environment(tmp_path) == {}


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "other").write_text(json.dumps({"secret": "word"}))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ENVIRONMENT).symlink_to(tmp_path / "other")
    assert noted_environment(tmp_path / "run") == {}
    assert noted_environment(tmp_path / "none") == {}
