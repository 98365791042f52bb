"""How many families of models take mutations, and what inherited weights save.

Of every family of timm that converts: all activations are replaced, all layers of one stage get
half their width, one block of a stage is dropped; each mutant is written as source, loaded, and
trained for a step. A family that has no such thing does not count. Then the same for ten families
of pytorchcv, which was not looked at while the mutators were written. Last, on digits: epochs until
mutants of a small ResNet that start from inherited weights are as accurate as from cold at the end.

It needs timm and torchvision, the zoo beside this checkout, and pytorchcv for the ten.
"""

import importlib
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

from mutate_inherit import inheritance, inheritance_table
from processes import in_processes
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table
from zoo import ZOO

MUTATIONS = ("replace", "width", "depth")
NONE = "none there"  # nothing in a model that could be mutated so
OK = "ok"
QUICK = r"timm:(resnet:test_resnet|convnext:test_convnext|vision_transformer:test_vit)$"
ACTIVATIONS = {  # classes and functions of activations, with what takes their place
    "ReLU": "SiLU", "ReLU6": "SiLU", "GELU": "ReLU", "SiLU": "ReLU", "Hardswish": "ReLU",
    "LeakyReLU": "ReLU", "ELU": "ReLU", "PReLU": "ReLU", "Mish": "ReLU", "GELUTanh": "ReLU",
    "Swish": "ReLU", "HardSwish": "ReLU", "HSwish": "ReLU", "QuickGELU": "ReLU",
}  # fmt: skip
CALLS = {"relu": "silu", "relu_": "silu", "gelu": "relu", "silu": "relu", "hardswish": "relu",
         "leaky_relu": "relu", "elu": "relu"}  # fmt: skip
HEADS = ("head", "classifier", "fc")  # what makes the output, whose width is not free
UNSEEN = (  # of pytorchcv, one of each family, without a look at their code
    "preresnet18", "ibn_resnet50", "airnet50_1x64d_r16", "bam_resnet50", "cbam_resnet18",
    "wrn16_10_cifar10", "menet108_8x1_g3", "darknet53", "peleenet", "fdmobilenet_wd4",
)  # fmt: skip


@final
@dataclass
class Result:
    """What became of the mutations of one model, by word: OK, NONE, or what went wrong."""

    name: str
    converts: bool = False
    problem: str = ""
    outcomes: dict[str, str] = field(default_factory=dict)

    @property
    def family(self) -> str:
        return ":".join(self.name.split(":")[:2])


def try_model(name: str, build: Callable[[], Any], inputs: Callable[[Any], Any]) -> Result:
    """Convert one model and try each mutation on it; never raises."""
    import torch

    from runner.graph import convert, recording

    torch.set_num_threads(1)
    torch.manual_seed(0)
    result = Result(name)
    try:
        with recording():
            model = build()
        example = inputs(model)
        graph = convert(model)
        result.converts = True
        del model
    except BaseException as error:
        result.problem = _said(error)
        return result
    graph.example = tuple(example[0].shape[1:])
    try:
        found = mutations(graph)
    except BaseException as error:
        result.outcomes = dict.fromkeys(MUTATIONS, _said(error))
        return result
    for word, entries in found.items():
        try:
            result.outcomes[word] = _tried(graph, entries, example) if entries else NONE
        except BaseException as error:
            result.outcomes[word] = _said(error)
    return result


def mutations(graph: Any) -> dict[str, list[dict[str, Any]]]:
    """The mutations of a model, as a config would list them."""
    classes = {unit.name for _, unit in graph.units()}
    called = [n for _, n in graph.nodes() if n.op in ("call_function", "call_method")]
    calls = {node.target.rpartition(":")[2] for node in called}
    replace = [{"class": old, "replace": new} for old, new in ACTIVATIONS.items() if old in classes]
    replace += [{"op": old, "replace": new} for old, new in CALLS.items() if old in calls]
    size = {path: sum(1 for _ in unit.walk()) for path, unit in graph.units() if path}
    chains = [path for path in _chains(graph) if _keeps(graph, path)]
    stage = max(chains, key=size.__getitem__, default="")
    bodies = [path for path in size if not path.startswith(HEADS)] or [*size]
    part = stage or min(bodies, key=lambda path: abs(size[path] - len(size) / 4))
    blocks = len(graph.unit(stage).children)
    return {
        "replace": replace,
        "width": [{"on": f"{part}.**", "width": 0.5, "tie": True}],
        "depth": [{"on": stage, "depth": blocks - 1}] if stage else [],
    }


