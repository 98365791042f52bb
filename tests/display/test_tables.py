"""Tables that stay legible on any terminal, for any names, and without results."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from runner.display.tables import best_table, count_text, html, structure_table
from runner.goals import Goals, Objective
from runner.space.choice import Categorical, Numeric
from runner.space.structure import Part, Structure
from runner.trial import Failure, State, Trial

GOALS = Goals((Objective("val/accuracy", "max"),))
HOSTILE = "<b>[red]\n\u202e&\x1b[31m"


def printed(renderable, width: int) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=False, legacy_windows=False).print(renderable)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert all(len(line) <= width for line in lines)
    return lines


def finished(number: int, accuracy: float, **sample) -> Trial:
    metrics = {"train/loss": 1.0, "val/loss": 0.25, "val/accuracy": accuracy, "params": 12_345.0}
    return Trial(
        number, {"stem": "conv", **sample}, 0, State.FINISHED, metrics, scores=(accuracy,),
        started_at=10.0 * number, ended_at=10.0 * number + 12,
    )  # fmt: skip


@pytest.fixture
def trials() -> list[Trial]:
    best = finished(1, 0.9875, width=32, depth=2)
    best = replace(best, metrics={**best.metrics, "test/accuracy": 0.975})
    return [
        finished(0, 0.5, width=16, depth=2),
        best,
        Trial(2, {}, 0, State.FAILED, failure=Failure("error", "x"), started_at=80, ended_at=81),
        replace(finished(3, 0.9875, width=32, depth=2), duplicate_of=1),
        finished(4, 0.75, width=32, depth=3, skip=True),
        Trial(5, {}, 0),
    ]


def test_the_share_that_was_inherited(trials):
    trials = [replace(t, metrics={**t.metrics, "inherited": 0.934}) for t in trials[:1]]
    head, row = printed(best_table(trials, GOALS), 80)[1:3]
    assert head.split()[3:5] == ["params", "inherited"]
    assert row.split()[3:5] == ["12.3k", "93%"]


def test_how_exactly_a_latency_was_measured(trials):
    noisy = [replace(t, metrics={**t.metrics, "latency": 2e-3, "latency/noise": 0.1})
             for t in trials]  # fmt: skip
    lines = "\n".join(printed(best_table(noisy, Goals()), 120))
    assert "2.00 ms ±100 us" in lines and "noise" not in lines


def test_the_best_trials_with_what_they_differ_in(trials):
    assert printed(best_table(trials, GOALS), 80) == [
        "",
        "All of these have: stem=conv",
        "#  trial  val/accuracy  params    time  test/accuracy  val/loss",
        "1      1        0.9875   12.3k  12.0 s         0.9750    0.2500",
        "    width=32 depth=2",
        "2      4        0.7500   12.3k  12.0 s                   0.2500",
        "    width=32 depth=3 skip=true",
        "3      0        0.5000   12.3k  12.0 s                   0.2500",
        "    width=16 depth=2",
        "",
        "6 trials, 1 failed, 1 reused, 1 not ended; searched for 45.0 s",
    ]


def test_further_metrics_that_were_reported_come_last(trials):
    trials = [replace(t, metrics={**t.metrics, "f1": 0.5, "a\u202eb": 2.0, "train/f1": 1.0,
                                  "latency/noise": 0.1, "preserved": 1.0})
              for t in trials if t.scored]  # fmt: skip
    lines = printed(best_table(trials, GOALS), 90)
    assert lines[2].split()[3:] == [
        "params", "time", "test/accuracy", "val/loss", "f1", "a\\u202eb"
    ]  # fmt: skip
    assert lines[3].split()[-3:] == ["0.2500", "0.5000", "2.0000"]
    narrow = printed(best_table(trials, GOALS), 80)
    assert narrow[2].split()[-1] == "f1" and narrow[3].split()[-1] == "0.5000"
    assert "<th>f1</th>" in html(trials, GOALS)


def test_a_narrow_terminal_shows_the_columns_that_matter(trials):
    assert printed(best_table(trials, GOALS, 1), 40) == [
        "",
        "#  trial  val/accuracy  params    time",
        "1      1        0.9875   12.3k  12.0 s",
        "    stem=conv width=32 depth=2",
        "",
        "6 trials, 1 failed, 1 reused, 1 not",
        "ended; searched for 45.0 s",
    ]


def test_why_trials_were_refused_the_most_frequent_reasons_first(trials):
    why = ["conv1 has 5 of 8", "a <b>", "conv2 has 7 of 16", "x", "y", "y", "y"]
    refused = [
        Trial(10 + i, {}, 0, State.FAILED, failure=Failure("refused", text))
        for i, text in enumerate(why)
    ]
    lines = printed(best_table(trials + refused, GOALS, 1), 100)
    assert lines[-2:] == [
        "13 trials, 1 failed, 7 refused, 1 reused, 1 not ended; searched for 45.0 s",
        "Refused: 3 because y; 2 because conv1 has 5 of 8; 1 because a <b>; 1 for other reasons",
    ]
    assert "<p>Refused: 3 because y; " in html(trials + refused, GOALS)
    assert "1 because a &lt;b&gt;" in html(trials + refused, GOALS)


def test_less_is_better_when_the_objective_says_so(trials):
    turned = [replace(t, scores=tuple(-s for s in t.scores)) for t in trials]
    lines = printed(best_table(turned, Goals((Objective("val/accuracy", "min"),)), 1), 80)
    assert lines[2].split()[:3] == ["1", "0", "0.5000"]


def test_without_results_it_says_so(trials):
    unlucky = [trial for trial in trials if not trial.scored]
    assert printed(best_table(unlucky, GOALS), 80) == [
        "No trial has a result.",
        "2 trials, 1 failed, 1 not ended; searched for 1.0 s",
    ]
    assert printed(best_table([], GOALS), 80)[-1] == "0 trials; searched for 0.0 s"
    assert "No trial has a result" in html([], GOALS)


def test_long_samples_are_cut_but_for_the_first_three():
    sample = {f"layer{i}/width": i for i in range(40)}
    trials = [finished(n, 1 - n / 10, **{k: v + n for k, v in sample.items()}) for n in range(4)]
    lines = printed(best_table(trials, GOALS), 120)
    assert sum("layer39/width" in line for line in lines) == 3
    assert lines[-3].endswith("…")


@pytest.mark.parametrize("width", [20, 40, 80])
def test_hostile_strings_are_shown_as_data(width):
    trials = [replace(finished(n, n), sample={HOSTILE: HOSTILE * (n + 1)}) for n in range(2)]
    text = "".join(line.strip() for line in printed(best_table(trials, GOALS), width))
    assert "<b>[red]" in text and "\u202e" not in text and "\x1b" not in text
    page = html(trials, GOALS)
    assert "<b>" not in page and "&lt;b&gt;[red]\\n\\u202e&amp;\\x1b[31m=" in page


def test_a_hostile_metric_is_shown_as_data(trials):
    metric = HOSTILE * 10
    trials = [replace(t, metrics={metric: 1.0, **t.metrics}) for t in trials if t.scored]
    lines = printed(best_table(trials, Goals((Objective(metric, "max"),))), 80)
    assert r"<b>[red]\n\u202e&\x1b[" in lines[2]
    assert "<b>" not in html(trials, Goals((Objective(metric, "max"),)))


def test_html_has_a_row_for_each_of_the_best(trials):
    page = html(trials, GOALS)
    assert page.count("<tr>") == 4
    assert "<td>0.9875</td>" in page and "<td>width=32 depth=2</td>" in page
    assert "<p>All of these have: stem=conv</p>" in page
    assert page.endswith("searched for 45.0 s</p>")


def test_trials_that_are_equal_say_their_sample_once():
    trials = [finished(number, 0.5, width=32) for number in range(3)]
    lines = printed(best_table(trials, GOALS), 80)
    assert lines[1] == "All of these have: stem=conv width=32"
    assert sum("width" in line for line in lines) == 1


@pytest.mark.parametrize("width", [40, 60])
def test_what_all_have_is_wrapped_and_cut_as_the_sample_of_the_first(width):
    shared = {f"block{i}/kind": "bottleneck" for i in range(60)}
    trials = [finished(number, 0.5, last=number, **shared) for number in range(2)]
    lines = printed(best_table(trials, GOALS), width)
    end = next(i for i, line in enumerate(lines) if line.startswith("#"))
    assert end == 9 and lines[1].startswith("All of these have: ") and lines[8].endswith("…")


@pytest.fixture
def structure() -> Structure:
    kinds = Categorical("stage1/block0/kind", ("basic", "bottleneck"))
    return Structure(
        [
            Part(kinds, {}),
            Part(Numeric("stage1/block0/ratio", 1, 8, step=1), {kinds.label: ("bottleneck",)}),
        ],
        1234567,
        exact=True,
    )


def test_choices_with_candidates_and_conditions(structure):
    assert printed(structure_table(structure), 100) == [
        "choice               candidates                  asked",
        "stage1/block0/kind   'basic', 'bottleneck'",
        "stage1/block0/ratio  a whole number from 1 to 8  when stage1/block0/kind=bottleneck",
    ]


def test_choices_stand_below_each_other_where_there_is_no_room(structure):
    assert printed(structure_table(structure), 40) == [
        "stage1/block0/kind",
        "    'basic', 'bottleneck'",
        "stage1/block0/ratio",
        "    a whole number from 1 to 8",
        "    when stage1/block0/kind=bottleneck",
    ]


def test_a_space_without_choices(structure):
    assert printed(structure_table(replace(structure, parts=[])), 80) == ["There are no choices."]


@pytest.mark.parametrize(
    ("count", "exact", "expected"),
    [
        (1, True, "1 architecture"),
        (1234567, True, "1,234,567 architectures"),
        (1.23e14, False, "about 1.2e14 architectures"),
        (float("inf"), True, "infinitely many architectures"),
    ],
)
def test_the_number_of_architectures(structure, count, exact, expected):
    assert count_text(replace(structure, count=count, exact=exact)) == expected


def training(number, accuracy, repeat_of, stage="search"):
    return replace(finished(number, accuracy, width=32), repeat_of=repeat_of, stage=stage)


def test_samples_that_were_trained_several_times_have_means_and_deviations(trials):
    trials = [finished(0, 0.5, width=32), training(1, 0.7, 0), finished(2, 0.9, width=16),
              training(3, 0.4, 0, "confirm"), training(4, 0.6, 0, "confirm")]  # fmt: skip
    lines = printed(best_table(trials, GOALS), 80)
    assert lines[2:7] == [
        "#  trial    val/accuracy  seeds  params    time        val/loss",
        "1      0  0.5000 ±0.1414  2 new   12.3k  12.0 s  0.2500 ±0.0000",
        "    width=32",
        "2      2          0.9000      1   12.3k  12.0 s          0.2500",
        "    width=16",
    ]
    assert lines[8:11] == [
        "Figures are means over seeds, ± one standard deviation.",
        "Confirmed samples come first; their figures are of new trainings alone.",
        "5 trials, 1 repeats, 2 to confirm; searched for 52.0 s",
    ]
    assert "0.5000 ±0.1414" in html(trials, GOALS)
    assert "seeds" not in "".join(printed(best_table(trials[2:3], GOALS), 80))
