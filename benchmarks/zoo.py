"""How many real models each front end of the graph compiler converts, and what it takes.

    python benchmarks/zoo.py [--quick] [--frontend NAME[,NAME]] [--json FILE] [--filter REGEX]
        [--models MODULE]

Each model is built, converted, written as source, imported and given the original weights; then
outputs in eval mode, in train mode (same seed) and gradients are compared with the original's.
Told apart are models that are graph throughout, and those whose stand-alone source imports nothing
of the user's. `torch.jit.script` alone says what it could read. Each converter has a process of
its own for each model. MODULE gives `all_models() -> {name: (build, inputs)}`; by default the zoo
beside this checkout (library models, and programs by hand), which needs timm and torchvision.
"""

import importlib
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, final

from frontends import frontend_option, kept_units, users_modules
from processes import in_processes
from report import console, options, write
from rich.table import Table

ZOO = Path(__file__).resolve().parents[2] / "shared" / "prototypes" / "zoo"
QUICK = r"^(tv:resnet18|tv:swin_t|timm:resnet:test_resnet|timm:vision_transformer:test_vit|hand:)"
PUBLISHED = {  # models converted of models tried, as measured with generous shims
    "NNI 3.0 (published)": {"library": "9/145", "hand": "6/30"},
    "torch.fx.symbolic_trace (published)": {"library": "69/145", "hand": "17/30"},
}
SCRIPT = "torch.jit.script"  # the converter that the front ends are held against

Build = Callable[[], Any]
Inputs = Callable[[Any], tuple[Any, ...]]


@final
@dataclass
class Result:
    """What became of one model by one converter, which is a front end or `torch.jit.script`."""

    name: str
    converter: str
    ok: bool = False  # converted, and nothing differs; of `torch.jit.script`, that it compiles
    problem: str = ""
    convert: float = 0.0  # CPU seconds
    generate: float = 0.0
    lines: int = 0
    units: Mapping[str, int] = field(default_factory=dict)
    root: str = ""  # the grade of the root unit
    kept: list[str] = field(default_factory=list)  # units that are not graph
    imports: list[str] | None = None  # of the user's modules, by the stand-alone source if any

    @property
    def family(self) -> str:
        return "hand" if self.name.startswith("hand:") else "library"

    @property
    def graph(self) -> bool:
        """Whether it is right, and graph throughout."""
        return self.ok and not self.kept

    @property
    def alone(self) -> bool:
        """Whether it is right, and its stand-alone source needs nothing of the user's."""
        return self.ok and self.imports == []


def try_model(converter: str, name: str, build: Build, inputs: Inputs) -> Result:
    """Convert one model by a converter; never raises."""
    import torch

    torch.set_num_threads(1)
    result = Result(name, converter)
    try:
        torch.manual_seed(0)
        if converter == SCRIPT:
            _script(result, build)
        else:
            _convert(result, build, inputs)
    except BaseException as error:
        result.problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return result


def _script(result: Result, build: Build) -> None:
    import torch

    model = build()
    begun = time.process_time()
    torch.jit.script(model)
    result.convert, result.ok = time.process_time() - begun, True


def _convert(result: Result, build: Build, inputs: Inputs) -> None:
    """Convert a model by a front end, and compare."""
    import torch

    from runner.graph import check_conversion, convert, generate
    from runner.nn.recording.construction_record import recording

    with recording():
        model = build()
    torch.manual_seed(1)
    example = inputs(model)
    begun = time.process_time()
    graph = convert(model, frontend=result.converter)
    result.convert = time.process_time() - begun
    begun = time.process_time()
    result.lines = generate(graph).count("\n")
    result.generate = time.process_time() - begun
    result.units = {str(grade): count for grade, count in graph.grades().items()}
    result.root = graph.root.grade
    result.kept = kept_units(graph, model)
    report = check_conversion(model, *example, frontend=result.converter)
    result.ok, result.problem = report.ok, "" if report.ok else str(report).replace("\n", " ")
    if "standalone" in report.sources:
        result.imports = users_modules(report.sources["standalone"], model)


