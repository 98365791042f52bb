"""For the programs that tests start: torchvision as `vision` makes it usable, once it is asked for.

Python imports a module of this name by itself when it starts, where its folder is on the path.
"""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


class Finder(MetaPathFinder, Loader):
    """Finds torchvision once; from then on it is there as any other package."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != "torchvision":
            return None
        sys.meta_path.remove(self)
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        sys.path.append(str(Path(__file__).parents[1]))
        import vision

        package = vision.torchvision()
        sys.modules.pop("torchvision")
        return package

    def exec_module(self, module: ModuleType) -> None:
        return


sys.meta_path.insert(0, Finder())
