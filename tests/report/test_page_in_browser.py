"""A page in a browser opens from disk without an error or a breach of its policy, and its table,
charts and comparisons do what they say. Needs playwright, and Chromium."""

import os
import shutil
from pathlib import Path

import pytest
from records import BEGUN, changed
from reported import hostile_events, pair, searched

from runner.report import write as module
from runner.report.write import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason="needs Chromium")
WIDTHS = (1280, 400)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def show(browser, make, monkeypatch):
    """Returns what opens the report of a record; whatever the browser complains about fails the
    test at its end."""
    complaints, contexts = [], []

    def shown(*events, width=1280, scheme="light", plotly=False, name="run"):
        if not plotly:
            monkeypatch.setattr(module, "plotly_script", lambda: None)
        path = write_report(make(*events, name=name))
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: requests.append(request.url))
        requests = []
        page.goto(path.as_uri())
        page.wait_for_selector("#count, #run")
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        return page

    yield shown
    for context in contexts:
        context.close()
    assert complaints == []


def cells(page, column):
    heads = page.locator("#table th").all_inner_texts()
    place = next(i for i, head in enumerate(heads) if head.split("\n")[0].strip() == column)
    return page.locator(f"#table tbody td:nth-child({place + 1})").all_inner_texts()


def scroll_through(page):
    for section in page.locator("section").all():
        section.scroll_into_view_if_needed()
        page.wait_for_timeout(50)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("plotly", [True, False], ids=["plotly", "plain"])
def test_it_opens_without_a_complaint_and_fits_the_window(show, width, scheme, plotly):
    page = show(*searched(30), width=width, scheme=scheme, plotly=plotly)
    scroll_through(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) < 384) == (scheme == "dark")
    assert page.locator("#table tbody tr").count() == 30


@pytest.mark.parametrize("width", WIDTHS)
def test_a_hostile_record_is_text(show, width):
    page = show(*hostile_events(), width=width, plotly=True)
    scroll_through(page)
    assert page.locator("img, iframe, a[href^='javascript']").count() == 0
    assert "\\u202eevil" in page.locator("#table").inner_text()
    assert "<script>alert(1)</script>" in page.locator("#trial").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("events", [searched(0), searched(1), searched(2)])
def test_a_run_with_next_to_nothing_opens(show, events):
    scroll_through(show(*events, plotly=True))


def test_a_click_on_a_header_sorts_and_a_second_one_turns_the_order(show):
    page = show(*searched(30))
    page.get_by_role("button", name="val/accuracy", exact=True).click()
    figures = [float(cell) for cell in cells(page, "val/accuracy") if cell]
    assert figures == sorted(figures)
    page.keyboard.press("Enter")  # the header has the focus still
    figures = [float(cell) for cell in cells(page, "val/accuracy") if cell]
    assert figures == sorted(figures, reverse=True)
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("val/accuracy")
    page.get_by_role("button", name="params", exact=True).click()
    known = [bool(cell) for cell in cells(page, "params")]
    assert known == sorted(known, reverse=True), "what is missing comes last"


@pytest.mark.parametrize(
    ("words", "column", "holds"),
    [
        ("failed", "state", lambda cell: cell == "failed"),
        ("depth=2", "depth", lambda cell: cell == "2"),
        ("val/accuracy>0.75", "val/accuracy", lambda cell: float(cell) > 0.75),
        ("depth!=2", "depth", lambda cell: cell == "1"),
        ("act=GELU", "block1/act", lambda cell: cell == "gelu"),
        ("trial<=3 state=finished", "trial", lambda cell: int(cell) < 3),
        ("depth = 2", "depth", lambda cell: cell == "2"),
        ("params < 1.5k depth= 1", "depth", lambda cell: cell == "1"),
        ("val/accuracy >= 75%", "val/accuracy", lambda cell: float(cell) >= 0.75),
        ('"ValueError: no"', "remark", lambda cell: "ValueError: no" in cell),
        ("ValueError", "remark", lambda cell: "ValueError: no" in cell),
    ],
)
def test_a_filter_leaves_what_it_asks_for(show, words, column, holds):
    page = show(*searched(30))
    page.get_by_role("searchbox").fill(words)
    found = cells(page, column)
    assert 0 < len(found) < 30
    assert all(map(holds, found))
    assert page.locator("#count").inner_text() == f"1 to {len(found)} of {len(found)} of 30 trials"
    page.get_by_role("searchbox").fill("no such word")
    assert page.locator("#count").inner_text() == "0 of 30 trials"
    page.get_by_role("searchbox").fill("")
    assert len(cells(page, "trial")) == 30


