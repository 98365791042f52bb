"""Secrets are masked in the texts of source, and nothing else of it."""

import pytest

from runner.config.source_secrets import masked_source
from runner.masking import MASK, masker

REAL = "sesame-4711"


@pytest.fixture(autouse=True)
def known(monkeypatch) -> None:
    """What is masked is forgotten with the test."""
    monkeypatch.setattr(masker, "_patterns", frozenset())
    monkeypatch.setattr(masker, "_pattern", None)


SOURCE = f'''
def linear(x, note="{REAL}"):
    # {REAL}
    text = """two
    lines of {REAL}""" + 'and {REAL}'
    return linear, f"{{text}} {REAL}"
'''


def test_source_is_masked_in_its_texts_and_goes_on_to_be_source():
    masker.learn([REAL, "linear"])
    clean = masked_source(SOURCE)
    assert REAL not in clean and clean.count(MASK) == 5
    assert "def linear(x" in clean and "return linear," in clean
    compile(clean, "model.py", "exec")
    assert masked_source("x = 1\n") == "x = 1\n"


@pytest.mark.parametrize(
    ("source", "masked"),
    [
        ("f(activations=['relu'])", "f(activations=['relu'])"),
        ("f(api_key='relu', act='relu')", "f(api_key='***', act='relu')"),
        ("f({'api_key': 'relu', 'act': 'relu'})", "f({'api_key': '***', 'act': 'relu'})"),
        (
            "f(tokens=['relu', g(x='relu')], act='relu')",
            "f(tokens=['***', g(x='***')], act='relu')",
        ),
        ("api_key = 'relu'\nact = 'relu'", "api_key = '***'\nact = 'relu'"),
        ("f('with relu')", "f('with ***')"),
        ("f('prelu')", "f('prelu')"),
        ("f(note='c0nv-1')", "f(note='***')"),
    ],
)
def test_an_ordinary_word_is_masked_where_it_is_a_secret_by_its_name(source, masked):
    masker.learn(["relu", "c0nv-1"])
    assert masked_source(source) == masked
