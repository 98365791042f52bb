"""`python -m runner`: composes the config, and runs its task. Hydra's main must be in this file."""

import atexit
import contextlib
import gc
import io
import logging
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.display import silence

try:
    with silence.loading():
        import hydra
        from hydra.core.hydra_config import HydraConfig
        from omegaconf import DictConfig, OmegaConf

        from runner import launch
        from runner.config import compose
        from runner.config.composition_errors import as_config_error
        from runner.config.flags import asks_for_help, check_flags
        from runner.config.hidden_secrets import learn_overrides
        from runner.config.hydra_folder import hydra_folder
        from runner.config.hydra_guard import guarded
        from runner.config.settings import conf_folder
        from runner.display import progress
        from runner.errors import ConfigError, Interrupted, RunFailed, RunnerError
        from runner.masking import masker
        from runner.stops import noting_stops, stops
        from runner.sweeps import command_line
        from runner.sweeps.recorded_launcher import recorded
except KeyboardInterrupt:  # all this takes a moment
    sys.stderr.write("Stopped.\n")
    sys.exit(130)

if TYPE_CHECKING:
    from runner.sweeps.sweep_driver import SweepDriver

launch.register_resolvers()
exit_code = ContextVar("exit_code", default=0)  # the worst of the runs so far
wants_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"
SELDOM = 100  # collections of young objects before one of all; imports make many, and no garbage


@hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
def app(config: DictConfig) -> float:
    """Runs one config; those of a sweep are run by `SweepMember`."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    overrides: Any = OmegaConf.to_container(hydra_config.overrides.task)  # not interpolated
    try:
        value = launch.execute(config, overrides, folder)
    except RunnerError as error:
        if stopped := stops():  # a library that was interrupted may be of no use from then on
            raise Interrupted(stopped[0]) from error
        progress.fail(str(error))
        if wants_traceback:
            raise
        _end_with(error.exit_code)
        return math.nan
    finally:
        launch.leave_no_trace(folder, hydra_config.output_subdir, hydra_config.job.name)
    if value is None:
        return math.nan
    if math.isnan(value):
        _end_with(RunFailed.exit_code)
    return value


def _end_sweep(sweep: "SweepDriver") -> None:
    """Shows the members of a sweep beside each other. It fails if one of them did; it is bad input
    if nothing was run."""
    from runner.sweeps.sweep_table import best_member
    from runner.tasks.compare import show_sweep

    members = sweep.members
    failed = [member for member in members if member.state == "failed"]
    if failed:
        all_bad = {member.code for member in members} == {ConfigError.exit_code}
        _end_with(ConfigError.exit_code if all_bad else RunFailed.exit_code)
    _show_members(sweep)
    if sweep.searches and (found := best_member(members)):
        progress.note(found)
    elif len(failed) < len(members) and sweep.folder.path.is_dir():
        show_sweep(sweep.folder.path)


def _show_members(sweep: "SweepDriver") -> None:
    from runner.sweeps.sweep_table import sweep_table

    members = sweep.members
    if len(members) > 1 or any(member.state == "failed" for member in members):
        progress.show(sweep_table(members))


def _end_with(code: int) -> None:
    exit_code.set(max(exit_code.get(), code))


@contextlib.contextmanager
def _wrapping_help() -> Iterator[None]:
    """Shows what `--help` says on a terminal without lines that are broken within words."""
    if not asks_for_help(sys.argv[1:]) or not sys.stdout.isatty():
        yield
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        progress.show_wrapped(said.getvalue())


@contextlib.contextmanager
def _masking_config() -> Iterator[None]:
    """Masks secrets in what `--cfg` and `--info` show, also of what `--resolve` resolves."""
    if not any(word.startswith(("--cfg", "-c", "--info", "-i")) for word in sys.argv[1:]):
        yield
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            yield
    finally:
        sys.stdout.write(masker.clean(said.getvalue()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program. Exits with 0, 1 (the run failed), 2 (bad input) or 130 (Ctrl-C)."""
    gc.set_threshold(*gc.get_threshold()[:2], SELDOM)
    atexit.register(gc.freeze)  # else the interpreter looks through all of torch before it ends
    sys.argv[1:] = launch.freed_for_run(sys.argv[1:] if arguments is None else arguments)
    learn_overrides(sys.argv[1:])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra's errors are raised here
    hydra_folder.set(None)
    if not silence.young(silence.age()):
        silence.spoken.end()
    exit_code.set(0)  # of an earlier call in this process
    with noting_stops():
        _run()
    sys.exit(exit_code.get())


def _run() -> None:
    """Runs the program; exits if it is stopped, or fails as a whole."""
    try:
        check_flags(sys.argv[1:])
        compose.check_folders(sys.argv[1:])
        wanted = command_line.asked(sys.argv[1:])
        sys.argv[1:] = wanted.arguments
        record = recorded(wanted, wants_traceback, stops)
        with guarded(), record as sweeps, _wrapping_help(), _masking_config():
            try:
                app()
            except Exception:  # of a launcher, say: the members are as they are
                for sweep in () if stops() else sweeps:
                    _show_members(sweep)
                raise
            for sweep in sweeps:
                _end_sweep(sweep)
    except KeyboardInterrupt as stop:
        if not getattr(stop, "told", False):
            progress.stopped()
            atexit.register(logging.disable)  # torch, cut while it is imported, logs at its exit
        sys.exit(getattr(stop, "exit_code", 130))
    except BrokenPipeError:  # the reader of our output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if stops():
            progress.stopped()
            sys.exit(130)
        known = error if isinstance(error, RunnerError) else as_config_error(error, sys.argv[1:])
        if wants_traceback or known is None:
            raise
        progress.fail(str(known))
        sys.exit(known.exit_code)
    finally:
        if written := hydra_folder.get():
            written.leave_no_trace()


if __name__ == "__main__":
    main()
