"""Files that are written whole or not at all: readers see the old one or the new one."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial"  # the suffix of a file that is being written


def partial_of(path: Path) -> Path:
    """Returns the file that `whole` writes in place of another; one is left behind by a process
    that was killed."""
    return path.with_name(f"{path.name}{PARTIAL}")


@contextmanager
def whole(path: Path, *, has_rivals: bool = False) -> Iterator[Path]:
    """Yields the path of a file to be written, which takes the place of `path` at the end of the
    block; if it raises, there is no new file, and an OSError names `path`. A link there is
    replaced, not followed.

    One process writes it at a time; with `has_rivals`, any number may.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = f".{path.name}-{uuid.uuid4().hex}{PARTIAL}"
    new = path.with_name(name) if has_rivals else partial_of(path)
    new.unlink(missing_ok=True)  # of a process that was killed, or a link
    try:
        yield new
        new.replace(path)
    except BaseException as error:
        new.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(new)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_whole(
    path: Path, content: str | bytes, *, has_rivals: bool = False, is_private: bool = False
) -> None:
    """Writes a file as a whole, text as UTF-8; if `is_private`, for this user's eyes only."""
    with whole(path, has_rivals=has_rivals) as new:
        if is_private:
            new.touch(mode=0o600)
        new.write_bytes(content.encode() if isinstance(content, str) else content)