def test_the_filter_applies_to_the_parallel_coordinates_too(show):
    page = show(*searched(30))
    before = page.locator("#parallel-lines polyline").count()
    page.get_by_role("searchbox").fill("depth=2")
    results = sum(state == "finished" for state in cells(page, "state"))
    assert page.locator("#parallel-lines polyline").count() == results < before


def test_a_state_is_chosen_from_those_that_occur(show):
    page = show(*searched(30))
    states = page.locator("#state option").all_inner_texts()
    assert states == ["all", "failed", "finished"]
    page.locator("#state").select_option("failed")
    assert {*cells(page, "state")} == {"failed"}


def test_many_trials_have_pages(show):
    page = show(*searched(120))
    assert page.locator("#count").inner_text() == "1 to 50 of 120 trials"
    page.locator("#next").click()
    page.locator("#next").click()
    assert page.locator("#count").inner_text() == "101 to 120 of 120 trials"
    assert page.locator("#next").is_disabled()


def test_columns_can_be_hidden(show):
    page = show(*searched(30))
    assert "val/loss" in page.locator("#table th").all_inner_texts()
    page.locator("#show-metrics").uncheck()
    page.locator("#show-choices").uncheck()
    heads = page.locator("#table th").all_inner_texts()
    assert "val/loss" not in heads and "depth" not in heads
    assert "val/accuracy" in heads, "objectives stay"


def test_a_trial_is_chosen_in_the_table_with_mouse_or_keys(show):
    page = show(*searched(30))
    best = page.locator("#trial-title").inner_text().lower()
    title = page.locator("#architecture-title")
    assert title.inner_text() == f"Architecture of {best}, the best"
    page.locator("#table tbody tr").nth(4).locator("td").nth(3).click()
    number = cells(page, "trial")[4]
    assert page.locator("#trial-title").inner_text() == f"Trial {number}"
    assert f"trial={number}" in page.locator("#trial-commands").inner_text()
    page.locator("#table button.number").nth(5).focus()
    page.keyboard.press("Enter")
    number = cells(page, "trial")[5]
    assert title.inner_text() == f"Architecture of trial {number}"
    assert page.locator("tr[aria-selected=true] button.number").inner_text() == number


def test_the_architecture_marks_what_was_chosen(show):
    page = show(*searched(30))
    page.get_by_role("searchbox").fill("depth=1")
    page.locator("#table button.number").first.click()
    page.locator("#architecture").scroll_into_view_if_needed()
    assert page.locator(".stage.absent h3").all_inner_texts() == ["block1"]
    rows = page.locator(".choice:not(.absent)")
    for row in rows.all():
        assert row.locator(".candidate.chosen").count() == 1
    depth = rows.filter(has=page.locator(".label", has_text="depth"))
    assert depth.locator(".candidate.chosen").inner_text() == "1"
    assert depth.locator(".candidate:not(.chosen)").all_inner_texts() == ["2"]


def test_two_trials_are_compared(show):
    page = show(*searched(30))
    depths = dict(zip(cells(page, "trial"), cells(page, "depth"), strict=True))
    one, two = (next(n for n, depth in depths.items() if depth == wanted) for wanted in "12")
    page.locator("#first").fill(one)
    page.locator("#second").fill(two)
    rows = page.locator("#different tr.other").all_inner_texts()
    assert any(row.split("\t")[:3] == ["depth", "1", "2"] for row in rows)
    assert any(row.startswith("block1/act\t—") for row in rows)
    page.locator("#second").fill("999")
    assert page.locator("#different").inner_text() == "Enter the numbers of two trials."


