"""Loads and runs exported models in an interpreter without `runner`: a program of its own, which
imports nothing but torch. `bare_interpreter.py` starts it; each line of input is a request."""

import copy
import json
import os
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any


class Absent(MetaPathFinder):
    """Makes packages look as if they were not installed."""

    def __init__(self, packages: Iterable[str]) -> None:
        self.packages = frozenset(packages)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def leaves(thing: Any, path: str = "output") -> Iterator[tuple[str, Any]]:
    """Yields the tensors and plain values in an output, each with its path."""
    if isinstance(thing, dict):
        for key, item in thing.items():
            yield from leaves(item, f"{path}[{key!r}]")
    elif isinstance(thing, (list, tuple)):
        yield f"len({path})", len(thing)
        for number, item in enumerate(thing):
            yield from leaves(item, f"{path}[{number}]")
    else:
        yield path, thing


def seed(number: int) -> None:
    """Seeds the generators that a forward may draw from."""
    import torch

    torch.manual_seed(number)
    random.seed(number)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(number)


def outputs(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a model makes of inputs, with one thread and a fixed seed: its tensors by path,
    and a text for anything else; for an error, the name of its class."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seed(0)
    try:
        with torch.no_grad():
            given = copy.deepcopy((tuple(args), dict(kwargs)))
            found = dict(leaves(model(*given[0], **given[1])))
    except Exception as error:
        return {"error": type(error).__name__}
    finally:
        torch.set_num_threads(threads)
    plain = (bool, int, float, str, type(None))
    return {
        path: leaf.detach().clone() if isinstance(leaf, torch.Tensor)
        else repr(leaf) if isinstance(leaf, plain) else type(leaf).__name__
        for path, leaf in found.items()
    }  # fmt: skip


def answer(request: Mapping[str, Any]) -> None:
    """Loads the model of a request, runs it if there are inputs, and saves what it returns."""
    import torch

    sys.meta_path.insert(0, Absent(request["absent"]))
    try:
        spec = spec_from_file_location("model", request["model"])
        assert spec is not None and spec.loader is not None
        module = sys.modules["model"] = module_from_spec(spec)
        spec.loader.exec_module(module)
        model = module.load()
    finally:
        del sys.meta_path[0]
    given = torch.load(request["inputs"], weights_only=True)
    found = {} if given is None else outputs(model, *given)
    torch.save({"names": [*model.state_dict()], "outputs": found}, request["answer"])


def main() -> None:
    """Answers requests until the input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a model may print, also from C
    sys.dont_write_bytecode = True
    for line in sys.stdin:
        try:
            answer(json.loads(line))
            said = ""
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        print(json.dumps(said), file=out, flush=True)


if __name__ == "__main__":
    main()
