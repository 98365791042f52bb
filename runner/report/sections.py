"""The sections of a report, as HTML."""

import base64
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from runner.display import format as text
from runner.report.charts import Axis, Chart, Line, Mark, centred
from runner.report.embedded import escaped, short
from runner.report.facts import RunFacts
from runner.report.importance import FEWEST
from runner.trial import Trial

Section = tuple[str, str, str]  # id, title, and HTML
DRAWN = 2_000  # marks of a chart that is drawn in advance
CURVES = 150  # lines of one
TOP = 5  # best trials whose curves stand out
MORE = 20  # trials that a resumed search is given


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
            what = f"{name} of trial {best.number}" + (", the best" if not facts.goals.several
                                                        else f", best in {names[0]}")  # fmt: skip
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
    rest = [f"{count} {what}" for count, what in
            ((failed, "failed"), (stopped, "stopped early"), (refused, "refused")) if count]
    found.append(_tile(text.duration(facts.busy), ", ".join(["searched", *rest])))
    return f'<div class="tiles">{"".join(found)}</div>'


def sections(facts: RunFacts) -> Iterator[Section]:
    """Yields the sections of a run; those that would be empty are left out."""
    if not facts.trials:
        yield "trials", "Trials", "<h2>Trials</h2><p>No trial has been proposed yet.</p>"
    else:
        yield "best", "Best so far", _best(facts)
        yield "trials", "Trials", _TRIALS
        yield "trial", "Trial", _TRIAL
        if facts.curve_metrics:
            yield "curves", "Curves", _curves(facts)
        if facts.goals.several and facts.results:
            yield "front", "Front", _front(facts)
        yield "importance", "Importance", _importance(facts)
        if facts.results:
            yield "parallel", "Parallel", _PARALLEL
        yield "architecture", "Architecture", _architecture(facts)
        yield "difference", "Difference", _DIFFERENCE
    yield "run", "Run", _run(facts)


def commands(facts: RunFacts) -> list[list[str]]:
    """Returns the commands for a trial: what each does, and its text before and after the number
    of the trial."""
    run = facts.override
    before = "python -m runner task={} " + run.replace("{", "{{").replace("}", "}}") + " trial="
    return [
        ["show", before.format("show"), ""],
        ["replay", before.format("replay"), ""],
        ["retrain", before.format("retrain"), " evaluator.epochs=100"],
        ["export", before.format("export"), " 'format=[code,weights,onnx]'"],
    ]


def chart_data(facts: RunFacts) -> dict[str, Any]:
    """Returns what charts made by a script need besides the trials."""
    scores = _figures(facts, facts.results)
    improved = [trial for _, trial in facts.improvements]
    axis = Axis.around("", centred(scores, _figures(facts, improved)))
    return {
        "best": {
            "order": [trial.number for trial in facts.results],
            "improved": [trial.number for trial in improved],
            "range": [short(axis.low), short(axis.high)],
        }
    }


# Charts


