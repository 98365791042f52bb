"""Facts about operators agree with what runs of all functions of torch on small tensors do."""

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from runner.nested import leaves
from runner.operators import FAMILIES, Facts, function_facts, is_random, method_facts, overloads_of
from runner.probing import MOST, ProbedParameter, count_tensors, memory_of, runs, samples

HOMES = {
    "torch": torch, "torch.nn.functional": functional, "torch.linalg": torch.linalg,
    "torch.special": torch.special, "torch.fft": torch.fft, "": Tensor,
}  # fmt: skip
RUNS = 8  # of each overload, on each of some sample tensors
NOT_RUN = {
    *("native_batch_norm",),  # crashes on invalid arguments
    *("set_printoptions", "set_num_threads", "set_warn_always", "use_deterministic_algorithms"),
    *("save", "load", "compile", "seed", "manual_seed", "share_memory_", "vmap"),
}
SILENT = {"detach_", "requires_grad_", "resize_as_"}  # change no values, or none of these sizes


def _overloads(home: str, name: str, function: Callable) -> Iterator[list[ProbedParameter]]:
    """The parameters of each overload, or of a function that is written in Python."""
    found = overloads_of(f"aten::{FAMILIES.get(home, '')}{name}")
    for overload in found:
        arguments = overload._schema.arguments
        if count_tensors(overload) <= MOST and not any(a.is_out for a in arguments):
            yield [ProbedParameter.in_schema(argument) for argument in arguments]
    if not found and inspect.isfunction(function):
        parameters = inspect.signature(function).parameters.values()
        yield [
            ProbedParameter.of(p)
            for p in parameters
            if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]


def _tensors(thing) -> list[Tensor]:
    return [leaf for leaf in leaves(thing, subclasses=True) if isinstance(leaf, Tensor)]


class Seen:
    """What runs of a function did."""

    def __init__(self) -> None:
        self.runs = 0
        self.written: set[int | str] = set()
        self.shared: set[bool] = set()
        self.random = False

    def run(self, function: Callable, args: tuple, kwargs: dict) -> None:
        args = tuple(a.clone() if isinstance(a, Tensor) else a for a in args)
        given = [
            (key, x) for key, value in [*enumerate(args), *kwargs.items()] for x in _tensors(value)
        ]
        versions = [x._version for _, x in given]
        state = torch.get_rng_state()
        try:
            result = function(*args, **kwargs)
        except Exception:
            return
        self.runs += 1
        self.written |= {
            key for (key, x), old in zip(given, versions, strict=True) if x._version > old
        }
        self.shared.add(not memory_of((args, kwargs)).isdisjoint(memory_of(result)))
        self.random |= not torch.equal(state, torch.get_rng_state())

    def disagreements(self, name: str, target: str, facts: Facts) -> list[str]:
        if not facts.is_known:
            return []
        in_training = "running_mean" in facts.writes  # the runs need not be
        places = set() if in_training else {key for key in facts.writes if isinstance(key, int)}
        return [text for text, is_wrong in {
            f"writes {self.written}": not self.written <= facts.writes and not facts.switches,
            "does not write": places - self.written and name not in SILENT,
            "shares": True in self.shared and facts.shares == "never",
            "need not share": False in self.shared and facts.shares == "always",
            "is random": self.random and not is_random(target),
        }.items() if is_wrong]  # fmt: skip


def _seen(home: str, name: str, function: Callable) -> Seen:
    seen = Seen()
    with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for wanted in _overloads(home, name, function):
            for x in samples()[1:]:
                for args, kwargs in itertools.islice(runs(wanted, x), RUNS):
                    seen.run(function, args, kwargs)
    return seen


@pytest.mark.parametrize("home", HOMES)
def test_facts_agree_with_runs(home):
    found, count = {}, 0
    for name in sorted({*dir(HOMES[home])} - NOT_RUN):
        function = getattr(HOMES[home], name)
        if name[0] == "_" or isinstance(function, type) or not callable(function):
            continue
        target = f"{home}:{name}" if home else f".{name}"
        seen = _seen(home, name, function)
        count += seen.runs > 0
        facts = function_facts(target) if home else method_facts(name)
        if seen.runs and (wrong := seen.disagreements(name, target, facts)):
            found[target] = wrong
    assert not found
    assert count > 10