def measure(
    models: Mapping[str, tuple[Build, Inputs]], converters: Sequence[str], jobs: int
) -> Iterator[Result]:
    """Each model by each converter in a process of its own, `jobs` at a time."""
    for converter in converters:
        for name, result, problem in in_processes(models, jobs, partial(try_model, converter)):
            yield result or Result(name, converter, problem=problem)


def table(results: Sequence[Result]) -> Table:
    """A column for each converter."""
    by = {each.converter: [r for r in results if r.converter == each.converter] for each in results}
    scripted = {r.name for r in by[SCRIPT] if r.ok}
    made = Table(title="Models converted: equal outputs in eval and train mode, equal gradients")
    made.add_column("models", no_wrap=True)
    for name in by:
        made.add_column(name, justify="right")
    for name in PUBLISHED:
        made.add_column(name, justify="right", style="dim")
    columns = [_column(found, scripted, ours=name != SCRIPT) for name, found in by.items()]
    columns += PUBLISHED.values()
    for row in columns[0]:
        made.add_row(row, *(column.get(row, "") for column in columns))
    return made


def _column(found: Sequence[Result], scripted: set[str], *, ours: bool) -> dict[str, str]:
    """What a converter makes of models, by the rows of the table; `ours`: it is a front end."""
    families = ("library", "hand")
    made = {name: _share([r.ok for r in found if r.family == name]) for name in families}
    if ours:
        made["of those TorchScript compiles"] = _share([r.ok for r in found if r.name in scripted])
        made["graph throughout"] = _share([r.graph for r in found])
        made["stand-alone"] = _share([r.alone for r in found])
    seconds = sorted(r.convert + r.generate for r in found if r.ok)
    if seconds:
        made["CPU s, median"] = f"{statistics.median(seconds):.2f}"
        made["CPU s, p90"] = f"{seconds[int(0.9 * (len(seconds) - 1))]:.2f}"
    return made


def _share(true: Sequence[bool]) -> str:
    return f"{sum(true)}/{len(true)}"


def _said(result: Result) -> str:
    """What to say of a model that is not as it should be; else nothing."""
    kept = f" [keeps {', '.join(result.kept[:3])}{' ...' * (len(result.kept) > 3)}]"
    imports = f" [imports {', '.join(result.imports or ())}]"
    flaws = f"{kept * bool(result.kept)}{imports * bool(result.imports)}"
    if result.converter == SCRIPT or (result.ok and not flaws):
        return ""
    return f"{result.converter} {result.name}{flaws}: {result.problem[:300]}"


def main() -> None:
    """Convert the zoo, print the table and what failed, and write the figures where asked to."""
    parser = options(__doc__, "a few models")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only models whose name fits")
    parser.add_argument("--models", default="zoo_models", metavar="MODULE", help="where they are")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes at a time")
    frontend_option(parser)
    given = parser.parse_args()
    if given.models == "zoo_models":
        if not ZOO.is_dir():
            sys.exit(f"There is no zoo at {ZOO}; name a module of your own with --models.")
        sys.path.insert(0, str(ZOO))
        importlib.import_module("tvshim")  # lets torchvision import beside a torch without CUDA
    models = importlib.import_module(given.models).all_models()
    wanted = given.filter or (QUICK if given.quick else "")
    chosen = {name: how for name, how in models.items() if re.search(wanted, name)}
    shown, results = console(130), []
    for result in measure(chosen, (*given.frontend, SCRIPT), given.jobs):
        results.append(result)
        if said := _said(result):
            shown.print(said, markup=False)
    shown.print(table(results) if results else "No model has such a name.")
    figures = [asdict(r) | {"graph": r.graph, "alone": r.alone} for r in results]
    write(given.json, ("torch",), {"published": PUBLISHED, "results": figures})


if __name__ == "__main__":
    main()
