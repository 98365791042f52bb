"""A heading is a docstring whatever stands in it, and facts can be added once they are known."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from runner.model_header import add_facts, heading

FACTS = st.dictionaries(
    st.text(), st.text() | st.floats() | st.dictionaries(st.text(), st.text(), max_size=3)
)


def test_a_heading_lists_its_facts(tmp_path):
    file = tmp_path / "model.py"
    text = heading("A model.", {"run": "today", "sample": {"width": 8, "act": "ReLU"}})
    file.write_text(text + "\nx = 1\n")
    add_facts(file, {"metrics": {"val/accuracy": 0.5}})
    assert (
        file.read_text()
        == '''"""A model.

run      today
sample   width: 8
         act: 'ReLU'
metrics  val/accuracy: 0.5
"""

x = 1
'''
    )
    assert [*tmp_path.iterdir()] == [file]


def test_a_file_that_is_not_there_stays_away(tmp_path):
    add_facts(tmp_path / "model.py", {"metrics": {}})
    assert not [*tmp_path.iterdir()]


@given(FACTS, FACTS)
def test_no_fact_gets_out_of_the_docstring(tmp_path_factory, facts, more):
    file = tmp_path_factory.mktemp("heading") / "model.py"
    file.write_text(heading("A model.", facts, "how to use it") + "\nx = 1\n", encoding="utf-8")
    add_facts(file, more)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert [type(node) for node in tree.body] == [ast.Expr, ast.Assign]
    lines = ast.get_docstring(tree).splitlines()
    assert len(lines) == 1 + 1 + 2 + sum(
        len(value) if isinstance(value, dict) else 1 for found in (facts, more)
        for value in found.values()
    )  # fmt: skip
