"""A picture of methods: the best result so far over the trials, with a band over the seeds."""

import importlib.util
import logging
from pathlib import Path

from runner.display import format as text
from runner.methods import MethodComparison

NEEDED = 'matplotlib: pip install "nas-runner[plot]"'
SIZE = (5.0, 3.4)  # inches
DOTS = 200  # per inch, of the PNG
# Okabe and Ito's colors, which most people with color blindness can tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = ("-", "--", "-.", ":")
LONG = 40  # characters of a label


def is_plottable() -> bool:
    """Returns whether the library for pictures is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def plot(found: MethodComparison, path: Path) -> list[Path]:
    """Draws the methods to `path` with the endings .png and .svg, and returns these: the mean over
    the seeds of the best result so far, and a band of one standard deviation."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of its fonts
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    for place, method in enumerate(found.methods):
        color = COLORS[place % len(COLORS)]
        style = STYLES[place // len(COLORS) % len(STYLES)]
        rows = [*method.band()]
        trials, middle = [row[0] for row in rows], [row[1] for row in rows]
        label = method.label if len(method.label) <= LONG else f"{method.label[: LONG - 1]}…"
        name = f"{label} ({text.counted(len(method.curves), 'run')})".replace("$", r"\$")
        axes.step(trials, middle, where="post", color=color, linestyle=style, label=name)
        low, high = ([m + side * s for _, m, s in rows] for side in (-1, 1))
        axes.fill_between(trials, low, high, step="post", color=color, alpha=0.18, linewidth=0)
    axes.set_xlabel("trials")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_ylabel(f"best {found.metric} so far".replace("$", r"\$"))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    written = [path.with_suffix(ending) for ending in (".png", ".svg")]
    for file in written:
        figure.savefig(file, dpi=DOTS)
    return written
