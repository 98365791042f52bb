"""Which folders hold the modules that workers on other machines need."""

import importlib.util
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

from runner.errors import ConfigError, as_yaml

OURS = ("runner", "spaces")


def folders_of(ship: Sequence[str]) -> list[str]:
    """Returns the paths of this package and of those that the user names: the folder of a package,
    or the file of a module. Nothing is imported. Raises ConfigError for a name that is none."""
    return [_place(name) for name in dict.fromkeys((*OURS, *ship))]


def found_of(trust: Sequence[str]) -> list[str]:
    """Returns the packages and modules that a user trusts and that are found here, so that trials
    may need them on a node, too. Nothing is imported."""
    names = dict.fromkeys(prefix.partition(".")[0] for prefix in trust)
    names.pop("__main__", None)
    return [name for name in names if name.isidentifier() and _found(name) is not None]


def _found(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):  # it is loaded, and was put there by hand
        return None


def _place(name: str) -> str:
    if not name.isidentifier():
        raise ConfigError(
            f"training.ship names {as_yaml(name)}; give the name of a package or of a module "
            "without dots, such as training.ship=[mypkg]."
        )
    found = _found(name)
    folders = [] if found is None else [*(found.submodule_search_locations or ())]
    if folders:
        return str(Path(folders[0]).resolve())
    if found is not None and found.origin is not None and found.origin.endswith(".py"):
        return str(Path(found.origin).resolve())
    raise ConfigError(
        f"training.ship names {name}, which is no package or module written in Python that is "
        "found here."
    )
