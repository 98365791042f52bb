"""Lets torchvision be imported beside a torch without its compiled operators."""

import importlib
import re
import sys
from types import ModuleType

import torch

_libraries: list[torch.library.Library] = []  # a declaration lives as long as its library


def import_torchvision() -> ModuleType:
    """torchvision; operators whose absence stops its import are declared by name."""
    for _ in range(10):
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
            _libraries.append(torch.library.Library("torchvision", "FRAGMENT"))
            _libraries[-1].define(f"{missing[1]}(Tensor x) -> Tensor")
            for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
                del sys.modules[name]
    raise ImportError("torchvision asks for ever more operators")
