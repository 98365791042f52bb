"""Jobs of a batch system: pilots that are submitted through submitit, how they fare, and their end.

See https://github.com/facebookincubator/submitit.
"""

import contextlib
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, final

from runner.errors import ConfigError, RunnerError, as_yaml, require
from runner.training.devices import allotted, check_count
from runner.training.pilot import Pilot

EXTRA = 'pip install "nas-runner[slurm]"'
COMMANDS = ("sbatch", "squeue", "scancel", "srun", "scontrol")
ANSWER = 20.0  # seconds that Slurm may take to answer a question
CANCEL = 2.0  # seconds that it may take to cancel jobs
CLOSING = 2.0  # seconds in which pilots of this machine end by themselves
LOOK = 0.03  # seconds between two looks at their jobs
NOTICE = 90.0  # seconds before its end that a job is told of it, at most
TIMES_OVER = 1_000_000  # how often a job may be requeued at the end of its time
WORDED, OPTION = re.compile(r"[\w.,:@%+=/-]+"), re.compile(r"[a-z][a-z-]*")
OURS = {"array", "error", "input", "open-mode", "output", "signal", "nodes", "ntasks", "wrap"}
QUIET = {"SUBMITIT_LOG_LEVEL": "NOCONFIG"}  # the library would configure logging


@final
class NotSubmitted(RunnerError):
    """A batch system does not take jobs."""


@final
@dataclass(frozen=True)
class Request:
    """What each job asks for."""

    minutes: int
    idle_minutes: float  # without a driver, after which it ends
    partition: str | None = None
    account: str | None = None
    gpus: int = 0
    cpus: int = 1
    memory: float | None = None  # GB
    setup: Sequence[str] = ()  # lines of shell
    extra: Mapping[str, Any] | None = None  # options of sbatch

    @property
    def notice(self) -> float:
        """The seconds before its end that it is told of it."""
        return min(NOTICE, 15.0 * self.minutes)


@final
class PilotJob:
    """What submitit calls on a node, and asks what to call when the job is requeued."""

    def __init__(self, post: str, request: Request) -> None:
        self._post, self._request = post, request

    def __call__(self) -> None:
        request = self._request
        idle, seconds = 60.0 * request.idle_minutes, 60.0 * request.minutes
        Pilot(Path(self._post), seconds, request.notice, idle).run()

    def checkpoint(self) -> Any:
        """Returns what to call next time: the same. The worker has ended already."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class BatchQueue(ABC):
    """A batch system as this user's jobs see it."""

    def __init__(self, executor: Any, environment: Mapping[str, str]) -> None:
        self._executor, self._environment = executor, environment

    def submit(self, posts: Sequence[Path], request: Request) -> list[str]:
        """Submits a pilot for each of some folders, as an array. Returns their job ids. Raises
        NotSubmitted, in one line, with what the batch system said."""
        submitit = _imported()
        said = io.StringIO()
        try:
            with (
                contextlib.redirect_stderr(said),
                _environment({**_outside_jobs(), **self._environment}),
            ):
                jobs = self._executor.submit_array([PilotJob(str(p), request) for p in posts])
        except (submitit.core.utils.FailedJobError, OSError, RuntimeError) as error:
            text = said.getvalue() or str(error)
            raise NotSubmitted(" ".join(text.split())) from error
        return self._added(jobs)

    def _added(self, jobs: Sequence[Any]) -> list[str]:
        return [job.job_id for job in jobs]

    @abstractmethod
    def states(self) -> Mapping[str, str] | None:
        """Returns the jobs that have not ended, with what each is doing and why; None if that is
        unknown now."""

    @abstractmethod
    def cancel(self, ids: Sequence[str]) -> None:
        """Cancels jobs."""

    def close(self, ids: Sequence[str]) -> None:
        """Cancels jobs whose pilots were told to end before."""
        self.cancel(ids)


@final
class SlurmQueue(BatchQueue):
    """Slurm, https://slurm.schedmd.com."""

    def __init__(self, folder: Path, request: Request) -> None:
        """Logs go to a folder. Raises ConfigError if this machine cannot submit jobs."""
        missing = [name for name in COMMANDS if shutil.which(name) is None]
        if missing:
            raise ConfigError(
                f"training=slurm needs Slurm's command {missing[0]}, which is not on the PATH of "
                "this machine; start the run on a login node of the cluster, or try "
                "training.cluster=local."
            )
        executor = _imported().SlurmExecutor(folder, max_num_timeout=TIMES_OVER)
        executor.update_parameters(**_options(request))
        super().__init__(executor, {})

    def states(self) -> Mapping[str, str] | None:
        command = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", "--format=%i|%T|%r"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        lines = (line.strip().split("|") for line in done.stdout.splitlines())
        return {line[0]: f"{line[1]}, {line[2]}" for line in lines if len(line) == 3}

    def cancel(self, ids: Sequence[str]) -> None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if ids:
                subprocess.run(["scancel", *ids], capture_output=True, timeout=CANCEL)