@pytest.mark.parametrize("plotly", [True, False], ids=["plotly", "plain"])
@pytest.mark.parametrize("plot", ["best", "front"])
def test_a_point_tells_of_its_trial_and_chooses_it(show, plot, plotly):
    if plotly:
        pytest.importorskip("plotly", reason='needs pip install "nas-runner[report]"')
    page = show(*searched(30), plotly=plotly)
    place = page.locator(f"[data-plot={plot}]")
    place.scroll_into_view_if_needed()
    if plotly:
        place.locator(".plotly").first.wait_for()
        page.wait_for_timeout(300)
    marks = place.locator(".scatterlayer .trace path.point" if plotly else "circle.mark.best")
    marks.last.scroll_into_view_if_needed()
    page.wait_for_timeout(200)  # what scrolls hides the note
    marks.last.hover(force=True)
    told = place.locator(".hoverlayer .hovertext") if plotly else page.locator("#tip")
    told.first.wait_for()
    text = told.first.inner_text() if not plotly else told.first.text_content()
    assert text.startswith("trial ")
    assert "val/accuracy 0." in text
    box = marks.last.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    number = page.locator("#trial-title").inner_text().removeprefix("Trial ")
    assert text.startswith(f"trial {number}")


def test_the_axes_and_metrics_of_plots_can_be_chosen(show):
    pytest.importorskip("plotly", reason='needs pip install "nas-runner[report]"')
    page = show(*searched(30), plotly=True)
    for plot, select, axis in (
        ("front", "#front-x", "xtitle"),
        ("curves", "#curve-metric", "ytitle"),
    ):
        place = page.locator(f"[data-plot={plot}]")
        place.scroll_into_view_if_needed()
        place.locator(".plotly").first.wait_for()
        page.locator(select).select_option(label="val/loss")
        place.locator(f".{axis}", has_text="val/loss").wait_for()


def test_a_line_of_the_parallel_coordinates_chooses_its_trial(show):
    page = show(*searched(30))
    line = page.locator("#parallel-lines polyline").nth(3)
    number = line.get_attribute("data-trial")
    line.dispatch_event("click")
    assert page.locator("#trial-title").inner_text() == f"Trial {number}"
    assert page.locator("#parallel-lines polyline.chosen").get_attribute("data-trial") == number


