"""Any launcher of Hydra's, which is given only those members of a sweep that are still to run."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from runner.config.composition_errors import as_config_error
from runner.config.hydra_guard import swept_keys
from runner.display import progress
from runner.errors import ConfigError, RunFailed, RunnerError, one_line
from runner.sweeps.claimed_folder import claim_folder
from runner.sweeps.command_line import AskedSweep
from runner.sweeps.dead_process import exit_code, how_it_died
from runner.sweeps.member_news import MemberNews
from runner.sweeps.sweep_driver import SweepDriver
from runner.sweeps.sweep_folder import MemberRecord, SweepFolder
from runner.sweeps.sweep_member import SweepMember, show_failure, this_process

BY_NUMBER = "${hydra.job.num}"  # the folder of a member, unless a user names it otherwise
IN_DRIVER = "hydra._internal.core_plugins.basic_launcher"  # it starts no processes
SEARCHER = "hydra_plugins.runner_optuna.RunnerOptunaSweeper"
FILES = "hydra.launcher.submitit_folder"
Members = Mapping[int, Sequence[str]]  # the overrides of each, by number
OFTEN = 0.3  # seconds between two looks at the members that other processes run


@final
class RecordedLauncher(Launcher):
    """A launcher around another one. Members that ended are not launched again: their recorded
    results are returned, so that a sweeper decides as it did before."""

    def __init__(
        self, inner: Launcher, driver: SweepDriver, context: HydraContext, config: DictConfig
    ) -> None:
        self.driver = driver
        self._inner = inner
        self._in_driver = type(inner).__module__ == IN_DRIVER
        self._loader = context.config_loader
        self._config = config
        self._places: dict[str, int] = {}  # the folder of each member, where users name them

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Does nothing: the launcher inside is set up already."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Runs those of the members that are not over. Raises RunnerError if that is impossible, or
        if the launcher fails."""
        numbers = range(initial_job_idx, initial_job_idx + len(job_overrides))
        given = dict(zip(numbers, job_overrides, strict=True))
        refused = self._refused(given)
        self._check_places({n: given[n] for n in numbers if n not in refused})
        self.driver.plan(numbers, job_overrides)
        left = {n: given[n] for n in numbers if not self.driver.member(n).is_over}
        with self._told([*left]):
            for number, why in refused.items():
                self._fail(number, str(why), why.exit_code)
            self._run({n: left[n] for n in left if n not in refused})
        return [_returned(self.driver.member(number)) for number in numbers]

    def _refused(self, given: Members) -> dict[int, ConfigError]:
        """Returns why members that are still to run have no config, of those that have none."""
        refused: dict[int, ConfigError] = {}
        for number, overrides in given.items():
            known = self.driver.folder.member(number)
            if known is not None and known.is_over:
                continue
            try:
                self._loader.load_sweep_config(self._config, [*overrides])
            except Exception as error:
                why = as_config_error(error, overrides)
                if why is None:
                    raise
                refused[number] = why
        return refused

    def _run(self, given: Members) -> None:
        """Runs members, also those after one whose process died."""
        for group in _consecutive([*given]):
            part = {number: given[number] for number in group}
            try:
                self._launch(part)
            except BrokenExecutor as error:
                self._go_on(part, error)

    def _go_on(self, given: Members, error: BrokenExecutor) -> None:
        """Goes on after a process of the launcher died, with which it ends all others. Members that
        were running go on one at a time, so that one whose process dies again is known, and failed;
        then the others run. Raises RunFailed if none had begun."""
        begun = [number for number in given if self.driver.member(number).state == "running"]
        if not begun:
            raise self._failure(error) from error
        which = f"member{'s' if len(begun) > 1 else ''} {', '.join(map(str, begun))}"
        progress.note(
            f"A process of the launcher {how_it_died(error)}. It ends the others with it; {which} "
            "will go on, one at a time."
        )
        for number in begun:
            try:
                self._launch({number: given[number]})
            except BrokenExecutor as again:
                self._fail(number, f"Its process {how_it_died(again)}, twice.", exit_code(again))
        self._run({n: given[n] for n in given if not self.driver.member(n).is_over})

    def _launch(self, given: Members) -> None:
        overrides = [self.driver.overrides_of(number, given[number]) for number in given]
        try:
            with self._private():
                returned = self._inner.launch(overrides, min(given))
        except (RunnerError, HydraException, OmegaConfBaseException, BrokenExecutor):
            raise
        except Exception as error:
            raise self._failure(error) from error
        for number, one in zip(given, returned, strict=True):
            if not self.driver.member(number).is_over:  # what calls it failed
                why = one_line(one._return_value) if one.status == JobStatus.FAILED else "no word"
                self._fail(number, why, RunFailed.exit_code)

    def _fail(self, number: int, why: str, code: int) -> None:
        failed = self.driver.member(number).failed(why, code)
        self.driver.folder.write(failed)
        if self._in_driver:  # else it is told with what other processes do
            show_failure(failed)

    def _failure(self, error: Exception) -> RunFailed:
        return RunFailed(
            f"The launcher failed: {one_line(error)}. Once that is mended, go on by "
            f"{self.driver.folder.resume}."
        )

    @contextmanager
    def _private(self) -> Iterator[None]:
        """Keeps files in which a launcher sends members to its processes, which may have secrets,
        from the eyes of others, and removes them once the members are over."""
        name = OmegaConf.select(self._config, FILES, throw_on_resolution_failure=False)
        if not isinstance(name, str):
            yield
            return
        folder = Path(name).parent
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        try:
            yield
        finally:
            for path in folder.rglob("*_submitted.pkl"):
                path.unlink(missing_ok=True)

    @contextmanager
    def _told(self, numbers: Sequence[int]) -> Iterator[None]:
        """Tells of members that other processes run, when they begin and when they end."""
        if self._in_driver:
            yield
            return
        news = MemberNews(self.driver, numbers)
        over = threading.Event()

        def watch() -> None:
            while not over.wait(OFTEN):
                news.tell()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            news.tell()

    def _check_places(self, given: Members) -> None:
        """Raises ConfigError if two members would have one folder."""
        plain: Any = OmegaConf.to_container(self._config.hydra.sweep)
        if plain["subdir"] == BY_NUMBER:
            return
        for number, overrides in given.items():
            config = self._loader.load_sweep_config(self._config, [*overrides])
            with open_dict(config):
                config.hydra.job.num = number
            try:
                place = str(Path(config.hydra.sweep.subdir))
            except OmegaConfBaseException:  # it depends on what a launcher sets
                continue
            if Path(place).is_absolute() or ".." in Path(place).parts:
                raise ConfigError(
                    f"hydra.sweep.subdir is {place!r} for member {number}; it must be a folder "
                    "below that of the sweep."
                )
            other = self._places.setdefault(place, number)
            if other != number:
                raise ConfigError(
                    f"hydra.sweep.subdir is {place!r} for members {other} and {number}; each "
                    f"needs a folder of its own, such as {BY_NUMBER}."
                )


