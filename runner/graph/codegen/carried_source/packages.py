"""Packages: which are the user's own, and which are installed libraries."""

import importlib.util
import site
import sys
import sysconfig
from functools import lru_cache
from pathlib import Path

KNOWN = sys.stdlib_module_names | {"torch", "safetensors"}
_INSTALLED = {"site-packages", "dist-packages"}


def is_own(module: str) -> bool:
    """Returns whether a module is the user's, or of this project: neither of torch, the standard
    library nor an installed package."""
    package = module.partition(".")[0]
    return package not in KNOWN and not is_library(package)


@lru_cache(maxsize=1024)
def is_library(package: str) -> bool:
    """Returns whether a package is installed beside torch, and none of this project."""
    if package in ("runner", "spaces"):
        return False
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # ValueError: a module that was made without a file
        return False
    paths = [*site.getsitepackages(), site.getusersitepackages()]
    folders = {*map(Path, paths), *(Path(sysconfig.get_path(n)) for n in ("purelib", "platlib"))}
    places = [] if spec is None else [*(spec.submodule_search_locations or ()), spec.origin or ""]
    above = [Path(place).parent for place in places]
    return any(folder in folders or folder.name in _INSTALLED for folder in above)
