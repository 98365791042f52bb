"""What a report costs: its size, the time to write it, and the time a browser takes to open it.

    python benchmarks/report_page.py [--quick] [--json FILE]

Records of made-up searches with 10, 1,000 and 10,000 trials of 20 epochs: two objectives, twelve
choices of which four are conditional, and failures. A page is written with all that the end of a
search writes; what a refresh during a search costs its driver, and its own process, is measured
apart. It is opened from disk in headless Chromium, with a new profile each time: until its
document is parsed and its table is filled, until it is first painted, and until its first chart is
that of the plotting library. Needs plotly, playwright, and
Chromium where `CHROMIUM` says, or /usr/bin/chromium; without them, nothing is opened.
"""

import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

from report import Target, as_figures, console, options, target_table, write
from rich.table import Table

from runner.goals import Goals, Objective
from runner.report.refresh import ReportRefresh
from runner.report.write import write_report
from runner.store import Store
from runner.trial import Proposal, Trial

GOALS = Goals((Objective("val/accuracy", "max"), Objective("params", "min")))
CONFIG = {
    "objective": [vars(objective) for objective in GOALS.objectives],
    "constraints": [],
    "fidelity": None,
    "budget": {"trials": 10_000},
}
SIZES, EPOCHS, OPENINGS = (10, 1_000, 10_000), 20, 5
QUICK_SIZES, QUICK_OPENINGS = (10, 50), 1
AIMED = 1_000  # trials, to which the targets apply
BYTES, SECONDS = 6.0, 2.0  # megabytes and seconds that a page may take
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@final
@dataclass(frozen=True)
class PageCost:
    """Of one page: megabytes, and seconds; None where no browser was found."""

    trials: int
    megabytes: float
    writing: float
    refresh: float  # of the driver, to start a refresh
    refresh_cpu: float  # CPU of the process that refreshes
    opened: float | None  # its document is parsed, and its scripts have run
    painted: float | None  # the first paint
    charted: float | None  # the library has drawn the first chart


def record(folder: Path, trials: int) -> None:
    """Write the record of a made-up search."""
    rng = random.Random(trials)
    with Store(folder, GOALS) as store:
        store.begin(CONFIG)
        for number in range(trials):
            sample = drawn(rng)
            store.propose(Proposal(sample), number, str(number), None)
            store.record(number, "started", {})
            if rng.random() < 0.05:
                store.record(number, "failed", {"reason": "error", "text": "ValueError: bad"})
                continue
            goal = 0.6 + 0.02 * sample["depth"] + 0.1 * rng.random()
            for epoch in range(EPOCHS):
                value = goal * (1 - 0.7 ** (epoch + 1))
                figures = {"train/loss": 1 - value, "val/loss": 1.1 - value, "val/accuracy": value}
                store.record(number, "metrics", figures)
            params = 1000 * sample["depth"] + rng.randrange(500)
            store.record(number, "finished", {"params": params})


def drawn(rng: random.Random) -> dict[str, Any]:
    """Draw a sample: blocks beyond the depth are not asked about."""
    depth = rng.randint(1, 4)
    blocks = {
        f"block{i}/{name}": rng.choice(values)
        for i in range(depth)
        for name, values in (("width", [16, 32, 64]), ("act", ["relu", "gelu", "silu"]))
    }
    tuned = {"evaluator.lr": 10 ** rng.uniform(-4, -1), "norm": rng.choice(["batch", "layer"])}
    return {"depth": depth, **blocks, **tuned, "dropout": rng.choice([0.0, 0.1, 0.3])}


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium; None where it, or what else it takes to measure, is missing."""
    if not (find_spec("playwright") and find_spec("plotly") and Path(CHROMIUM).exists()):
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(chromium: Any, path: Path) -> tuple[float, float, float]:
    """Open a page in a new profile. Returns the seconds until it is parsed, first painted, and
    has its first chart."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    page.locator("[data-plot=best] .main-svg").first.wait_for(state="attached")
    times = page.evaluate("""[
        performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd,
        performance.getEntriesByName('first-contentful-paint')[0].startTime, performance.now()]""")
    context.close()
    return times[0] / 1000, times[1] / 1000, times[2] / 1000


def measured(folder: Path, trials: int, chromium: Any, openings: int) -> PageCost:
    """Write the page of a record, and open it several times; medians."""
    record(folder, trials)
    start = time.perf_counter()
    path = write_report(folder)
    writing = time.perf_counter() - start
    refresh = refreshed(folder)
    seconds = [opened(chromium, path) for _ in range(openings)] if chromium else []
    medians = [*map(statistics.median, zip(*seconds, strict=True))] if seconds else [None] * 3
    return PageCost(trials, path.stat().st_size / 1e6, writing, *refresh, *medians)


def refreshed(folder: Path) -> tuple[float, float]:
    """Refresh a report as a search does. Returns the seconds of the driver, and the CPU seconds of
    the process that refreshes."""
    failures: list[str] = []
    report = ReportRefresh(folder, 1e-9, failures.append)
    report.begin()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    report.see(Trial(number=0, sample={}, seed=0))
    taken = time.perf_counter() - start
    report.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert not failures, failures
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def targets(costs: list[PageCost]) -> list[Target]:
    """The targets of the largest page that has one."""
    aimed = max((cost for cost in costs if cost.trials <= AIMED), key=lambda cost: cost.trials)
    what = f"{aimed.trials:,} trials"
    found = [Target(f"size of a report of {what}", aimed.megabytes, BYTES, "MB")]
    if aimed.opened is not None and aimed.painted is not None:
        slowest = max(aimed.opened, aimed.painted)
        found.append(Target(f"time to open a report of {what}", slowest, SECONDS, "s"))
    return found


def main() -> None:
    given = options(__doc__, "few trials").parse_args()
    sizes, openings = (QUICK_SIZES, QUICK_OPENINGS) if given.quick else (SIZES, OPENINGS)
    write_once()
    with tempfile.TemporaryDirectory() as place, browser() as chromium:
        costs = [measured(Path(place) / str(n), n, chromium, openings) for n in sizes]
    table = Table(title="Reports")
    heads = ("trials", "size, MB", "writing, s", "refresh, ms", "its CPU, s")
    for name in (*heads, "opened, s", "first paint, s", "chart, s"):
        table.add_column(name, justify="right")
    for cost in costs:
        times = cost.opened, cost.painted, cost.charted
        seconds = ["not measured" if x is None else f"{x:.2f}" for x in times]
        refresh = f"{cost.refresh * 1000:.1f}", f"{cost.refresh_cpu:.1f}"
        size = f"{cost.trials:,}", f"{cost.megabytes:.2f}", f"{cost.writing:.2f}"
        table.add_row(*size, *refresh, *seconds)
    found = targets(costs)
    console().print(table, target_table(found))
    figures = {"pages": [asdict(cost) for cost in costs], "targets": as_figures(found)}
    write(given.json, ["optuna", "nas-runner"], figures)


def write_once() -> None:
    """Import what the first report would import, which takes longer than to write it."""
    with tempfile.TemporaryDirectory() as place:
        record(Path(place), 12)
        write_report(Path(place))


if __name__ == "__main__":
    main()
