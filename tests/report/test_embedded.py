"""What a record holds stands in a page as text, and nothing of it is lost."""

import json
import math

from hypothesis import given
from hypothesis import strategies as st
from reported import HOSTILE

from runner.report.embedded import escaped, script_json, short, shown

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_data_in_a_script_element_is_read_as_it_was(data):
    written = script_json(data)
    assert json.loads(written) == data
    assert written.isascii()
    assert not {*"<>&"} & {*written}


@given(st.text())
def test_escaped_text_is_visible_and_has_no_markup(words):
    found = escaped(words)
    assert found.isprintable()
    assert not {*"<>\"'"} & {*found}


def test_what_is_not_visible_is_shown_escaped():
    assert escaped("a\u202eb\x00<c>") == "a\\u202eb\\x00&lt;c&gt;"
    assert "\\u202e" in shown(HOSTILE)
    assert shown([1, "a\u202e"]) == '[1, "a\\u202e"]'
    assert shown("word") == "word"
    assert shown(0.1 + 0.2) == "0.30000000000000004"


def test_a_figure_keeps_six_digits_and_what_is_not_finite_its_name():
    assert short(0.123456789) == 0.123457
    assert (short(3.0), type(short(3.0))) == (3, int)
    assert [short(x) for x in (None, math.nan, math.inf)] == [None, "nan", "inf"]
    assert short(10**300) == 1e300


def test_a_string_of_which_nothing_would_be_seen_is_quoted():
    assert [shown(text) for text in ("", " ", "a", " a")] == ['""', '" "', "a", " a"]
