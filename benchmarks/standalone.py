"""How many models can be exported as one file that stands alone, on every engine.

    python benchmarks/standalone.py [--quick] [--json FILE] [--only GROUP] [--filter REGEX] [-v]

Each model is written as stand-alone source with its weights, and loaded in an interpreter without
`runner` and the packages of its user. It counts if it imports only torch and installed libraries,
and if the names in its state_dict and its outputs in eval mode are equal, bit by bit. Groups:
the seven spaces of NNI's hub (`standalone_spaces.py`), the spaces shipped here, each with random
samples on every engine; the programs that the front ends are tested with; and mutants of the zoo
beside this checkout (`mutate.py`), which needs timm and torchvision.
"""

import importlib
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, final

import torch
from processes import in_processes
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table
from safetensors.torch import save_model
from zoo import ZOO

from runner import bare_process
from runner.bare_interpreter import COMMAND, BareInterpreter, LoadedModel
from runner.engines.standalone import imported_own
from runner.errors import RunnerError, one_line
from runner.graph.codegen.load import CONSTANTS, save_tensors
from runner.results import MAIN
from runner.trial import MODEL, WEIGHTS

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ("py", "base", "cgo")
SHAPES = {"mlp": (1, 8, 8), "transformer": (1, 8, 8)}
SHIPPED = ("mlp", "resnet", "cell", "mobilenet", "transformer")
STEPS = ("exported", "loaded", "equal")
SAMPLES = 4  # of each space, with the default
QUICK = r"(darts|shuffle|mlp|cells\.|modules\.|timm:resnet:test_resnet)"
ABSENT = ("standalone_spaces", "describe_spaces", "programs", "zoo_hand", "zoo_models", "report")


@final
@dataclass
class Result:
    """What became of one model."""

    group: str
    name: str
    exported: bool = False  # written, and imports nothing of the user's
    loaded: bool = False  # in a bare interpreter
    equal: bool = False
    problem: str = ""
    seconds: float = 0.0  # to write it
    lines: int = 0
    skipped: str = ""  # why it does not count: the model itself does not convert or run


EXPECTED = "expected.pt"  # what a child process leaves for the bare interpreter
Maker = Callable[[], tuple[Any, str, bytes | None, tuple[list[Any], dict[str, Any]]]]