def _chains(graph: Any) -> Iterator[str]:
    """Units that do no more than hold several blocks, each of which is given what the one before
    it gives: stages."""
    from runner.graph.transforms.call_sites import is_in_order, sites

    for path, unit in graph.units():
        blocks = [child for child in unit.children.values() if child is not None]
        if path and not unit.functions and len(blocks) > 1 and len(blocks[-1].children) > 1:
            calls = [site.node for site in sites(graph, blocks[-2])]
            places = sites(graph, blocks[-1])
            called = places or is_in_order(unit)
            if called and all(_comes_from(site.given, calls) for site in places):
                yield path


def _keeps(graph: Any, path: str) -> bool:
    """Whether the last block of a stage gives what it is given, by its shape, so that it can be
    dropped."""
    from runner.mutators.channel_counts import specs_at

    *_, last = graph.unit(path).children
    specs = specs_at(graph, [f"{path}.{last}"]).values()
    return all(spec["input"] == spec["output"] for spec in specs)


def _comes_from(value: Any, calls: Sequence[Any]) -> bool:
    """Whether a value is what one of some calls gives, on one way at least."""
    node = getattr(value, "node", None)
    if node is None or node in calls:
        return node is not None
    if node.op == "if":
        place = node.outputs.index(value)
        return any(_comes_from(block.results[place], calls) for block in node.blocks)
    return node.op == "unpack" and _comes_from(node.args[0], calls)


def _tried(graph: Any, entries: Sequence[Mapping[str, Any]], example: Any) -> str:
    """Mutate a copy of a graph, write it, load it, and train it for a step."""
    import torch

    from runner.config.instantiate import build
    from runner.config.mutator_entries import written_out
    from runner.graph import generate
    from runner.graph.codegen.load import load_source
    from runner.graph.interpreter.shape_propagation import propagate
    from runner.graph.ir.argument import Spec
    from runner.graph.ir.lint import lint
    from runner.graph.transforms.mutator import mutate
    from runner.space.sample import Walk

    twin = graph.copy()
    mutators = [build(node) for node in written_out([dict(entry) for entry in entries])]
    mutate(twin, mutators, Walk(lambda choice: choice.default), base=graph)
    lint(twin, decided=True)
    propagate(twin, *(Spec(tuple(x.shape), str(x.dtype)[6:]) for x in example))
    if generate(twin) == generate(graph):
        return "nothing changed"
    model = load_source(generate(twin), twin.tensors).build().train()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    loss = sum((t.float() - 1).square().mean() for t in _tensors(model(*example)))
    loss.backward()
    optimizer.step()
    changed = any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    return OK if bool(loss.isfinite()) and changed else "it did not train"


def _tensors(thing: Any) -> Iterator[Any]:
    import torch

    if isinstance(thing, torch.Tensor):
        yield thing
    elif isinstance(thing, dict):
        yield from (t for item in thing.values() for t in _tensors(item))
    elif isinstance(thing, list | tuple):
        yield from (t for item in thing for t in _tensors(item))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def table(title: str, results: Sequence[Result]) -> Table:
    """One row for each mutation: families that have such a thing, and those that take it."""
    made = Table(title=title)
    made.add_column("mutation", no_wrap=True)
    for name in ("families", "have it", "take it", "share"):
        made.add_column(name, justify="right")
    for word in MUTATIONS:
        have, take = counts(results, word)
        share = f"{take / have:.1%}" if have else ""
        families = len({r.family for r in results if r.converts})
        made.add_row(word, str(families), str(have), str(take), share)
    return made


