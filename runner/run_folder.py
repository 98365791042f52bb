"""The folder of a run, which somebody else may have made: no write may lead out of it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from runner.errors import ConfigError


def check_links(folder: Path) -> None:
    """Raises ConfigError if a symbolic link in a folder leads out of it, since a write would
    follow it, or if there is a pipe or a device, on which a write would wait or worse.

    Called before a session writes its first file. A folder that is itself reached through a link
    is fine.
    """
    root = folder.resolve()
    for entry in _entries(root):
        path = Path(entry.path)
        if entry.is_symlink():
            if not _leads_into(path, root):
                raise ConfigError(
                    f"{folder} contains the symbolic link {_inside(path, root)}, which leads out "
                    "of it; nothing is written there. Replace the link by what it leads to, or "
                    "delete it."
                )
        elif not (entry.is_dir() or entry.is_file()) and not _is_socket(entry):
            raise ConfigError(
                f"{folder} contains {_inside(path, root)}, which is neither a file nor a folder; "
                "nothing is written there. Delete it."
            )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yields everything below a folder; follows no links."""
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = [*entries]
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield from found
        waiting += [entry.path for entry in found if entry.is_dir(follow_symlinks=False)]


def _leads_into(link: Path, root: Path) -> bool:
    try:
        return link.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a ring of links
        return False


def _is_socket(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry is a socket, which cannot be opened; trials may leave them."""
    return stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode)


def _inside(path: Path, root: Path) -> str:
    return repr(str(path.relative_to(root)))
