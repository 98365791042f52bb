"""What the folder of a sweep says of it: what was asked for, and how each member ended.

All of it lies in `.sweep`, in files that are written whole or not at all. A member has one writer
at a time: the driver of the sweep, and then the process that runs the member.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar, final

from pydantic import BaseModel, Field, ValidationError

from runner.config.settings import Strict
from runner.display import format as text
from runner.errors import ConfigError, RunFailed
from runner.masking import masker
from runner.resume import resume_override
from runner.signature import KeyUnusable, doubt, sign
from runner.whole_files import whole

PLACE = ".sweep"  # in the folder of the sweep
REQUEST = "sweep.json"
Model = TypeVar("Model", bound=BaseModel)


@final
class SweepRequest(Strict):
    """What a sweep was asked for."""

    version: Literal[1] = 1
    name: str  # random; the signature contains it
    arguments: list[str]  # of the command line
    shuffle: int  # the seed of Hydra's `shuffle`
    signature: str | None = None  # by this user's key

    def signed(self) -> "SweepRequest":
        """Returns the request with this user's signature; without one if there is no key."""
        with suppress(KeyUnusable):
            return self.model_copy(update={"signature": sign(self.name, self._content())})
        return self

    @property
    def doubt(self) -> str:
        """Why this user is not known to have made it; empty if the signature is this user's."""
        return doubt(self.name, self._content(), self.signature)

    def _content(self) -> dict[str, object]:
        return {"sweep": self.arguments, "shuffle": self.shuffle}


@final
class MemberRecord(Strict):
    """One member of a sweep, and how it ended, if it has."""

    number: Annotated[int, Field(ge=0)]
    overrides: list[str]
    label: str  # the overrides that are its own
    state: Literal["waiting", "running", "ended", "failed"] = "waiting"
    folder: str | None = None  # of its run, below that of the sweep; None before it began
    value: float | None = None  # the best one of the objective; None without one
    scores: list[float] = Field(
        default_factory=list
    )  # of its best trial: one per objective, and more is better
    why: str = ""  # it failed
    code: int = 0  # the exit code that it would have had alone

    @property
    def is_over(self) -> bool:
        return self.state in ("ended", "failed")

    @property
    def may_be_mended(self) -> bool:
        """Whether it failed for bad input, or since its process was killed, and not by itself."""
        return self.state == "failed" and self.code != RunFailed.exit_code

    @property
    def title(self) -> str:
        return f"Member {self.number}" + (f" ({text.clean(self.label)})" if self.label else "")

    def again(self) -> "MemberRecord":
        """Returns the record of this member before it is run again."""
        return self.model_copy(update={"state": "waiting", "why": "", "code": 0})

    def failed(self, why: str, code: int) -> "MemberRecord":
        """Returns the record of this member after it failed."""
        return self.model_copy(update={"state": "failed", "why": why, "code": code})

    def ended(self, value: float | None, scores: Sequence[float]) -> "MemberRecord":
        """Returns the record of this member after it ended."""
        kept = value if value is not None and math.isfinite(value) else None
        return self.model_copy(update={"state": "ended", "value": kept, "scores": [*scores]})


@final
@dataclass(frozen=True)
class SweepFolder:
    """The files about a sweep in its folder."""

    path: Path

    @property
    def place(self) -> Path:
        """Where the files about the sweep lie."""
        return self.path / PLACE

    @property
    def resume(self) -> str:
        """The command that goes on with the sweep."""
        return f"python -m runner -m {resume_override(text.near(self.path), 'sweep.resume')}"

    def holds_sweep(self) -> bool:
        return (self.place / REQUEST).is_file()

    def request(self) -> SweepRequest:
        """Returns what the sweep was asked for. Raises ConfigError if there is no sweep, and
        RunFailed if its file cannot be used."""
        if not self.holds_sweep():
            raise ConfigError(
                f"There is no sweep in {str(self.path)!r}: it has no {PLACE}/{REQUEST}."
            )
        return _read(self.place / REQUEST, SweepRequest)

    def begin(self, request: SweepRequest) -> None:
        """Writes down what the sweep was asked for."""
        self.place.mkdir(parents=True, exist_ok=True)
        _write(self.place / REQUEST, request)

    def write(self, member: MemberRecord) -> None:
        """Writes down how far a member is."""
        _write(
            self._file(member.number), member.model_copy(update={"why": masker.clean(member.why)})
        )

    def member(self, number: int) -> MemberRecord | None:
        """Returns a member; None if nothing is known of it. Raises RunFailed if its file cannot be
        used."""
        path = self._file(number)
        if not path.is_file():
            return None
        found = _read(path, MemberRecord)
        if found.number != number:
            raise RunFailed(f"{path} is about member {found.number}; it must be about {number}.")
        return found

    def members(self) -> Iterator[MemberRecord]:
        """Yields the members of which something is known, by number."""
        numbers = sorted(int(p.stem) for p in self.place.glob("*.json") if p.stem.isdecimal())
        yield from (one for number in numbers if (one := self.member(number)) is not None)

    def run_of(self, member: MemberRecord) -> Path | None:
        """Returns the folder of the run of a member; None before it began. Raises RunFailed if it
        is not below that of the sweep."""
        if member.folder is None:
            return None
        found = (self.path / member.folder).resolve()
        if not found.is_relative_to(self.path.resolve()):
            raise RunFailed(
                f"{self._file(member.number)} names the folder {member.folder!r}; it must be "
                f"below {self.path}."
            )
        return found

    def output(self, number: int) -> Path:
        """Returns the file for the output of a member that another process runs."""
        return self.place / f"{number}.txt"

    def forget_member(self, number: int) -> None:
        """Deletes what is said of a member."""
        self._file(number).unlink(missing_ok=True)

    def forget(self) -> None:
        """Deletes the files about the sweep."""
        for path in [*self.place.glob("*")]:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # missing, or with files that are not ours
            self.place.rmdir()

    def _file(self, number: int) -> Path:
        return self.place / f"{number}.json"


def _write(path: Path, content: BaseModel) -> None:
    """Writes a file as a whole, or not at all."""
    with whole(path) as new, new.open("w", encoding="utf-8") as file:
        json.dump(content.model_dump(), file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, kind: type[Model]) -> Model:
    try:
        return kind.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "it"
        raise RunFailed(f"{path} cannot be used: {where:.60}: {problem['msg']:.200}.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFailed(f"{path} cannot be read: {type(error).__name__}.") from None