def _best(facts: RunFacts) -> str:
    if not facts.results:
        why = "No trial has a result to compare"
        return f'<h2>Best so far</h2><p class="empty">{why}.</p>{_summary(facts)}'
    scores, steps = _figures(facts, facts.results), facts.improvements
    best = [(float(place), facts.first.turned(trial.scores[0])) for place, trial in steps]
    ends = [*best, (float(len(scores)), best[-1][1])] if best else []
    chosen = {trial.number for _, trial in steps}
    every = [*zip(range(1, len(scores) + 1), facts.results, scores, strict=True)]
    thinned = every[:: -(-len(every) // DRAWN)]
    marks = [Mark(x, y, trial.number, "" if trial.feasible else "broken")
             for x, trial, y in thinned if trial.number not in chosen]  # fmt: skip
    marks += [Mark(x, y, trial.number, "best")
              for (x, y), (_, trial) in zip(best, steps, strict=True)]  # fmt: skip
    window = centred(scores, [y for _, y in best])
    chart = Chart(
        "best result so far",
        Axis.counting("results, in the order they ended", len(scores)),
        Axis.around(facts.first.metric, window, facts.first.metric),
        [Line(ends, style="best", steps=True)] if ends else [],
        marks,
    )
    outside = sum(not window[0] <= y <= window[1] for y in scores)
    far = f" {text.counted(outside, 'result')} far from the others at the border." if outside else ""
    return (
        f"<h2>Best so far</h2>{_summary(facts)}"
        f'<div class="plot" data-plot="best">{chart.svg()}</div>'
        f"{_key(('best', 'best so far'), ('', 'a result'))}"
        f'<p class="about">{far}</p>'
    )


def _curves(facts: RunFacts) -> str:
    top = [trial.number for trial in facts.best[:TOP]]
    drawn = [*(n for n in facts.curves if n not in top)][:CURVES]
    lines = [_curve(facts, number, "other") for number in drawn]
    lines += [_curve(facts, number, "best") for number in top if number in facts.curves]
    name = facts.curve_metrics[0]
    values = [y for line in lines for _, y in line.points]
    last = max((len(line.points) for line in lines), default=1)
    chart = Chart(
        f"learning curves of {name}",
        Axis.counting("reports (epochs)", last),
        Axis.around(name, centred(values), name),
        lines,
    )
    options = "".join(
        f'<option value="{i}">{escaped(metric)}</option>'
        for i, metric in enumerate(facts.curve_metrics)
    )
    with_reports = sum(bool(points) for points in facts.reports.values())
    shown = text.counted(len(lines), "trial")
    few = f"{shown} of {with_reports}" if len(lines) < with_reports else shown
    return (
        "<h2>Learning curves</h2>"
        f'<p class="about">What trials reported, epoch by epoch: {few}. The best '
        f"{TOP} stand out.</p>"
        '<div class="bar"><label hidden>metric <select id="curve-metric" data-redraws="curves">'
        f"{options}</select></label></div>"
        f'<div class="plot" data-plot="curves">{chart.svg()}</div>'
        f"{_key(('best', f'best {TOP}'), ('', 'others'))}"
    )


def _curve(facts: RunFacts, number: int, style: str) -> Line:
    values = facts.curves[number][0]
    points = [(float(i), y) for i, y in enumerate(values, start=1) if math.isfinite(y)]
    return Line(points, number, style)


def _front(facts: RunFacts) -> str:
    x, y = facts.goals.objectives[1], facts.goals.objectives[0]
    on_front = {trial.number for trial in facts.front}
    rest = [trial for trial in facts.results if trial.number not in on_front]
    rest = rest[:: -(-len(rest) // DRAWN) or 1]

    def mark(trial: Trial, style: str) -> Mark:
        return Mark(trial.metrics[x.metric], trial.metrics[y.metric], trial.number, style)

    marks = [mark(trial, "" if trial.feasible else "broken") for trial in rest]
    marks += [mark(trial, "best") for trial in facts.front]
    path = sorted((m.x, m.y) for m in marks if m.style == "best")
    always = [m for m in marks if m.style == "best"]
    chart = Chart(
        "results by two objectives",
        Axis.around(x.metric, centred([m.x for m in marks], [m.x for m in always]), x.metric),
        Axis.around(y.metric, centred([m.y for m in marks], [m.y for m in always]), y.metric),
        [Line(path, style="dashed")] if len(facts.goals.objectives) == 2 else [],
        marks,
    )
    options = "".join(f'<option value="{i}">{escaped(name)}</option>'
                      for i, name in enumerate(facts.metrics))  # fmt: skip
    selects = "".join(
        f'<label hidden>{axis} <select id="front-{axis}" data-redraws="front">'
        f"{_selected(options, facts.metrics.index(one.metric))}</select></label>"
        for axis, one in (("x", x), ("y", y))
    )
    aims = ", ".join(f"{one.metric} ({one.mode})" for one in facts.goals.objectives)
    return (
        "<h2>Pareto front</h2>"
        f'<p class="about">{text.counted(len(facts.front), "trial")} that no other one beats in '
        f"every objective: {escaped(aims)}.</p>"
        f'<div class="bar">{selects}</div>'
        f'<div class="plot" data-plot="front">{chart.svg()}</div>'
        f"{_key(('best', 'front'), ('', 'others'), ('broken', 'breaks a constraint, or no result'))}"
    )


def _selected(options: str, which: int) -> str:
    return options.replace(f'value="{which}"', f'value="{which}" selected', 1)


def _importance(facts: RunFacts) -> str:
    found = facts.importance
    if found is None:
        results = text.counted(len(facts.results), "result")
        later = " It is computed once the search has ended." if facts.is_running else ""
        why = (f"It takes at least {FEWEST} results to tell which choices mattered; there "
               f"{'is' if len(facts.results) == 1 else 'are'} {results}.")  # fmt: skip
        if len(facts.results) >= FEWEST:
            why = later.strip() or "No choice had two values, so none could matter."
        return f'<h2>Importance of choices</h2><p class="empty">{why}</p>'
    most = max(share for _, share in found.shares) or 1.0
    aim = "the front" if facts.goals.several else facts.first.metric
    rows = "".join(
        f'<span class="label" title="{escaped(label)}">{escaped(label)}</span>'
        f'<span class="track"><svg viewBox="0 0 100 10" preserveAspectRatio="none" '
        f'aria-hidden="true"><rect width="{100 * share / most:.2f}" height="10"/></svg></span>'
        f'<span class="share">{share:.1%}</span>'
        for label, share in found.shares
    )
    return (
        "<h2>Importance of choices</h2>"
        f'<p class="about">How much each choice mattered for reaching the best {found.good} of '
        f"{found.results} results ({escaped(aim)}), by PED-ANOVA. With few results this is "
        f'mostly chance.</p><div class="bars">{rows}</div>'
    )


def _architecture(facts: RunFacts) -> str:
    seen = any("seen" in choice.data() for choice in facts.choices)
    source = (
        "Candidates are the values that trials have; others that the space offers are not known "
        "here." if seen else "Candidates that were not chosen are grey."
    )  # fmt: skip
    graph = ""
    if facts.graph:
        picture = base64.b64encode(facts.graph.encode()).decode()
        graph = (
            '<div id="graph"><h3>Its graph</h3><img class="graph" alt="the graph of the model" '
            f'src="data:image/svg+xml;base64,{picture}"></div>'
        )
    return (
        '<h2 id="architecture-title">Architecture</h2>'
        f'<p class="about">{source} Choose another trial in the table or in a chart.</p>'
        f'<div class="stages" id="stages"></div>{graph}'
    )


# Text


def _summary(facts: RunFacts) -> str:
    lines = [*facts.notes]
    return "".join(f'<p class="notice">{escaped(line)}</p>' for line in lines)


def _run(facts: RunFacts) -> str:
    config = {k: v for k, v in facts.record.config.items() if k not in ("task", "resume")}
    written = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
    lines = "\n".join(escaped(line) for line in written.splitlines())
    environment = "".join(
        f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>"
        for name, value in facts.environment.items()
    )
    known = f"<dl>{environment}</dl>" if environment else '<p class="empty">Not recorded.</p>'
    typed = "".join(
        f'<div class="command"><span>{what}</span><pre>{escaped(command)}</pre></div>'
        for what, command in _next_steps(facts)
    )
    return (
        f"<h2>Run</h2><h3>How to go on</h3>{typed}"
        f"<h3>Environment</h3>{known}"
        f'<h3>Configuration</h3><details><summary>all keys</summary><pre tabindex="0">{lines}'
        "</pre></details>"
    )


def _next_steps(facts: RunFacts) -> Iterator[tuple[str, str]]:
    budget = facts.record.config.get("budget")
    trials = budget.get("trials") if isinstance(budget, dict) else None
    more = f" budget.trials={trials + MORE}" if isinstance(trials, int) else ""
    yield "continue", f"python -m runner {facts.resuming}{more}"
    start = f"python -m runner task={{}} {facts.override.replace('{', '{{').replace('}', '}}')}"
    yield "show", start.format("show")
    if facts.best:
        yield "retrain", f"{start.format('retrain')} trial=best evaluator.epochs=100"
        yield "export", f"{start.format('export')} trial=best 'format=[code,weights,onnx]'"
    yield "this page", start.format("report")


def _figures(facts: RunFacts, trials: Iterable[Trial]) -> list[float]:
    """Returns the values of the first objective of trials."""
    return [facts.first.turned(trial.scores[0]) for trial in trials]


def _key(*entries: tuple[str, str]) -> str:
    items = "".join(f'<span><i class="{style}"></i>{what}</span>' for style, what in entries)
    return f'<p class="key">{items}</p>'


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
 placeholder="filter: words, or comparisons such as depth=2 params&lt;1e5">
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
<h3>Commands</h3><div id="trial-commands"></div>
<div class="bar"><button type="button" id="compare-chosen">compare with another trial</button></div>
"""

_PARALLEL = """
<h2>Parallel coordinates</h2>
<p class="about">A line for each result (<span id="parallel-count"></span>), over the choices that
mattered most. The filter of the table applies here, too.</p>
<div class="box" id="parallel-lines" tabindex="0" role="region" aria-label="parallel coordinates"></div>
<p class="key"><span><i class="q4"></i>best fifth</span><span><i class="q2"></i>middle</span><span><i
class="q0"></i>worst fifth</span></p>
"""

_DIFFERENCE = """
<h2>Difference of two architectures</h2>
<div class="bar"><label>trial <input type="number" id="first" min="0"></label>
<label>and trial <input type="number" id="second" min="0"></label></div>
<div id="different"></div>
"""
