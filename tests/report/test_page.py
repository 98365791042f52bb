"""A page runs what it holds and nothing else, and shows what a record holds as text."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from records import BEGUN, FINISHED, METRICS, NOW, PROPOSED, STARTED
from reported import HOSTILE, hostile_events, pair, searched

from runner.learning_curves import learning_curves
from runner.report.facts import RunFacts
from runner.report.importance import importance_of
from runner.report.page import page
from runner.report.plotly_script import PlotlyScript
from runner.store import read

FAKE = PlotlyScript("window.Plotly = {react() {}};", ["0" * 64])
FAILED = ("failed", 0, {"reason": "crashed", "text": "the worker is gone"})
EMPTY = {
    "begun": [BEGUN],
    "proposed": [BEGUN, PROPOSED],
    "running": [BEGUN, PROPOSED, STARTED, METRICS],
    "failed": [BEGUN, PROPOSED, STARTED, METRICS, FAILED],
    "stopped": [BEGUN, PROPOSED, STARTED, METRICS, ("stopped", 0, {})],
    "one": [BEGUN, PROPOSED, STARTED, METRICS, FINISHED],
}


def page_of(folder, plotly=None, **more):
    record = read(folder)
    found = importance_of(record.trials)
    facts = RunFacts(folder, record, learning_curves(folder), importance=found, **more)
    return page(facts, plotly)


class Elements(HTMLParser):
    """The elements of a page, each with its attributes, and the text of some."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_endtag(self, tag):
        self.found.append((f"/{tag}", {}))
        self.texts.append("")

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data

    def of(self, tag):
        return [(attributes, text) for (name, attributes), text
                in zip(self.found, self.texts, strict=True) if name == tag]  # fmt: skip


def hashed(text):
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@pytest.mark.parametrize("plotly", [None, FAKE], ids=["plain", "plotly"])
@pytest.mark.parametrize("events", [searched(30), hostile_events()], ids=["usual", "hostile"])
def test_the_policy_lets_run_exactly_what_the_page_holds(events, plotly, make):
    found = Elements(page_of(make(*events), plotly))
    [policy] = [a["content"] for a, _ in found.of("meta") if "http-equiv" in a]
    kinds = (None, "text/plain")  # what is run, and what that runs later
    scripts = [text for attributes, text in found.of("script") if attributes.get("type") in kinds]
    [(_, style)] = found.of("style")
    assert len(scripts) == (2 if plotly else 1)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"script-src ([^;]*)", policy) == [
        " ".join(f"'sha256-{hashed(script)}'" for script in scripts)
    ]
    assert f"style-src 'sha256-{hashed(style)}'" in policy


@pytest.mark.parametrize("events", [searched(30), hostile_events()], ids=["usual", "hostile"])
def test_a_page_loads_nothing_and_styles_nothing_by_attribute(events, make):
    for tag, attributes in Elements(page_of(make(*events), FAKE)).found:
        assert tag not in ("iframe", "object", "embed", "link", "base", "form")
        assert not any(name.startswith("on") or name == "style" for name in attributes), tag
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/svg+xml;base64,"))


def test_hostile_text_changes_nothing_of_the_page(make):
    usual, hostile = (Elements(page_of(make(*events, name=name), FAKE))
                      for name, events in (("a", hostile_events()), ("b", tamed())))  # fmt: skip
    assert [tag for tag, _ in usual.found] == [tag for tag, _ in hostile.found]


def tamed():
    """The hostile record with ordinary words in place of the hostile text."""
    return eval(repr(hostile_events()).replace(repr(HOSTILE)[1:-1], "word"))


@pytest.mark.parametrize("name", ["<b>&\"'\u202e", "a b", "${x}", "'; rm -rf ~"])
def test_a_hostile_folder_is_text_and_its_commands_are_quoted(name, make):
    text = page_of(make(*searched(3), name=name))
    assert text.isascii() or all(c.isprintable() or c == "\n" for c in text)
    assert "<b>&" not in Elements(text).of("h1")[0][0]
    (_, title), *_ = Elements(text).of("title")
    assert title == f"outputs/{name}".replace("\u202e", "\\u202e")


@pytest.mark.parametrize("case", EMPTY)
@pytest.mark.parametrize("plotly", [None, FAKE], ids=["plain", "plotly"])
def test_a_run_without_results_has_a_page_that_says_so(case, plotly, make):
    found = Elements(page_of(make(*EMPTY[case]), plotly))
    sections = [attributes["id"] for attributes, _ in found.of("section")]
    assert ("best" in sections) == (case != "begun")
    assert "run" in sections
    text = " ".join(found.texts)
    assert {"begun": "No trial has been proposed yet.", "one": "1 of 2"}.get(
        case, "No trial has a result to compare."
    ) in text


def test_each_section_is_linked_once(make):
    found = Elements(page_of(make(*searched(30))))
    links = [attributes["href"] for attributes, _ in found.of("a")]
    assert links == [f"#{attributes['id']}" for attributes, _ in found.of("section")]
    assert links == ["#best", "#trials", "#trial", "#curves", "#front", "#importance", "#parallel",
                     "#architecture", "#difference", "#run"]  # fmt: skip


def test_ids_are_unique(make):
    found = Elements(page_of(make(*searched(30)), FAKE, graph="<svg></svg>"))
    ids = [attributes["id"] for _, attributes in found.found if "id" in attributes]
    assert len({*ids}) == len(ids)


def test_what_is_known_of_the_run_is_shown(make):
    text = page_of(make(*searched(30)), environment={"python": "3.99", HOSTILE: HOSTILE},
                   notes=[HOSTILE], is_running=True)  # fmt: skip
    found = Elements(text)
    assert ({"class": "chip running"}, "running") in found.of("span")
    assert "3.99" in [words for _, words in found.of("dd")]
    assert sum("\\u202eevil" in words for _, words in found.of("p")) == 1
    assert "2023-11-14 22:13" in text, NOW


def test_the_curves_that_stand_out_are_counted(make):
    def about(count):
        found = Elements(page_of(make(*searched(count, failures=False), name=f"run{count}")))
        [said] = [words for _, words in found.of("p") if words.startswith("What trials reported")]
        return said.removeprefix("What trials reported, epoch by epoch: ")

    assert about(1) == "1 trial."
    assert about(4) == "4 trials."
    assert about(6) == "6 trials. The best 5 stand out."


def test_equal_results_have_no_bars_of_importance(make):
    events = [event for i in range(12) for event in pair(i, 0.5, {"a": i})]
    text = page_of(make(BEGUN, *events))
    assert "All 12 results are equal, so no choice made a difference." in text
    assert 'class="bars"' not in text


def test_the_chart_of_one_result_counts_in_whole_numbers(make):
    text = page_of(make(BEGUN, *pair(0, 0.8, {"a": 1})))
    assert '"places":[0.5,1.5]' in text


def test_confirmed_samples_are_said_to_be_the_best(make):
    told = {"sample": {"a": 0}, "seed": 1, "key": "0", "duplicate_of": None, "repeat_of": 0}
    new = [("proposed", 1, {**told, "stage": "confirm"}), *pair(1, 0.6, {})[1:]]
    text = page_of(make(BEGUN, *pair(0, 0.8, {"a": 0}), *new))
    assert "Only samples that were confirmed count as the best" in text
    assert "Only samples that were" not in page_of(make(*searched(3), name="other"))