@contextmanager
def recorded(
    asked: AskedSweep, wants_traceback: bool, stops: Callable[[], Sequence[int]]
) -> Iterator[list[SweepDriver]]:
    """Makes Hydra's launchers recorded ones within the block. Yields a list that will have the
    sweep, if one begins. `stops` are the signals by which the user stopped this process."""
    plugins: Any = Plugins
    sweepers: Any = Sweeper
    before, validate = plugins.instantiate_launcher, sweepers.validate_batch_is_legal
    begun: list[SweepDriver] = []

    def instantiate(
        self: Plugins, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> Launcher:
        claim_folder(config)
        folder = SweepFolder(Path(config.hydra.sweep.dir).absolute())
        member = SweepMember(folder, this_process(), wants_traceback, stops)
        inner = before(self, hydra_context, member, config)
        searches = str(config.hydra.sweeper.get("_target_")) == SEARCHER
        driver = SweepDriver(folder, asked, swept_keys(config), searches=searches)
        begun.append(driver)
        return RecordedLauncher(inner, driver, hydra_context, config)

    plugins.instantiate_launcher = instantiate
    sweepers.validate_batch_is_legal = lambda *_: None  # a member without a config fails alone
    try:
        yield begun
    except KeyboardInterrupt:
        for driver in begun:
            progress.note(f"To go on with the sweep: {driver.folder.resume}")
        raise
    finally:
        plugins.instantiate_launcher = before
        sweepers.validate_batch_is_legal = validate
        for driver in begun:
            driver.close()


def _consecutive(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yields runs of consecutive numbers: a launcher is told only the first one."""
    group: list[int] = []
    for number in numbers:
        if group and number != group[-1] + 1:
            yield group
            group = []
        group.append(number)
    if group:
        yield group


def _returned(member: MemberRecord) -> JobReturn:
    """Returns what a launcher would for a member that is over."""
    found = JobReturn(overrides=member.overrides, status=JobStatus.COMPLETED)
    found.return_value = float("nan") if member.value is None else member.value
    return found
