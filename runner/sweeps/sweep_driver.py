"""The driver of a sweep: the one process that decides which members run."""

import random
from collections.abc import Sequence
from typing import final

from filelock import FileLock

from runner.config.secrets import key_of
from runner.database import has_events
from runner.display.format import cut
from runner.errors import ConfigError, RunFailed, shown
from runner.held_lock import InUse, acquire
from runner.resume import folder_override
from runner.run_folder import check_links
from runner.store import writer
from runner.sweeps.command_line import AskedSweep, fixed
from runner.sweeps.sweep_folder import MemberRecord, SweepFolder

LOCK, HOLDER = "sweep.lock", "holder.json"
LONG = 500  # characters of overrides in a message
LABEL = 160  # characters of the overrides by which a member is named


@final
class SweepDriver:
    """What is known of a sweep while its driver runs. Holds the lock of its folder until closed."""

    def __init__(
        self, folder: SweepFolder, asked: AskedSweep, swept: Sequence[str], *, searches: bool
    ) -> None:
        """Begins a sweep, or goes on with one. `swept` are the keys in which its members differ,
        and `searches` is whether these are the trials of one search. Raises ConfigError if the
        folder has another sweep, or if another process runs this one."""
        self.folder = folder
        self.searches = searches
        self._swept = frozenset(swept)
        self._planned: dict[int, None] = {}
        self._is_new = not asked.resumes
        check_links(folder.path)
        if self._is_new and folder.holds_sweep():
            raise ConfigError(
                f"The folder {folder.path} holds a sweep already; go on with it by "
                f"{folder.resume}, or choose another hydra.sweep.dir."
            )
        folder.place.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        try:
            if self._is_new:
                folder.begin(asked.request)
            else:
                self._check_alone()
                self._try_again()
        except BaseException:
            self._lock.release()
            raise
        random.seed(asked.request.shuffle)  # which Hydra's `shuffle` uses

    def plan(self, numbers: Sequence[int], overrides: Sequence[Sequence[str]]) -> None:
        """Notes members that are going to run. Raises RunFailed if the sweep had others there."""
        for number, given in zip(numbers, overrides, strict=True):
            known = self.folder.member(number)
            if known is None:
                label = self._label(given)
                self.folder.write(MemberRecord(number=number, overrides=[*given], label=label))
            elif fixed(known.overrides) != fixed(given):
                raise RunFailed(
                    f"Member {number} of the sweep in {self.folder.path} was "
                    f"{shown(known.overrides, LONG)}, and would now be {shown([*given], LONG)}; "
                    "go on with the runner and the config that began it."
                )
            self._planned[number] = None

    def member(self, number: int) -> MemberRecord:
        """Returns a member that was planned. Raises RunFailed if its file is gone."""
        found = self.folder.member(number)
        if found is None:
            raise RunFailed(f"The file of member {number} in {self.folder.place} is gone.")
        return found

    @property
    def members(self) -> Sequence[MemberRecord]:
        """The members that were planned so far, by number."""
        return [self.member(number) for number in sorted(self._planned)]

    def overrides_of(self, number: int, given: Sequence[str]) -> list[str]:
        """Returns the overrides with which a member runs: of one that was cut, it goes on. Raises
        ConfigError if that still runs."""
        run = self.folder.run_of(self.member(number))
        if run is None:
            return [*given]
        place = run.relative_to(self.folder.path.resolve())
        resumed = [folder_override(run)] if has_events(run) else []
        return [*given, folder_override(place, "hydra.sweep.subdir"), *resumed]

    def close(self) -> None:
        """Releases the folder. Forgets a new sweep that has no member. May be called twice."""
        if not self._lock.is_locked:
            return
        try:
            if self._is_new and not self._planned:
                self.folder.forget()
            else:
                (self.folder.place / HOLDER).unlink(missing_ok=True)
        finally:
            self._lock.release()

    def _locked(self) -> FileLock:
        try:
            return acquire(self.folder.place / LOCK, self.folder.place / HOLDER)
        except InUse as other:
            raise ConfigError(
                f"The sweep in {self.folder.path} is still being run{other}; wait for it, or stop "
                "that process."
            ) from None

    def _check_alone(self) -> None:
        """Raises ConfigError if a process still runs a member, as a launcher's may when the driver
        is gone."""
        for member in self.folder.members():
            run = self.folder.run_of(member)
            if not member.is_over and run is not None and (who := writer(run)):
                raise ConfigError(
                    f"{member.title} of the sweep in {self.folder.path} is still being run{who}; "
                    "wait for it, or stop that process."
                )

    def _try_again(self) -> None:
        """Lets members that were bad input, or whose process was killed, run again: that may have
        been mended. Of a search, those after which no other kind of result was told to the sampler:
        what it proposes depends on all results before."""
        for member in reversed([*self.folder.members()]):
            run = self.folder.run_of(member)
            if not member.may_be_mended:
                if self.searches:
                    return
            elif self.searches and (run is None or not has_events(run)):
                self.folder.forget_member(member.number)  # another one may be proposed
            else:
                self.folder.write(member.again())
                if self.searches:
                    return

    def _label(self, overrides: Sequence[str]) -> str:
        own = [text.lstrip("+") for text in overrides if key_of(text) in self._swept]
        return cut(", ".join(own), LABEL)
