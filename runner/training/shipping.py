"""Which folders hold the modules that workers on other machines need."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from runner.errors import ConfigError, as_yaml

OURS = ("runner", "spaces")


def folders_of(ship: Sequence[str]) -> list[str]:
    """Returns the paths of this package and of those that the user names: the folder of a package,
    or the file of a module. Nothing is imported. Raises ConfigError for a name that is none."""
    return [_place(name) for name in dict.fromkeys((*OURS, *ship))]


def _place(name: str) -> str:
    if not name.isidentifier():
        raise ConfigError(
            f"training.ship names {as_yaml(name)}; give the name of a package or of a module "
            "without dots, such as training.ship=[mypkg]."
        )
    found = importlib.util.find_spec(name)
    folders = [] if found is None else [*(found.submodule_search_locations or ())]
    if folders:
        return str(Path(folders[0]).resolve())
    if found is not None and found.origin is not None and found.origin.endswith(".py"):
        return str(Path(found.origin).resolve())
    raise ConfigError(
        f"training.ship names {name}, which is no package or module written in Python that is "
        "found here."
    )
