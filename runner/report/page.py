"""The page of a report: HTML that holds its data, styles and scripts, under a strict policy."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from runner.report.chart_sections import chart_data
from runner.report.embedded import escaped, script_json
from runner.report.facts import RunFacts
from runner.report.plotly_script import PlotlyScript
from runner.report.run_section import commands
from runner.report.sections import head, sections, tiles

HERE = Path(__file__).parent
SCRIPTS = ("base.js", "filter.js", "table.js", "trial.js", "architecture.js", "parallel.js")
PLOTS = "plots.js"  # with plotly only
STYLE = "style.css"
_NONE = "'none'"
GLOBAL_STYLE = "plotly.js-style-global"  # where Plotly adds its rules; it would make it otherwise


def page(facts: RunFacts, plotly: PlotlyScript | None = None) -> str:
    """Returns the report of a run as one HTML file, which loads nothing. All that comes from the
    record is escaped."""
    style = _read(STYLE)
    plotly = plotly if facts.trials else None
    ours = [_script([*SCRIPTS, *([PLOTS] if plotly else [])])] if facts.trials else []
    scripts = [*([plotly.source] if plotly else []), *ours]
    shown = [*sections(facts)]
    return "\n".join([
        '<!DOCTYPE html>',
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts, style)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{escaped(facts.name)}</title>",
        f'<style id="{GLOBAL_STYLE}">{style}</style>',
        "</head>",
        "<body>",
        f'<header class="wide">{head(facts)}{tiles(facts)}</header>',
        _navigation((name, title) for name, title, _ in shown),
        '<main class="wide">',
        *(f'<section id="{name}">{body}</section>' for name, _, body in shown),
        "</main>",
        '<footer class="wide">One file, no network. Written by runner.</footer>',
        '<div id="tip" role="status" hidden></div>',
        *(f'<template id="{id_}"></template>' for id_ in (plotly.ids if plotly else ())),
        _data("data", facts.data()),
        _data("commands", commands(facts)),
        _data("charts", chart_data(facts)),
        *([f'<script type="text/plain" id="plotly">{plotly.source}</script>'] if plotly else []),
        *(f"<script>{script}</script>" for script in ours),
        "</body>",
        "</html>",
        "",
    ])  # fmt: skip


def _policy(scripts: Iterable[str], style: str) -> str:
    """Returns the policy of the page: it runs and applies exactly what this file wrote, and loads
    nothing."""
    return (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts)) or _NONE}; "
        f"style-src {_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _script(names: Sequence[str]) -> str:
    """Returns files of script as one, none of whose names are global."""
    parts = "\n".join(_read(name) for name in names)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _data(name: str, data: object) -> str:
    return f'<script type="application/json" id="{name}">{script_json(data)}</script>'


def _navigation(names: Iterable[tuple[str, str]]) -> str:
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in names)
    return f'<nav aria-label="sections"><ul class="wide">{links}</ul></nav>'
