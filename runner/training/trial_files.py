"""Files of trials on their way between the folder of a run and a machine that does not see it."""

import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

from runner.errors import RunnerError
from runner.trial import CHECKPOINT, OUTPUT, STATE, trial_folder
from runner.whole_files import PARTIAL, write_whole

Files = Mapping[str, bytes | None]  # by their paths in the folder of the run; None: it is gone
SEAL = ".seal-"
MIDWAY = (CHECKPOINT, STATE)  # what a trial goes on from elsewhere if its machine is lost


@final
@dataclass(frozen=True)
class Seal:
    """A file with a text that no other has, by which a machine tells whether it sees a folder."""

    path: str
    text: str

    @classmethod
    def of(cls, folder: Path) -> "Seal":
        """Writes one into a folder, which is created if need be, in place of those that killed
        drivers left there."""
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{SEAL}*"):
            left.unlink(missing_ok=True)
        text = uuid.uuid4().hex
        path = folder.resolve() / f"{SEAL}{text}"
        path.write_text(text, encoding="ascii")
        return cls(str(path), text)

    def is_visible(self) -> bool:
        """Returns whether this machine sees the folder under the same path."""
        try:
            return Path(self.path).read_text(encoding="ascii") == self.text
        except (OSError, ValueError):
            return False

    def remove(self) -> None:
        Path(self.path).unlink(missing_ok=True)


@final
class TrialFiles:
    """The files of trials in one of two copies of a run's folder, and which of them the other copy
    has."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[int, ...]] = {}  # to the other side: path -> which version

    def changed(self, trials: Collection[int], names: Collection[str]) -> set[int]:
        """Returns the trials that have written one of some files that the other side lacks."""
        places = ((n, trial_folder(self._folder, n) / name) for n in trials for name in names)
        return {n for n, path in places if path.is_file() and not self._knows(path)}

    def pack(self, trials: Collection[int]) -> Files:
        """Returns the files of trials that the other side lacks, and those that it has but are
        gone."""
        found: dict[str, bytes | None] = {}
        roots = [trial_folder(Path(), number) for number in trials]
        for key in [*self._known]:
            is_theirs = any(Path(key).is_relative_to(root) for root in roots)
            if is_theirs and not (self._folder / key).exists():
                del self._known[key]
                found[key] = None
        for path in self._of(trials):
            try:
                version, content = _version(path), path.read_bytes()
            except OSError:  # it was deleted meanwhile
                continue
            key = self._key(path)
            if self._known.get(key) != version:
                self._known[key] = version
                found[key] = content
        return found

    def _knows(self, path: Path) -> bool:
        return self._known.get(self._key(path)) == _version(path)

    def _key(self, path: Path) -> str:
        return str(path.relative_to(self._folder))

    def unpack(self, files: Files, trials: Collection[int]) -> None:
        """Writes files of the other side, each whole or not at all. Raises RunnerError for one that
        belongs to none of some trials."""
        roots = [trial_folder(Path(), number) for number in trials]
        for key, content in files.items():
            place = Path(key)
            if ".." in place.parts or not any(place.is_relative_to(root) for root in roots):
                raise RunnerError(f"A worker sent the file {key!r}, which is none of its trials'.")
            path = self._folder / place
            if content is None:
                path.unlink(missing_ok=True)
                self._known.pop(key, None)
                continue
            write_whole(path, content)
            self._known[key] = _version(path)

    def delete(self, trials: Collection[int]) -> None:
        """Deletes the files of trials here."""
        for number in trials:
            shutil.rmtree(trial_folder(self._folder, number), ignore_errors=True)

    def _of(self, trials: Collection[int]) -> Iterator[Path]:
        for number in sorted(trials):
            for parent, _, names in os.walk(trial_folder(self._folder, number)):
                for name in sorted(names):
                    path = Path(parent, name)
                    if _is_whole(path):
                        yield path


def _version(path: Path) -> tuple[int, ...]:
    """Returns what changes when a file is written again."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_whole(path: Path) -> bool:
    """Returns whether a path is a file that is not being written, and not the output of a trial
    that has printed nothing so far."""
    if path.suffix == PARTIAL or path.is_symlink() or not path.is_file():
        return False
    return path.name != OUTPUT or path.stat().st_size > 0