def test_a_long_label_breaks_no_layout(show):
    events = [
        (kind, trial, {**data, "sample": {**data["sample"], "l" * 200: "v" * 200}})
        if kind == "proposed" else (kind, trial, data)
        for kind, trial, data in searched(30)
    ]  # fmt: skip
    for width in WIDTHS:
        page = show(*events, width=width, name=f"run{width}")
        scroll_through(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for box in page.locator("section").all():
            assert box.evaluate("box => box.scrollWidth <= box.clientWidth + 1")


def lines_of(page):
    """The places of each line of the parallel coordinates."""
    drawn = page.locator("#parallel-lines polyline").all()
    return {
        line.get_attribute("data-trial"): line.get_attribute("points").split(" ") for line in drawn
    }


def test_a_choice_that_was_not_asked_has_a_place_of_its_own(show):
    events = [
        event for i in range(4)
        for event in pair(i, 0.1 * i, {"a": i, **({"b": i} if i > 1 else {})})
    ]  # fmt: skip
    page = show(BEGUN, *events)
    ticks = page.locator("#parallel-lines text:not(.name) title").all_text_contents()
    assert ticks.count("not chosen") == 1
    lines = lines_of(page)
    assert {len(points) for points in lines.values()} == {3}, "all axes are met"
    down = {number: float(points[1].split(",")[1]) for number, points in lines.items()}
    assert down["0"] == down["1"] > down["2"] > down["3"]


def test_one_result_is_in_the_middle_of_its_axes(show):
    page = show(BEGUN, *pair(0, 0.8, {"a": 1}))
    [points] = lines_of(page).values()
    assert len({point.split(",")[1] for point in points}) == 1
    ticks = page.locator("#parallel-lines text:not(.name) title").all_text_contents()
    assert ticks == ["1", "0.8000"]
    assert page.locator("#parallel-lines polyline").get_attribute("class").startswith("q4")
    assert page.locator("#parallel-count").inner_text() == "1 result"


def test_the_trainings_of_a_sample_are_one_row_with_a_rank(show):
    proposed, *rest = pair(2, 0.6, {"a": 1})
    repeat = [changed(proposed, repeat_of=1), *rest]
    page = show(BEGUN, *pair(0, 0.65, {"a": 0}), *pair(1, 0.8, {"a": 1}), *repeat)
    assert cells(page, "trial") == ["1", "0", "2"]
    assert cells(page, "rank") == ["1", "2", ""]
    assert cells(page, "val/accuracy") == ["0.7000 \u00b10.1414", "0.6500", "0.6000"]
    assert page.locator("#parallel-count").inner_text() == "2 results"


@pytest.mark.parametrize(
    ("words", "left", "said"),
    [
        ("nosuch=3", 3, "no column nosuch"),
        ("nosuch = 3 trial<2", 2, "no column nosuch"),
        ("depth<x", 3, "depth<x cannot be read"),
        ("depth=", 3, "depth= cannot be read"),
        ("rank < 2ms", 3, "rank < 2ms cannot be read"),
        ("act=relu", 3, "act may be a/act or b/act"),
    ],
)
def test_what_a_filter_cannot_mean_is_said_and_filters_nothing(show, words, left, said):
    sample = {"depth": 1, "a/act": "relu", "b/act": "relu"}
    events = [event for i in range(3) for event in pair(i, 0.5, sample)]
    page = show(BEGUN, *events)
    page.get_by_role("searchbox").fill(words)
    few = "3" if left == 3 else f"{left} of 3"
    assert page.locator("#count").inner_text() == f"1 to {left} of {few} trials; {said}"


def test_units_are_those_that_the_table_shows(show):
    events = [BEGUN]
    for i, (latency, memory) in enumerate([(0.00194, 950.0), (0.0021, 12_300.0), (1.2, 2e9)]):
        events += pair(i, 0.5, {"a": i})
        kind, number, told, when = events[-1]
        events[-1] = (kind, number, {**told, "latency": latency, "memory": memory}, when)
    page = show(*events)
    for words, numbers in {
        "latency<2ms": "0", "latency < 2 ms": "0", "latency>=1.94 ms": "012",
        "latency = 1.2 s": "2", "memory<=12.3kB": "01", "memory > 1 GB": "2", "time<1s": "012",
        "time >= 0:01": "",
    }.items():  # fmt: skip
        page.get_by_role("searchbox").fill(words)
        assert "".join(sorted(cells(page, "trial"))) == numbers, words


def test_a_metric_named_like_a_column_is_another_column(show):
    events = [BEGUN]
    for i in range(3):
        events += pair(i, 0.5, {"depth": i})
        kind, number, told, when = events[-1]
        events[-1] = (kind, number, {**told, "state": 10.0 + i, "depth": 20.0 + i}, when)
    page = show(*events)
    heads = page.locator("#table th").all_inner_texts()
    assert len({*heads}) == len(heads)
    assert cells(page, "metric:state") == ["10", "11", "12"]
    for words, numbers in {
        "state=finished": "012", "metric:state=11": "1", "depth=1": "1", "metric:depth > 20": "12",
    }.items():  # fmt: skip
        page.get_by_role("searchbox").fill(words)
        assert "".join(sorted(cells(page, "trial"))) == numbers, words


def test_an_empty_string_is_a_value(show):
    page = show(BEGUN, *pair(0, 0.5, {"a": "", "b": 1}), *pair(1, 0.5, {"b": 1}))
    assert cells(page, "a") == ['""', ""]
    page.get_by_role("searchbox").fill('a=""')
    assert cells(page, "trial") == ["0"]
    [row] = page.locator("#different tr.other").all_inner_texts()
    assert row.split("\t")[:3] == ["a", '""', "\u2014"]