@final
class LocalQueue(BatchQueue):
    """Jobs that are processes of this machine, with all else as on a cluster."""

    def __init__(self, folder: Path, request: Request) -> None:
        executor = _imported().LocalExecutor(folder, max_num_timeout=TIMES_OVER)
        executor.update_parameters(
            timeout_min=request.minutes, signal_delay_s=int(request.notice),
            gpus_per_node=request.gpus, setup=[*request.setup],
        )  # fmt: skip
        executor._throttling = 0.0
        super().__init__(executor, {"PYTHONPATH": _with_package()})
        self._jobs: dict[str, Any] = {}  # those of this process

    def _added(self, jobs: Sequence[Any]) -> list[str]:
        self._jobs |= {job.job_id: job for job in jobs}
        return super()._added(jobs)

    def states(self) -> Mapping[str, str]:
        found = {place.name: "RUNNING, None" for place in Path("/proc").glob("[0-9]*")}
        over = [number for number, job in self._jobs.items() if job.done()]
        return {number: state for number, state in found.items() if number not in over}

    def cancel(self, ids: Sequence[str]) -> None:
        for number in ids:
            if number in self._jobs and not self._jobs[number].done():
                self._jobs[number].cancel()

    def close(self, ids: Sequence[str]) -> None:
        """Lets pilots end by themselves, and then ends those that have not."""
        if not self._wait(ids, CLOSING):
            self.cancel([*self._jobs])
            self._wait([], CANCEL)
        for number, job in self._jobs.items():
            if not job.done():  # and was not waited for, so no other process has its number
                os.kill(int(number), signal.SIGKILL)
        self._wait([], CLOSING)
        self._jobs.clear()  # while the library can still forget them: not as the interpreter ends

    def _wait(self, ids: Sequence[str], seconds: float) -> bool:
        """Waits for the end of jobs, and of those of this process. Returns whether they ended."""
        deadline = time.monotonic() + seconds
        while not {*ids, *self._jobs}.isdisjoint(self.states()):
            if time.monotonic() > deadline:
                return False
            time.sleep(LOOK)
        return True


def _options(request: Request) -> dict[str, Any]:
    """Returns the parameters of submitit's executor for Slurm."""
    srun = [f"--cpus-per-task={request.cpus}"]  # which it does not inherit since Slurm 22.05
    options: dict[str, Any] = {
        "job_name": "runner", "time": request.minutes, "signal_delay_s": int(request.notice),
        "cpus_per_task": request.cpus, "wckey": None, "srun_args": srun,
        "setup": [f"export PYTHONPATH={shlex.quote(_with_package())}", *request.setup],
        "additional_parameters": {"requeue": True, **(request.extra or {})},
    }  # fmt: skip
    if request.gpus:
        options["gpus_per_node"] = request.gpus
    if request.memory is not None:
        options["mem"] = f"{int(1024 * request.memory)}M"
    for name in ("partition", "account"):
        if (value := getattr(request, name)) is not None:
            options[name] = value
    return options


def _with_package() -> str:
    """Returns the search path by which a node finds this package, wherever it is installed."""
    home = str(Path(__file__).resolve().parents[2])
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join([home, *(path for path in others if path)])


def _outside_jobs() -> dict[str, str | None]:
    """Returns what to unset so that a driver that is a job itself does not pass on what its own job
    asked for. Where Slurm's configuration is, and the user's defaults for sbatch, stay."""
    ours = ("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")
    names = [name for name in os.environ if name.startswith(ours) and name != "SLURM_CONF"]
    return dict.fromkeys(names)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Sets variables of the environment for a while; None: unsets them."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _imported() -> ModuleType:
    """Returns the module `submitit`. Raises ConfigError if it is not installed."""
    try:
        with _environment(QUIET):
            import submitit
    except ImportError as error:
        raise ConfigError(f"training=slurm needs submitit ({error}): {EXTRA}") from error
    module: ModuleType = submitit
    return module


def devices_of(device: str, gpus: int, per_trial: int) -> list[str]:
    """Returns the devices of a worker. Raises ConfigError for what its job has not."""
    if device not in ("auto", "cpu"):
        raise ConfigError(
            f"training.device is {as_yaml(device)}; on Slurm, it is auto or cpu, and auto is a GPU "
            "if each job asks for one: training.gpus=1."
        )
    return allotted((device == "auto" and gpus) or None, per_trial, "training.gpus", "a job")


def check_request(
    request: Request, workers: int, trials: int | None, threads: int, folder: Path
) -> None:
    """Raises ConfigError for what cannot be asked for."""
    check_count("workers", workers)
    check_count("threads", threads)
    check_count("time", request.minutes)
    check_count("cpus", request.cpus)
    check_count("gpus", request.gpus, least=0)
    if trials is not None:
        check_count("trials_per_job", trials)
    for name, value in (("memory", request.memory), ("idle_minutes", request.idle_minutes)):
        fits = value is None or (isinstance(value, int | float) and 0 < value < float("inf"))
        require(fits, f"training.{name}", value, "a number above 0")
    for name in ("partition", "account"):
        value = getattr(request, name)
        fits = value is None or bool(WORDED.fullmatch(str(value)))
        require(fits, f"training.{name}", value, "a name")
    for key, value in (request.extra or {}).items():
        fits = bool(OPTION.fullmatch(str(key))) and str(key) not in OURS
        rule = "an option of sbatch as qos or mail-type, which runner does not set itself"
        require(fits, "training.extra", {key: value}, rule)
        fits = isinstance(value, str | int | float) and str(value).isprintable()
        require(fits, f"training.extra.{key}", value, "one line of text, a number, or true")
    if "%" in str(folder.resolve()):
        raise ConfigError(f"Slurm cannot use {folder}, since its path contains '%'.")
