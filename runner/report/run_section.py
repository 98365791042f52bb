"""The section of a report about the run as a whole, and the commands for its trials."""

from collections.abc import Iterator

import yaml

from runner.report.embedded import escaped
from runner.report.facts import RunFacts

MORE = 20  # trials that a resumed search is given
FORMATS = "'format=[code,weights,onnx]'"


def commands(facts: RunFacts) -> list[list[str]]:
    """Returns the commands for a trial: what each does, and its text before and after the number
    of the trial."""
    more = {"retrain": " evaluator.epochs=100", "export": f" {FORMATS}"}
    return [
        [task, facts.command(task, "trial="), more.get(task, "")]
        for task in ("show", "replay", "retrain", "export")
    ]


def place_line(facts: RunFacts) -> str:
    """Returns where commands are to be run, as HTML; empty if that may be anywhere."""
    if not facts.place:
        return ""
    return f'<p class="about">To be run in <code>{escaped(facts.place)}</code>.</p>'


def run_section(facts: RunFacts) -> str:
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
        f"<h2>Run</h2><h3>How to go on</h3>{place_line(facts)}{typed}"
        f"<h3>Environment</h3>{known}"
        f'<h3>Configuration</h3><details><summary>all keys</summary><pre tabindex="0">{lines}'
        "</pre></details>"
    )


def _next_steps(facts: RunFacts) -> Iterator[tuple[str, str]]:
    budget = facts.record.config.get("budget")
    trials = budget.get("trials") if isinstance(budget, dict) else None
    more = f" budget.trials={trials + MORE}" if isinstance(trials, int) else ""
    yield "continue", f"{facts.resuming}{more}"
    yield "show", facts.command("show")
    if facts.best:
        yield "retrain", facts.command("retrain", "trial=best", "evaluator.epochs=100")
        yield "export", facts.command("export", "trial=best", FORMATS)
    yield "this page", facts.command("report")
