"""What is held against eager: the zoo, the programs of the tests, and random programs.

Each is tried by each front end as it is read, and with its conversion validated on an example, as
those of the engines are: the name of a try begins with its `Way`.
"""

import copy
import importlib
import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, final

import torch
from processes import in_processes
from zoo import QUICK, ZOO

from runner.graph import convert, recording

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "toys"), str(TESTS / "graph")]

import oracle  # noqa: E402 - the toys of the tests are on the path only now
from random_programs import RandomProgram, forms, random_program, reduced, try_program  # noqa: E402

TOGETHER = 25  # so many small programs are tried by one process, one after another
SECONDS = 60  # that a call of a model of the zoo may take
Try = Callable[[], oracle.Finding]
WRONG = ("differs", "error", "unraised")
VALIDATED = "validated "


@final
@dataclass(frozen=True)
class Way:
    """How models are converted: by which front end, and whether validated on an example."""

    frontend: str
    validate: bool

    @property
    def prefix(self) -> str:
        """What the names of tries begin with."""
        return f"{self.frontend} {VALIDATED * self.validate}"

    @classmethod
    def of(cls, name: str) -> "Way":
        """The way of a try by its name."""
        frontend, _, rest = name.partition(" ")
        return cls(frontend, rest.startswith(VALIDATED))


def ways(frontends: Sequence[str], validate: bool | None) -> list[Way]:
    """By each front end: as it is read, validated, or, for None, both."""
    both = (False, True) if validate is None else (validate,)
    return [Way(frontend, each) for frontend in frontends for each in both]


def in_each_way(made: Callable[..., dict[str, Try]], each: Sequence[Way]) -> dict[str, Try]:
    """What `made(way=...)` gives for each way, with their names."""
    return {way.prefix + name: attempt for way in each for name, attempt in made(way=way).items()}


def of_zoo(*, quick: bool, way: Way) -> dict[str, Try]:
    """The models of the zoo; none where it does not lie beside this checkout."""
    if not ZOO.is_dir():
        return {}
    sys.path.insert(0, str(ZOO))
    try:
        importlib.import_module("tvshim")  # lets torchvision import beside a torch without CUDA
        models = importlib.import_module("zoo_models").all_models()
    except ImportError as error:
        logging.warning("The zoo is left out: %s.", error)
        return {}
    wanted = QUICK if quick else ""
    return {
        f"zoo:{name}": partial(
            _try_model, f"zoo:{name}", build, lambda m, i=inputs: (i(m), {}), way
        )
        for name, (build, inputs) in models.items()
        if re.search(wanted, name)
    }


def of_tests(*, way: Way) -> dict[str, Try]:
    """What the tests of the graph compiler convert."""
    cases = importlib.import_module("programs").PROGRAMS
    return {
        f"test:{name}": partial(
            _try_model, f"test:{name}", case.make, lambda m, c=case: (c.inputs, c.named), way
        )
        for name, case in cases.items()
    }


def of_forms(*, way: Way) -> dict[str, Try]:
    """What random programs are made of, each form alone."""
    return {
        f"form:{text}": partial(_try_program, f"form:{text}", f"form_{number}", program, way)
        for number, (text, program) in enumerate(forms().items())
    }


def of_chance(seed: int, numbers: Sequence[int], *, way: Way) -> dict[str, Try]:
    """Random programs, by seed and number."""
    return {f"random:{seed}/{n}": partial(_try_random, seed, n, way) for n in numbers}


def _try_model(
    name: str,
    build: Callable[[], Any],
    inputs: Callable[[Any], tuple[Any, Mapping[str, Any]]],
    way: Way,
) -> oracle.Finding:
    def make() -> Any:
        torch.manual_seed(0)
        with recording():
            return build()

    torch.manual_seed(1)
    args, named = inputs(make())
    calls = [oracle.Call(tuple(args), named)]
    given = (args, named) if way.validate else ((), {})
    return oracle.examine(
        name, make, lambda: convert(make(), *given[0], frontend=way.frontend, **given[1]),
        partial(copy.deepcopy, calls), SECONDS,
    )  # fmt: skip


def _try_program(name: str, module: str, program: RandomProgram, way: Way) -> oracle.Finding:
    found = try_program(program, module, validate=way.validate, frontend=way.frontend)
    return replace(found, name=name)


def _try_random(seed: int, number: int, way: Way) -> oracle.Finding:
    made = program(seed, number)
    return _try_program(f"random:{seed}/{number}", f"random_{seed}_{number}", made, way)


def program(seed: int, number: int) -> RandomProgram:
    """A random program; it depends on nothing else."""
    return random_program(Random(f"{seed}/{number}").randrange)


def smaller(name: str, verdict: str) -> tuple[RandomProgram, oracle.Finding]:
    """A random program, by its name, reduced to what is needed for a verdict; what it gives."""
    seed, _, number = name.partition("random:")[2].partition("/")
    whole, way, tries = program(int(seed), int(number)), Way.of(name), iter(range(10**6))

    def found(text: str) -> oracle.Finding:
        try:
            made = RandomProgram(text, whole.open)
            return _try_program(name, f"reduced_{next(tries)}", made, way)
        except Exception as error:  # too much was taken away
            return oracle.Finding(name, "discarded", str(error))

    be_calm()
    text = reduced(whole.text, lambda text: found(text).verdict == verdict)
    return RandomProgram(text, whole.open), found(text)


# In processes


def measure(tries: Mapping[str, Try], jobs: int) -> Iterator[oracle.Finding]:
    """What becomes of each model, as they end: small ones several in a row by one process, since
    what is made of one must not depend on those before it."""
    groups: dict[str, list[str]] = {}
    for number, name in enumerate(tries):
        group = name if "zoo:" in name else f"{name.partition(':')[0]} {number // TOGETHER}"
        groups.setdefault(group, []).append(name)
    yield from _measured({k: [(n, tries[n]) for n in names] for k, names in groups.items()}, jobs)


def _measured(
    groups: Mapping[str, Sequence[tuple[str, Try]]], jobs: int
) -> Iterator[oracle.Finding]:
    models = {name: (group, None) for name, group in groups.items()}
    for name, found, problem in in_processes(models, jobs, _attempt):
        if found is not None:
            yield from found
        elif len(groups[name]) == 1:
            yield oracle.Finding(groups[name][0][0], "error", problem)
        else:  # which of them was it?
            yield from _measured({each[0]: [each] for each in groups[name]}, jobs)


def _attempt(name: str, group: Sequence[tuple[str, Try]], _: None) -> list[oracle.Finding]:
    be_calm()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # TorchScript warns past Python
    found = []
    for each, attempt in group:
        try:
            found.append(replace(attempt(), name=each))
        except BaseException as error:  # which would end those that come after it
            found.append(oracle.Finding(each, "error", f"{type(error).__name__}: {error}"))
    return found


def be_calm() -> None:
    """Use one thread, and say nothing of what is unusual in random programs."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
