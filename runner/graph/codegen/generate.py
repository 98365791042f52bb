"""Graph -> source: a module that defines the classes of a model, and `build()`.

Each function goes through the passes of `functions.generate_function`: control flow is structured,
dead code eliminated, expressions folded, variables allocated, statements printed. Then
constructors are planned, and classes that differ in nothing but literals merged by
anti-unification; last come imports.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from textwrap import indent

from runner.graph.codegen.check_source import verify
from runner.graph.codegen.classes.classes import Classes, templates_of
from runner.graph.codegen.classes.constructors import Constructors
from runner.graph.codegen.classes.initializer_statements import Loop
from runner.graph.codegen.classes.unit_forms import Sites
from runner.graph.codegen.copied_methods.globals import MARK
from runner.graph.codegen.expressions.imports import RESERVED, Imports, as_name
from runner.graph.codegen.expressions.line_breaking import STEP, lay_out
from runner.graph.codegen.functions.generate_function import FunctionTemplate, template
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit

_NAMES = ("build", "load", "CONSTANTS", "Path", "load_file")
_POSTPONED = "from __future__ import annotations"
_CONSTANTS = 'CONSTANTS = load_file(Path(__file__).with_name("constants.safetensors"))'


def generate(graph: Graph, *, standalone: bool = False, carries: bool = True) -> str:
    """Returns the source of a module whose `build()` makes the model, with fresh weights.

    The classes of unchanged units are imported; `standalone` writes out all but those of torch
    instead. Of those that are kept as they are, it brings along the user's own source; without
    `carries` it imports them. Tensors of the graph are read from a file
    `constants.safetensors` beside the module. Raises GraphError for a graph that is symbolic or
    cannot be written.
    """
    whole: frozenset[str] = frozenset()
    while True:
        text, more = _generated(graph, whole, standalone=standalone, carries=carries)
        if more <= whole:
            return text
        whole |= more


def _generated(
    graph: Graph, whole: frozenset[str], *, standalone: bool, carries: bool
) -> tuple[str, frozenset[str]]:
    """Returns the source, in which the classes `whole` come along as they are, and the classes that
    have to, since code that comes along asks for them, as `isinstance(module, Block)` does."""
    sites = Sites(graph, standalone=standalone, whole=whole)  # which units need a class
    functions = {name: template(f, shared=False) for name, f in graph.functions.items()}
    methods = {u: templates_of(sites, u) for u in sites.home if not sites.is_inline(u)}
    names = _function_names(functions, methods)
    taken = _variables(sites, functions, methods) | {*names.values()}
    imports = Imports(taken, names, carries=standalone and carries)
    blocks = [each.lines(imports, str, "") for each in functions.values()]
    classes = Classes(sites, imports, methods)  # constructors, and classes merged
    classes.merge(whole)
    classes.name({*imports.names, *names.values(), *_NAMES})
    imports.take(made.name for made in classes.all)
    constructors = Constructors(imports)
    merged = {made.base: constructors.constructor(made) for made in classes.all if made.merged}
    blocks += [constructors.lines(made) for made in classes.written]
    blocks.append(_build(graph.root, classes, constructors))
    asked = frozenset[str]()
    if imports.bundle is not None:
        for base, lines in merged.items():
            imports.bundle.construct(base, lines)
        asked = classes.asked(imports.bundle)
    return _assemble(blocks, len(functions), classes, imports), asked


def _function_names(
    functions: Mapping[str, FunctionTemplate], methods: Mapping[Unit, Sequence[FunctionTemplate]]
) -> dict[str, str]:
    """Returns the names in the file of the functions of the graph: their own, unless they have
    another meaning in the file, or are those of parameters where the functions are called."""
    every = [*functions.values(), *chain.from_iterable(methods.values())]
    names: dict[str, str] = {}
    for name in functions:
        callers = [each.parameters for each in every if f":{name}" in each.targets]
        taken = RESERVED.union(Imports().names, names.values(), *callers)
        written, number = as_name(name), 2
        while written in taken:
            written, number = f"{as_name(name)}_{number}", number + 1
        names[name] = written
    return names


def _variables(
    sites: Sites,
    functions: Mapping[str, FunctionTemplate],
    methods: Mapping[Unit, Sequence[FunctionTemplate]],
) -> set[str]:
    """Returns names with another meaning in a function, which no import may bind."""
    every = [*functions.values(), *chain.from_iterable(methods.values())]
    copies = [copy for unit in methods if (copy := sites.copy(unit)) is not None]
    return set().union(*(each.parameters for each in every), *(copy.own for copy in copies))


def _assemble(
    blocks: Sequence[Sequence[str]], first: int, classes: Classes, imports: Imports
) -> str:
    """Returns the file: imports, functions, classes (from block number `first`), and `build`."""
    texts = ["\n".join(block) for block in blocks]
    for text in texts:  # each consists of whole statements, so this verifies the file
        verify(text)
    # Copied methods are not verified: an import of the user's class would run them as well.
    for place, made in enumerate(classes.written, first):
        texts[place] += "".join(f"\n\n{indent(text, ' ' * STEP)}" for text in made.copied)
    texts[:0] = [text.rstrip() for text in imports.helpers.values()]
    if imports.bundle is not None:
        texts[:0] = imports.bundle.texts()
    head = _head(imports, "\n".join(texts))
    verify(head)
    if imports.bundle is not None and imports.bundle.postpones_annotations:
        head = f"{_POSTPONED}\n\n{head}"
    return _with_classes("\n\n\n".join([head, *texts]), classes) + "\n"


def _with_classes(text: str, classes: Classes) -> str:
    """Replaces the placeholders of classes in copied methods by their names in the file."""
    parts = text.split(MARK)
    parts[1::2] = [classes.isinstance_target(part.partition(" ")[2]) for part in parts[1::2]]
    return "".join(parts)


def _head(imports: Imports, body: str) -> str:
    """Returns the imports, and the statement that loads tensors from a file, if any are used."""
    if "CONSTANTS[" not in body:
        return "\n".join(imports.lines(body))
    lines = imports.lines(
        body, ("from pathlib import Path", "from safetensors.torch import load_file")
    )
    return "\n".join([*lines, "", _CONSTANTS])


def _build(root: Unit, classes: Classes, constructors: Constructors) -> list[str]:
    """Returns the function that makes the model."""
    made = constructors.code(classes.planner.construct(root, ""))
    later = [*_later(root, classes, constructors)]
    if not later:
        return ["def build():", *lay_out("return ", made, "", STEP)]
    margin = " " * STEP
    return ["def build():", *lay_out("model = ", made, "", STEP), *later, f"{margin}return model"]


def _later(root: Unit, classes: Classes, constructors: Constructors) -> Iterator[str]:
    """Yields the lines that change a constructed model, if no class in the file does so."""
    if root not in classes.planner.made:
        for before, tree in classes.planner.later_statements(root, "model"):
            if type(tree) is Loop:
                yield from constructors.loop(tree, STEP)
            else:
                yield from lay_out(before, constructors.code(tree), "", STEP)
