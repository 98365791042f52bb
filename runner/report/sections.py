"""The sections of a report, as HTML, in their order."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime

from runner.display import format as text
from runner.report.chart_sections import (
    best_section,
    curves_section,
    front_section,
    importance_section,
)
from runner.report.embedded import escaped
from runner.report.facts import RunFacts
from runner.report.run_section import place_line, run_section

Section = tuple[str, str, str]  # id, title, and HTML


def head(facts: RunFacts) -> str:
    """Returns what was searched, how, and when."""
    config = facts.record.config
    parts = [
        f"{name} {text.name(node)}" for name in ("space", "engine", "strategy", "evaluator", "data")
        if isinstance(node := config.get(name), dict) and "_target_" in node
    ]  # fmt: skip
    times = [trial.proposed_at for trial in facts.trials]
    ends = [trial.ended_at for trial in facts.trials if trial.ended_at is not None]
    when = f"{_date(min(times))} to {_date(max([*ends, *times]))} UTC" if times else ""
    state, word = _state(facts)
    return (
        f'<div class="headline"><h1>{escaped(facts.name)}</h1>'
        f'<span class="chip {state}">{word}</span></div>'
        f'<p class="about">{escaped(", ".join(parts))}'
        f"{f'<br>{escaped(when)}' if when else ''}</p>"
    )


def tiles(facts: RunFacts) -> str:
    """Returns the figures that one looks for first."""
    found = []
    if facts.best:
        best, names = facts.best[0], [one.metric for one in facts.goals.objectives]
        for i, name in enumerate(names):
            figure = text.figure_of(name, best.metrics, best.deviations)
            rank = ", the best" if i == 0 else ""
            what = f"{name} of trial {best.number}{rank}"
            found.append(_tile(figure, what, "lead" if i == 0 else ""))
    done = sum(trial.counts and not trial.running for trial in facts.trials)
    budget = facts.record.config.get("budget")
    limit = budget.get("trials") if isinstance(budget, dict) else None
    of = f" of {limit}" if isinstance(limit, int) else ""
    found.append(_tile(f"{done}{of}", "trials of the budget"))
    if facts.goals.several:
        found.append(_tile(str(len(facts.front)), "trials on the front"))
    failed = sum(trial.failed and not trial.refused for trial in facts.trials)
    refused = sum(trial.refused for trial in facts.trials)
    stopped = sum(trial.stopped for trial in facts.trials)
    rest = [
        f"{count} {what}"
        for count, what in ((failed, "failed"), (stopped, "stopped early"), (refused, "refused"))
        if count
    ]
    found.append(_tile(text.duration(facts.busy), ", ".join(["searched", *rest])))
    return f'<div class="tiles">{"".join(found)}</div>'


def sections(facts: RunFacts) -> Iterator[Section]:
    """Yields the sections of a run; those that would be empty are left out."""
    if not facts.trials:
        yield "trials", "Trials", "<h2>Trials</h2><p>No trial has been proposed yet.</p>"
    else:
        yield "best", "Best so far", best_section(facts)
        yield "trials", "Trials", _TRIALS
        yield "trial", "Trial", _TRIAL.format(place=place_line(facts))
        if facts.curve_metrics:
            yield "curves", "Curves", curves_section(facts)
        if facts.goals.several and facts.results:
            yield "front", "Front", front_section(facts)
        yield "importance", "Importance", importance_section(facts)
        if facts.results:
            yield "parallel", "Parallel", _PARALLEL
        yield "architecture", "Architecture", _architecture(facts)
        yield "difference", "Difference", _DIFFERENCE
    yield "run", "Run", run_section(facts)


def _architecture(facts: RunFacts) -> str:
    seen = any("seen" in choice.data() for choice in facts.choices)
    source = (
        "Candidates are the values that trials have; others that the space offers are not known "
        "here." if seen else "Candidates that were not chosen are grey."
    )  # fmt: skip
    notes = "".join(f'<p class="notice">{escaped(note)}</p>' for note in facts.notes)
    graph = ""
    if facts.graph:
        picture = base64.b64encode(facts.graph.encode()).decode()
        graph = (
            '<div id="graph"><h3>Its graph</h3><img class="graph" alt="the graph of the model" '
            f'src="data:image/svg+xml;base64,{picture}"></div>'
        )
    return (
        '<h2 id="architecture-title">Architecture</h2>'
        f'<p class="about">{source} Choose another trial in the table or in a chart.</p>{notes}'
        f'<div class="stages" id="stages"></div>{graph}'
    )


def _tile(figure: str, what: str, style: str = "") -> str:
    return f'<div class="tile {style}"><b>{escaped(figure)}</b><span>{escaped(what)}</span></div>'


def _state(facts: RunFacts) -> tuple[str, str]:
    """Returns how far the search is, as a class of `style.css` and in words."""
    running = sum(trial.running for trial in facts.trials)
    if facts.is_running:
        return "running", "running"
    if running:
        return "", f"{text.counted(running, 'trial')} not ended"
    return ("finished", "ended") if facts.best else ("failed", "no result")


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


_TRIALS = """
<h2>Trials</h2>
<div class="bar">
<input type="search" id="filter" aria-label="filter trials" autocomplete="off"
 placeholder="filter: words, or comparisons such as depth=2 params &lt; 200k">
<label>state <select id="state"><option value="">all</option></select></label>
<label><input type="checkbox" id="show-metrics" checked>all metrics</label>
<label><input type="checkbox" id="show-choices" checked>choices</label>
</div>
<div class="box" id="table" tabindex="0" role="region" aria-label="trials"></div>
<div class="pager"><button type="button" id="previous">previous</button>
<button type="button" id="next">next</button><span id="count" role="status"></span></div>
"""

_TRIAL = """
<h2 id="trial-title">Trial</h2>
<div class="two" id="trial-facts"></div>
<h3>Commands</h3>{place}<div id="trial-commands"></div>
<div class="bar"><button type="button" id="compare-chosen">compare with another trial</button></div>
"""

_PARALLEL = """
<h2>Parallel coordinates</h2>
<p class="about">A line for each result (<span id="parallel-count"></span>), over the choices that
mattered most. The filter of the table applies here, too.</p>
<div class="box" id="parallel-lines" tabindex="0" role="region"
 aria-label="parallel coordinates"></div>
<p class="key"><span><i class="q4"></i>best fifth</span><span><i class="q2"></i>middle</span>
<span><i class="q0"></i>worst fifth</span></p>
"""

_DIFFERENCE = """
<h2>Difference of two architectures</h2>
<div class="bar"><label>trial <input type="number" id="first" min="0"></label>
<label>and trial <input type="number" id="second" min="0"></label></div>
<div id="different"></div>
"""