def counts(results: Sequence[Result], word: str) -> tuple[int, int]:
    """How many families have something to mutate so, and how many of these take it, in each of the
    models that were tried of them."""
    outcomes: dict[str, list[str]] = {}
    for result in results:
        found = result.outcomes.get(word, NONE)
        if found != NONE:
            outcomes.setdefault(result.family, []).append(found)
    return len(outcomes), sum(set(found) == {OK} for found in outcomes.values())


def targets(results: Sequence[Result], what: str) -> Iterator[Target]:
    for word in MUTATIONS:
        have, take = counts(results, word)
        if have:
            yield Target(f"{what} that take {word}", 100 * take / have, 90, "%", at_least=True)


def run(models: Mapping[str, Any], jobs: int, shown: Any) -> list[Result]:
    """Try all models; print what fails as it does."""
    results = []
    for name, result, problem in in_processes(models, jobs, try_model):
        result = result or Result(name, problem=problem)
        results.append(result)
        if not result.converts:
            shown.print(f"{name} is left out: {result.problem[:200]}", markup=False, emoji=False)
        for word, outcome in result.outcomes.items():
            if outcome not in (OK, NONE):
                shown.print(f"{name}, {word}: {outcome[:400]}", markup=False, emoji=False)
    return results


def unseen() -> dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Models of pytorchcv; nothing where it is not installed."""
    try:
        provider = importlib.import_module("pytorchcv.model_provider")
    except ImportError:
        return {}
    return {f"pytorchcv:{name}": (_builder(provider, name), _image(name)) for name in UNSEEN}


def _builder(provider: Any, name: str) -> Callable[[], Any]:
    return lambda: provider.get_model(name, pretrained=False)


def _image(name: str) -> Callable[[Any], Any]:
    import torch

    size = 32 if "cifar" in name else 224
    return lambda model: (torch.randn(2, 3, size, size),)


def main() -> None:
    """Try all families, then the unseen ones, then inheritance; print tables and targets."""
    parser = options(__doc__, "three families, two seeds and few epochs")
    parser.add_argument("--filter", default=r"^timm:", metavar="REGEX", help="only such models")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes at a time")
    parser.add_argument("--only", choices=("families", "unseen", "inherit"), help="one part alone")
    given = parser.parse_args()
    shown = console()
    found: list[Target] = []
    figures: dict[str, Any] = {}
    parts = (given.only,) if given.only else ("families", "unseen", "inherit")
    if "families" in parts or "unseen" in parts:
        if not ZOO.is_dir():
            sys.exit(f"There is no zoo at {ZOO}; --only inherit does without.")
        sys.path.insert(0, str(ZOO))
        importlib.import_module("tvshim")  # lets torchvision import beside a torch without CUDA
    if "families" in parts:
        wanted = QUICK if given.quick else given.filter
        models = importlib.import_module("zoo_models").all_models()
        results = run({n: m for n, m in models.items() if re.search(wanted, n)}, given.jobs, shown)
        shown.print(table("Families of timm", results))
        found += targets(results, "families of timm")
        figures["families"] = [asdict(result) for result in results]
    if "unseen" in parts and not given.quick:
        results = run(unseen(), given.jobs, shown)
        shown.print(table("Ten families that were not looked at before", results))
        found += targets(results, "unseen families")
        figures["unseen"] = [asdict(result) for result in results]
    if "inherit" in parts:
        rows = inheritance(quick=given.quick)
        shown.print(inheritance_table(rows))
        ratio = statistics.mean(row.ratio for row in rows)
        found.append(Target("epochs to a cold start's accuracy, inherited / cold", ratio, 0.5, "x"))
        figures["inheritance"] = [asdict(row) | {"ratio": row.ratio} for row in rows]
    shown.print(target_table(found))
    write(given.json, ("torch",), {**figures, "targets": as_figures(found)})


if __name__ == "__main__":
    main()
