"""The sections of a report that are charts, as HTML."""

import math
from collections.abc import Iterable
from typing import Any

from runner.display import format as text
from runner.report.charts import Axis, Chart, Mark, Stroke, centred
from runner.report.embedded import escaped, short
from runner.report.facts import RunFacts
from runner.report.importance import FEWEST
from runner.trial import Trial

DRAWN = 2_000  # marks of a chart that is drawn in advance
CURVES = 150  # lines of one
TOP = 5  # best trials whose curves stand out


def chart_data(facts: RunFacts) -> dict[str, Any]:
    """Returns what charts made by a script need besides the trials."""
    scores = _figures(facts, facts.results)
    improved = [trial for _, trial in facts.improvements]
    axis = Axis.around("", centred(scores, _figures(facts, improved)))
    count = Axis.counting("", len(scores))
    return {
        "best": {
            "order": [trial.number for trial in facts.results],
            "improved": [trial.number for trial in improved],
            "range": [short(axis.low), short(axis.high)],
            "places": [short(count.low), short(count.high)],
        }
    }


def best_section(facts: RunFacts) -> str:
    if not facts.results:
        why = "No trial has a result to compare"
        return f'<h2>Best so far</h2><p class="empty">{why}.</p>'
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
        [Stroke(ends, style="best", steps=True)] if ends else [],
        marks,
    )
    outside = sum(not window[0] <= y <= window[1] for y in scores)
    what = f"{text.counted(outside, 'result')} far from the others: at the border of the chart."
    far = f'<p class="about">{what}</p>' if outside else ""
    if facts.has_confirmed:
        far += (
            '<p class="about">Only samples that were confirmed count as the best: the others are '
            "still by chance.</p>"
        )
    return (
        f"<h2>Best so far</h2>"
        f'<div class="plot" data-plot="best">{chart.svg()}</div>'
        f"{_key(('best', 'best so far'), ('', 'a result'))}"
        f"{far}"
    )


def curves_section(facts: RunFacts) -> str:
    top = [trial.number for trial in facts.best[:TOP]]
    drawn = [*(n for n in facts.curves if n not in top)][:CURVES]
    lines = [_curve(facts, number, "other") for number in drawn]
    best = [number for number in top if number in facts.curves]
    lines += [_curve(facts, number, "best") for number in best]
    name = facts.curve_metrics[0]
    values = [y for line in lines for _, y in line.points]
    last = round(max((x for line in lines for x, _ in line.points), default=1.0))
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
    marked, verb = bool(best and drawn), "stands" if len(best) == 1 else "stand"
    named = "best" if len(top) == 1 else f"best {len(top)}"
    if len(best) < len(top):
        named = f"{len(best)} of the {named}"
    said = f"The {named}" if named.startswith("best") else named
    few = f"{shown} of {with_reports}" if len(lines) < with_reports else shown
    return (
        "<h2>Learning curves</h2>"
        f'<p class="about">What trials reported, epoch by epoch: {few}.'
        f"{f' {said} {verb} out.' if marked else ''}</p>"
        '<div class="bar"><label hidden>metric <select id="curve-metric" data-redraws="curves">'
        f"{options}</select></label></div>"
        f'<div class="plot" data-plot="curves">{chart.svg()}</div>'
        f"{_key(('best', named), ('', 'others')) if marked else ''}"
    )


def _curve(facts: RunFacts, number: int, style: str) -> Stroke:
    values, begin = facts.curves[number][0], facts.begins.get(number, 0)
    points = [(float(i), y) for i, y in enumerate(values, begin + 1) if math.isfinite(y)]
    return Stroke(points, number, style)


def front_section(facts: RunFacts) -> str:
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
        [Stroke(path, style="dashed")] if len(facts.goals.objectives) == 2 else [],
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
        f"{_key(('best', 'front'), ('', 'others'), ('broken', 'constraint broken'))}"
    )


def _selected(options: str, which: int) -> str:
    return options.replace(f'value="{which}"', f'value="{which}" selected', 1)


def importance_section(facts: RunFacts) -> str:
    found = facts.importance
    if found is None:
        results = text.counted(len(facts.results), "result")
        later = " It is computed once the search has ended." if facts.is_running else ""
        why = (f"It takes at least {FEWEST} results to tell which choices mattered; there "
               f"{'is' if len(facts.results) == 1 else 'are'} {results}.")  # fmt: skip
        if len(facts.results) >= FEWEST:
            why = later.strip() or "No choice had two values, so none could matter."
        return f'<h2>Importance of choices</h2><p class="empty">{why}</p>'
    if not found.shares:
        why = f"All {found.results} results are equal, so no choice made a difference."
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


def _figures(facts: RunFacts, trials: Iterable[Trial]) -> list[float]:
    """Returns the values of the first objective of trials."""
    return [facts.first.turned(trial.scores[0]) for trial in trials]


def _key(*entries: tuple[str, str]) -> str:
    items = "".join(f'<span><i class="{style}"></i>{what}</span>' for style, what in entries)
    return f'<p class="key">{items}</p>'