def attempt(name: str, make: Maker, place: tuple[str, Path]) -> Result:
    """Writes one model to a folder; never raises."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    group, folder = place
    result = Result(group, name)
    try:
        begun = time.process_time()
        model, text, constants, inputs = make()
        result.seconds, result.lines = time.process_time() - begun, text.count("\n")
        model.eval()
        folder.mkdir(parents=True)
        (folder / MODEL).write_text(text + MAIN.format(weights=WEIGHTS), encoding="utf-8")
        if constants:
            (folder / CONSTANTS).write_bytes(constants)
        if not all(isinstance(value, torch.Tensor) for value in model.state_dict().values()):
            raise Skipped("its state is more than tensors, which no file of weights here holds")
        save_model(model, str(folder / WEIGHTS))
        foreign = [*imported_own(text)]
        result.exported, result.problem = not foreign, f"imports {foreign[:3]}" * bool(foreign)
        outputs = bare_process.outputs(model, *inputs)
        if "error" in outputs:
            raise Skipped(f"the model raises {outputs['error']}")
        _check_plain(inputs)
        torch.save((inputs, [*model.state_dict()], outputs), folder / EXPECTED)
    except Skipped as reason:
        result.skipped = str(reason)
    except BaseException as error:
        result.problem = one_line(error)
    return result


def _check_plain(inputs: Any) -> None:
    """Raises Skipped for inputs that no other program can make."""
    try:
        with tempfile.TemporaryFile() as file:
            torch.save(inputs, file)
            file.seek(0)
            torch.load(file, weights_only=True)
    except Exception as error:
        raise Skipped("its inputs are of classes of the user's") from error


@final
class Skipped(Exception):
    """The model does not count."""


def _of_engine(engine: str, target: str, arguments: Mapping[str, Any], shape: Sequence[int],
               seed: int) -> Maker:  # fmt: skip
    def make() -> Any:
        from runner.engines.base import BaseEngine
        from runner.engines.cgo import CgoEngine
        from runner.engines.py import PyEngine
        from runner.trial import Trial

        node = {"_target_": target, **arguments}
        trust = ["standalone_spaces", "describe_spaces"]
        data = {"_target_": "runner.data.none.Nothing", "shape": [*shape], "classes": 10}
        made: Any = {
            "py": lambda: PyEngine(space=node, trust=trust, data=data),
            "base": lambda: BaseEngine([*shape], space=node, trust=trust),
            "cgo": lambda: CgoEngine(2, [*shape], space=node, trust=trust),
        }[engine]()
        space = made.space
        sample = space.random(Random(seed)) if seed else space.default()
        source = made.source(Trial(0, sample, 0), standalone=True)
        model = made.build(made.recipe_of(sample))
        return model, source.text, source.constants, ([torch.randn(2, *shape)], {})

    return make


def of_spaces(kind: str) -> Iterator[tuple[str, Maker]]:
    """The published or the shipped spaces, with samples, on every engine."""
    if kind == "published":
        from standalone_spaces import SPACES

        spaces = {name: (f"{cls.__module__}.{cls.__name__}", given, (3, 32, 32))
                  for name, (cls, given) in SPACES.items()}  # fmt: skip
    else:
        import yaml

        spaces = {}
        for name in SHIPPED:
            node = yaml.safe_load((ROOT / "conf" / "space" / f"{name}.yaml").read_text())
            spaces[name] = (node["_target_"], {}, SHAPES.get(name, (1, 8, 8)))
    for name, (target, given, shape) in spaces.items():
        for engine in ENGINES:
            for seed in range(SAMPLES):
                yield f"{name} {engine} {seed}", _of_engine(engine, target, given, shape, seed)


def of_programs() -> Iterator[tuple[str, Maker]]:
    """The programs that the front ends are tested with."""
    sys.path[:0] = [str(ROOT / "tests" / "graph"), str(ROOT / "tests" / "toys")]
    programs: Mapping[str, Any] = importlib.import_module("programs").PROGRAMS
    for name, program in programs.items():
        yield name, _of_model(program.make, lambda model, p=program: (p.inputs, p.named))


def _of_model(build: Callable[[], Any], inputs: Callable[[Any], Any]) -> Maker:
    def make() -> Any:
        from runner.graph import convert, generate, recording

        with recording():
            model = build()
        args, kwargs = inputs(model)
        args, kwargs = [_plain(x) for x in args], {k: _plain(x) for k, x in kwargs.items()}
        graph = convert(model, *args, **kwargs)
        if lost := [note for note in graph.notes if note.lost]:
            raise Skipped(str(lost[0]))
        return model, generate(graph, standalone=True), save_tensors(graph), (args, kwargs)

    return make


def _plain(thing: Any) -> Any:
    if isinstance(thing, torch.Tensor):
        return thing.detach()
    if type(thing) in (list, tuple):
        return type(thing)(map(_plain, thing))
    return {key: _plain(x) for key, x in thing.items()} if type(thing) is dict else thing


def of_zoo(filter: str) -> Iterator[tuple[str, Maker]]:
    """The models of the zoo, and their mutants."""
    sys.path.insert(0, str(ZOO))
    importlib.import_module("tvshim")
    models = importlib.import_module("zoo_models").all_models()
    from mutate import MUTATIONS

    for name, (build, inputs) in models.items():
        if re.search(filter, name):
            for word in MUTATIONS:
                yield f"{name} {word}", _mutant(build, inputs, word)


def _mutant(build: Callable[[], Any], inputs: Callable[[Any], Any], word: str) -> Maker:
    def make() -> Any:
        from mutate import mutations

        from runner.config.instantiate import build as instance
        from runner.config.mutator_entries import written_out
        from runner.graph import convert, generate, recording
        from runner.graph.codegen.load import load_source
        from runner.graph.transforms.mutator import mutate
        from runner.space.sample import Walk

        try:
            with recording():
                model = build()
            example = inputs(model)
            graph = convert(model)
            graph.example = tuple(example[0].shape[1:])
            entries = mutations(graph)[word]
            twin = graph.copy()
            mutators = [instance(node) for node in written_out([dict(each) for each in entries])]
            mutate(twin, mutators, Walk(lambda choice: choice.default), base=graph)
            model = load_source(generate(twin), twin.tensors).build()
            if not entries or generate(twin) == generate(graph):
                raise Skipped("nothing to mutate")
            model.eval()(*example)
        except BaseException as error:
            raise Skipped(one_line(error)) from error
        return model, generate(twin, standalone=True), save_tensors(twin), ([*example], {})

    return make


GROUPS: dict[str, Callable[[str], Iterator[tuple[str, Maker]]]] = {
    "published spaces": lambda chosen: of_spaces("published"),
    "shipped spaces": lambda chosen: of_spaces("shipped"),
    "programs of the tests": lambda chosen: of_programs(),
    "mutants of the zoo": of_zoo,
}


def tried(group: str, cases: Mapping[str, Maker], jobs: int) -> Iterator[Result]:
    """Exports the models of a group, and loads each in one bare interpreter."""
    shim = f"import sys; sys.path.insert(0, {str(ZOO)!r}); import tvshim; sys.path.pop(0); "
    run = f"import runpy; runpy.run_path({bare_process.__file__!r}, run_name='__main__')"
    command = (sys.executable, "-I", "-c", shim + run) if "zoo" in group else COMMAND
    with tempfile.TemporaryDirectory() as place, BareInterpreter(command) as bare:
        bare.start()
        models = {
            name: (make, (group, Path(place) / str(number)))
            for number, (name, make) in enumerate(cases.items())
        }
        for name, found, problem in in_processes(models, jobs, attempt):
            result = found or Result(group, name, problem=problem)
            folder = models[name][1][1]
            if (folder / EXPECTED).exists():
                _load(bare, folder, result)
            yield result


def _load(bare: BareInterpreter, folder: Path, result: Result) -> None:
    inputs, names, outputs = torch.load(folder / EXPECTED, weights_only=True)
    try:
        found = bare.loaded(folder, inputs, ABSENT)
        result.loaded = True
        found.compare(LoadedModel(names, outputs))
        result.equal = True
    except RunnerError as error:
        result.problem = result.problem or str(error)


def table(results: Sequence[Result]) -> Table:
    """One row for each group."""
    made = Table(title="Models as one file that stands alone")
    made.add_column("models", no_wrap=True)
    for name in ("tried", *STEPS, "lines, median", "CPU s, median"):
        made.add_column(name, justify="right")
    for group in GROUPS:
        found = [r for r in results if r.group == group and not r.skipped]
        if found:
            counts = [sum(getattr(r, name) for r in found) for name in STEPS]
            lines, seconds = (sorted(v)[len(found) // 2] for v in (
                [r.lines for r in found], [r.seconds for r in found]))  # fmt: skip
            made.add_row(group, str(len(found)), *map(str, counts), str(lines), f"{seconds:.2f}")
    return made


def targets(results: Sequence[Result]) -> Iterator[Target]:
    for group in GROUPS:
        found = [r for r in results if r.group == group and not r.skipped]
        if found:
            right = sum(r.exported and r.equal for r in found)
            yield Target(f"{group}, equal", right, len(found), "models", at_least=True)


def main() -> None:
    """Try all groups; print what fails as it does, and the table."""
    parser = options(__doc__ or "", "a few models")
    parser.add_argument("--only", default="", metavar="REGEX", help="only groups that fit")
    parser.add_argument("--filter", default="", metavar="REGEX", help="only models that fit")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes at a time")
    given = parser.parse_args()
    wanted = given.filter or (QUICK if given.quick else "")
    shown, results = console(130), []
    for group, cases in GROUPS.items():
        if not re.search(given.only, group) or ("zoo" in group and not ZOO.is_dir()):
            continue
        chosen = {n: make for n, make in cases(wanted) if re.search(wanted, n, re.IGNORECASE)}
        for result in tried(group, chosen, given.jobs):
            results.append(result)
            if result.problem:
                shown.print(f"{group}: {result.name}: {result.problem[:300]}", markup=False)
    found = [*targets(results)]
    shown.print(table(results), target_table(found))
    figures = [asdict(result) for result in results]
    write(given.json, ("torch",), {"results": figures, "targets": as_figures(found)})


if __name__ == "__main__":
    main()
