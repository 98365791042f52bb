"""Whether the graph compiler is ever silently wrong: models, the tests' programs, random programs.

    python benchmarks/faithful.py [--quick] [--json FILE] [--seed N] [--programs N]
        [--filter REGEX] [--frontend NAME[,NAME]] [--only PART] [--[no-]validate] [--show N]
        [--jobs N]

Each model is converted and written as source that imports its classes and as source that stands
alone, as it is and with every activation replaced by its twin, so that all classes on the way are
written out; the sources run beside the model itself, in eval and train mode with one seed. Told
apart are outputs, inputs that were changed in place, state, and gradients; and calls on which the
model raises and the source does not. All is done twice by each front end: as it is read, and
validated on an example, as by the engines; --validate and --no-validate do one of them.

--show prints so many random programs that came out wrong, reduced to what is needed for it. A
random program is named by seed and number: --filter "validated random:0/17$" tries that one.
"""

import re
import time
from argparse import BooleanOptionalAction, Namespace
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from faithful_cost import costs
from faithful_models import (
    WRONG,
    Try,
    Way,
    in_each_way,
    measure,
    of_chance,
    of_forms,
    of_tests,
    of_zoo,
    oracle,
    smaller,
    ways,
)
from frontends import frontend_option
from report import Target, as_figures, console, options, target_table, write
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

PARTS = {
    "zoo": "models of the zoo", "test": "programs of the tests", "form": "forms, each alone",
    "random": "random programs",
}  # fmt: skip
COLUMNS = {  # words for a reader, beside what `counts` gives
    "tried": "tried", "equal": "equal", "differs": "silently other", "error": "errors",
    "unraised": "does not raise", "refused": "refused", "share": "graph throughout",
    "mutated": "mutated", "kept": "kept whole", "noted": "of them noted",
    "discarded": "Python refuses",
}  # fmt: skip
VERDICTS = ("equal", "differs", "error", "unraised", "refused")
GRAPH = 60  # percent of the random programs, or they say nothing of the compiler


def counts(found: Sequence[oracle.Finding]) -> dict[str, int]:
    """What came of models; those that Python refuses are not among those tried. `share` is the
    percentage that is graph throughout, `kept` and `noted` are counts of units."""
    by = Counter(each.verdict for each in found)
    tried = len(found) - by["discarded"]
    return {
        "tried": tried,
        **{verdict: by[verdict] for verdict in VERDICTS},
        "share": round(100 * sum(each.graph for each in found) / tried) if tried else 0,
        "mutated": sum(each.mutated for each in found),
        "kept": sum(len(each.kept) for each in found),
        "noted": sum(each.noted for each in found),
        "discarded": by["discarded"],
    }


def table(counted: dict[str, dict[str, int]]) -> Table:
    """One row for each kind of model."""
    made = Table(title="Held against eager: outputs, inputs, state, gradients, in both modes")
    made.add_column("models", no_wrap=True)
    for name in COLUMNS.values():
        made.add_column(name, justify="right")
    for part, row in counted.items():
        texts = (f"{row[name]}{' %' * (name == 'share')}" for name in COLUMNS)
        made.add_row(_words(part), *texts)
    return made


def targets(counted: dict[str, dict[str, int]]) -> list[Target]:
    """No silent difference; and random programs that have something to say."""
    made = [
        Target(f"silent differences, {_words(part)}", row["differs"], 0, "")
        for part, row in counted.items()
    ]
    for part, row in counted.items():
        if part.endswith(" random") and not Way.of(part).validate:
            name = f"{_words(part)}, graph throughout"
            made.append(Target(name, row["share"], GRAPH, "%", at_least=True))
    return made


def _words(part: str) -> str:
    way = Way.of(part)
    name = part.removeprefix(way.prefix)
    return f"{way.frontend}: {PARTS[name]}{', validated' * way.validate}"


def chosen(given: Namespace) -> dict[str, Try]:
    """What is to be tried."""
    numbers = range(given.programs or (50 if given.quick else 2000))
    parts = {
        "zoo": partial(of_zoo, quick=given.quick),
        "test": of_tests,
        "form": of_forms,
        "random": partial(of_chance, given.seed, numbers),
    }
    found: dict[str, Try] = {}
    for part, made in parts.items():
        if given.only in (None, part):
            found |= in_each_way(made, ways(given.frontend, given.validate))
    return {name: attempt for name, attempt in found.items() if re.search(given.filter, name)}


def tried(tries: dict[str, Try], jobs: int, shown: Console) -> list[oracle.Finding]:
    """What became of each model; what is wrong is printed as it comes."""
    found = []
    with Progress(console=shown, transient=True) as progress:
        bar = progress.add_task("models", total=len(tries))
        for each in measure(tries, jobs):
            found.append(each)
            progress.advance(bar)
            if each.verdict in (*WRONG, "refused"):
                way = f" [{each.way}]" if each.way else ""
                text = f"{each.name}{way} {each.verdict}: {each.detail[:200]}"
                shown.print(text, markup=False, highlight=False)
    return found


def show(found: Sequence[oracle.Finding], most: int, shown: Console) -> None:
    """The sources of the first random programs that came out wrong, reduced."""
    wrong = [e for e in found if e.verdict in WRONG and "random:" in e.name]
    for each in wrong[:most]:
        program, last = smaller(each.name, each.verdict)
        shown.rule(f"{each.name} [{last.way}] {last.verdict}")
        texts = (last.detail, program.text, last.source)
        shown.print(*texts, sep="\n\n", markup=False, highlight=False)


def main() -> None:
    """Try all models, print the tables and what is wrong, and write the figures where asked to."""
    parser = options(__doc__, "a few models of the zoo and random programs")
    parser.add_argument("--seed", type=int, default=0, help="of the random programs")
    parser.add_argument("--programs", type=int, help="so many random programs; else 2,000")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only those whose name fits")
    parser.add_argument(
        "--validate", action=BooleanOptionalAction,
        help="only with conversions validated on an example, as engines do; or only without",
    )  # fmt: skip
    frontend_option(parser)
    parser.add_argument("--only", choices=(*PARTS, "cost"), help="one part alone")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="reduce so many failures")
    parser.add_argument("--jobs", type=int, default=2, help="so many processes at a time")
    given = parser.parse_args()
    shown, begun = console(150), time.monotonic()
    found = tried({} if given.only == "cost" else chosen(given), given.jobs, shown)
    shown.print(f"{len(found):,} models in {time.monotonic() - begun:.0f} s")
    parts = [way.prefix + part for part in PARTS for way in ways(given.frontend, None)]
    groups = {part: [e for e in found if e.name.startswith(f"{part}:")] for part in parts}
    counted = {part: counts(group) for part, group in groups.items() if group}
    if counted:
        shown.print(table(counted))
    met = targets(counted)
    met += costs(quick=given.quick) if given.only in (None, "cost") else []
    shown.print(target_table(met))
    show(found, given.show, shown)
    results = [asdict(e) | {"graph": e.graph} for e in found]
    write(
        given.json, ("torch",), {"counts": counted, "results": results, "targets": as_figures(met)}
    )


if __name__ == "__main__":
    main()
