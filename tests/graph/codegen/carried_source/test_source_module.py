"""The source of a user's module, in whichever encoding its file is."""

import importlib
import sys

import pytest

from runner.graph.codegen.carried_source.source_module import source_module

TEXT = """# coding: {}
été = 2.0
class Op:
    "doc ü"
    def double(self, x):
        return x * été + len("é")
"""


@pytest.mark.parametrize("coding", ["latin-1", "utf-8", "cp1252"])
def test_a_module_in_another_encoding_is_read_as_python_reads_it(tmp_path, monkeypatch, coding):
    name = f"encoded_{coding.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(TEXT.format(coding), encoding=coding)
    monkeypatch.syspath_prepend(tmp_path)
    live = importlib.import_module(name)
    monkeypatch.setitem(sys.modules, name, live)
    found = source_module(name)
    [code] = found.codes["Op.double"]
    assert code == live.Op.double.__code__.replace(co_filename=code.co_filename)
    start, end = found.span(found.tree.body[0])
    assert found.data[start:end].decode() == "été = 2.0"
