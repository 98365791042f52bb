"""How many real models the graph compiler converts, and what it takes: library models and programs.

    python benchmarks/zoo.py [--quick] [--json FILE] [--filter REGEX] [--models MODULE]

Each model is built, converted, written as source, imported and given the original weights; then
outputs in eval mode, in train mode (same seed) and gradients are compared with the original's.
`torch.jit.script` alone, in the same process, says what its front end could reach. MODULE gives
`all_models() -> {name: (build, inputs)}`; by default the zoo beside this checkout, which needs
timm and torchvision.
"""

import importlib
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from processes import in_processes
from report import console, options, write
from rich.table import Table

ZOO = Path(__file__).resolve().parents[2] / "shared" / "prototypes" / "zoo"
QUICK = r"^(tv:resnet18|tv:swin_t|timm:resnet:test_resnet|timm:vision_transformer:test_vit|hand:)"
PUBLISHED = {  # models converted of models tried, as measured with generous shims
    "NNI 3.0 (published)": {"library": "9/145", "hand": "6/30"},
    "torch.fx.symbolic_trace (published)": {"library": "69/145", "hand": "17/30"},
}


@final
@dataclass
class Result:
    """What became of one model."""

    name: str
    scripts: bool = False  # whether torch.jit.script compiles it
    ok: bool = False
    problem: str = ""
    script: float = 0.0  # CPU seconds
    convert: float = 0.0
    generate: float = 0.0
    lines: int = 0
    units: Mapping[str, int] = field(default_factory=dict)
    root: str = ""  # the grade of the root unit

    @property
    def family(self) -> str:
        return "hand" if self.name.startswith("hand:") else "library"


def try_model(
    name: str, build: Callable[[], Any], inputs: Callable[[Any], tuple[Any, ...]]
) -> Result:
    """Convert one model and compare; never raises."""
    import torch

    from runner.graph import check_conversion, convert, generate
    from runner.nn.recording.construction_record import recording

    torch.set_num_threads(1)
    result = Result(name)
    try:
        torch.manual_seed(0)
        with recording():
            model = build()
        torch.manual_seed(1)
        example = inputs(model)
        begun = time.process_time()
        graph = convert(model)
        result.convert = time.process_time() - begun
        begun = time.process_time()
        result.lines = generate(graph).count("\n")
        result.generate = time.process_time() - begun
        result.units, result.root = dict(graph.grades()), graph.root.grade
        report = check_conversion(model, *example)
        result.ok, result.problem = report.ok, "" if report.ok else str(report).replace("\n", " ")
    except BaseException as error:
        result.problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
    try:
        model = build()
        begun = time.process_time()
        torch.jit.script(model)
        result.script, result.scripts = time.process_time() - begun, True
    except BaseException:  # whatever TorchScript raises, it could not read the model
        result.scripts = False
    return result


def measure(models: Mapping[str, tuple[Any, Any]], jobs: int) -> Iterator[Result]:
    """Each model in a process of its own, `jobs` at a time."""
    for name, result, problem in in_processes(models, jobs, try_model):
        yield result or Result(name, problem=problem)


def table(results: Sequence[Result]) -> Table:
    """One row for each way to convert."""
    made = Table(title="Models converted: equal outputs in eval and train mode, equal gradients")
    made.add_column("converter", no_wrap=True)
    for name in (
        "library",
        "hand",
        "of those TorchScript compiles",
        "as graph",
        "CPU s median",
        "p90",
    ):
        made.add_column(name, justify="right")
    groups = {f: [r for r in results if r.family == f] for f in ("library", "hand")}
    counts = {f: f"{sum(r.ok for r in rs)}/{len(rs)}" for f, rs in groups.items()}
    able = [r for r in results if r.scripts]
    graphs = [r for r in able if r.ok and r.root == "graph" and not r.units.get("shell")]
    made.add_row(
        "runner", counts["library"], counts["hand"], f"{sum(r.ok for r in able)}/{len(able)}",
        f"{len(graphs)}/{len(able)}", *_times([r.convert + r.generate for r in results if r.root]),
    )  # fmt: skip
    scripted = {f: f"{sum(r.scripts for r in rs)}/{len(rs)}" for f, rs in groups.items()}
    made.add_row(
        "torch.jit.script compiles", scripted["library"], scripted["hand"], "", "",
        *_times([r.script for r in able]),
    )  # fmt: skip
    for name, found in PUBLISHED.items():
        made.add_row(name, found["library"], found["hand"], "", "", "", "", style="dim")
    return made


def _times(seconds: Sequence[float]) -> tuple[str, str]:
    if not seconds:
        return "", ""
    ordered = sorted(seconds)
    return f"{statistics.median(ordered):.2f}", f"{ordered[int(0.9 * (len(ordered) - 1))]:.2f}"


def main() -> None:
    """Convert the zoo, print the table and what failed, and write the figures where asked to."""
    parser = options(__doc__, "a few models")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only models whose name fits")
    parser.add_argument("--models", default="zoo_models", metavar="MODULE", help="where they are")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes at a time")
    given = parser.parse_args()
    if given.models == "zoo_models":
        if not ZOO.is_dir():
            sys.exit(f"There is no zoo at {ZOO}; name a module of your own with --models.")
        sys.path.insert(0, str(ZOO))
        importlib.import_module("tvshim")  # lets torchvision import beside a torch without CUDA
    models = importlib.import_module(given.models).all_models()
    wanted = given.filter or (QUICK if given.quick else "")
    chosen = {name: how for name, how in models.items() if re.search(wanted, name)}
    shown = console()
    results = []
    for result in measure(chosen, given.jobs):
        results.append(result)
        if not result.ok or result.root != "graph":
            grade = "" if result.root == "graph" else f" [as {result.root}]"
            shown.print(f"{result.name}{grade}: {result.problem[:300]}", markup=False)
    shown.print(table(results))
    found = {"published": PUBLISHED, "results": [asdict(result) for result in results]}
    write(given.json, ("torch",), found)


if __name__ == "__main__":
    main()
