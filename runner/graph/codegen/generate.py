"""Graph -> source: a module that defines the classes of a model, and `build()`."""

from collections.abc import Iterator
from textwrap import indent

from runner.graph.codegen.check_source import verify
from runner.graph.codegen.classes.classes import Classes, drafts_of
from runner.graph.codegen.classes.constructors import Constructors
from runner.graph.codegen.classes.initializer_statements import Loop
from runner.graph.codegen.copied_methods.globals import MARK
from runner.graph.codegen.functions.cache import draft
from runner.graph.codegen.imports import Imports, as_name
from runner.graph.codegen.line_breaking import STEP, lay_out
from runner.graph.codegen.unit_forms import Sites
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit

_CONSTANTS = 'CONSTANTS = load_file(Path(__file__).with_name("constants.safetensors"))'


def generate(graph: Graph, *, standalone: bool = False) -> str:
    """The source of a module whose `build()` makes the model, with fresh weights.

    Units that are as their class makes them are imported from where it is defined; `standalone`
    writes out all but those of torch. Tensors of the graph are read from a file
    `constants.safetensors` beside the module. Raises GraphError when something is left open, or
    cannot be written.
    """
    sites = Sites(graph, standalone=standalone)
    drafts = {unit: drafts_of(unit) for unit in sites.home if not sites.is_inline(unit)}
    own = {name: draft(function, kept=False) for name, function in graph.functions.items()}
    every = [*own.values(), *(each for several in drafts.values() for each in several)]
    names = {as_name(name) for name in own}
    copies = [copy for unit in drafts if (copy := sites.copy(unit)) is not None]
    imports = Imports(
        names.union(*(each.parameters for each in every), *(copy.own for copy in copies))
    )
    functions = [each.lines(imports, str, "") for each in own.values()]
    classes = Classes(sites, imports, drafts)
    classes.name(imports.names | names | {"build", "CONSTANTS", "Path", "load_file"})
    imports.take(made.name for made in classes.all)
    constructors = Constructors(imports)
    blocks = [*functions, *(constructors.lines(made) for made in classes.all)]
    blocks.append(_build(graph.root, classes, constructors))
    texts = ["\n".join(block) for block in blocks]
    for text in texts:  # each is whole statements, so that all together are verified as well
        verify(text)
    # What is copied is the user's own code, which an import of the class would run as well.
    for place, made in enumerate(classes.all, len(functions)):
        texts[place] += "".join(f"\n\n{indent(text, ' ' * STEP)}" for text in made.copied)
    texts[:0] = [text.rstrip() for text in imports.helpers.values()]
    head = _head(imports, "\n".join(texts))
    verify(head)
    return _with_classes("\n\n\n".join([head, *texts]), classes) + "\n"


def _with_classes(text: str, classes: Classes) -> str:
    """Copied text, with the names of classes of the file where it asks for one."""
    parts = text.split(MARK)
    parts[1::2] = [classes.asked(part.partition(" ")[2]) for part in parts[1::2]]
    return "".join(parts)


def _head(imports: Imports, body: str) -> str:
    """The imports, and the tensors that are read from a file, if any."""
    if "CONSTANTS[" not in body:
        return "\n".join(imports.lines(body))
    lines = imports.lines(
        body, ("from pathlib import Path", "from safetensors.torch import load_file")
    )
    return "\n".join([*lines, "", _CONSTANTS])


def _build(root: Unit, classes: Classes, constructors: Constructors) -> list[str]:
    """The function that makes the model."""
    made = constructors.code(classes.planner.construct(root, ""))
    later = [*_later(root, classes, constructors)]
    if not later:
        return ["def build():", *lay_out("return ", made, "", STEP)]
    margin = " " * STEP
    return ["def build():", *lay_out("model = ", made, "", STEP), *later, f"{margin}return model"]


def _later(root: Unit, classes: Classes, constructors: Constructors) -> Iterator[str]:
    """What is done to a model that has no class in the file to do it."""
    if root not in classes.planner.made:
        for before, tree in classes.planner.afterwards(root, "model"):
            if type(tree) is Loop:
                yield from constructors.loop(tree, STEP)
            else:
                yield from lay_out(before, constructors.code(tree), "", STEP)
