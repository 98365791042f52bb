"""The program as its users run it: what it says, its exit codes, and what it leaves behind."""

import contextlib
import gc
import io
import json
import os
import pty
import random
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import rich
from among import run_kinds
from rich.console import Console

from runner import __main__ as program
from runner.errors import ConfigError
from runner.store import RECORD, read

ROOT = Path(__file__).parents[1]
SOAK = "RUNNER_SOAK" in os.environ
LONG = 120.0  # seconds nothing here should ever take
TOY = ["trust=[toy]", "space._target_=toy.Net", "evaluator._target_=toy.Arithmetic",
       "evaluator.epochs=2", "evaluator.lr=0.5", "+evaluator.sleep=0.0",
       "data._target_=toy.Nothing", "data.shape=[1]", "data.classes=2",
       "training.device=cpu"]  # fmt: skip
INLINE = [*TOY, "training=inline", "strategy=random"]
LOCAL = [*TOY, "training.workers=1"]
STRATEGIES = {
    "random": ["strategy=random"],
    "grid": ["strategy=grid"],
    "evolution": ["strategy=evolution", "strategy.population_size=4", "strategy.sample_size=2"],
    "tpe": ["strategy=tpe", "strategy.sampler.n_startup_trials=4"],
    "random, asha": ["strategy=random", "stopper=asha", "evaluator.epochs=4"],
}
WAITS = re.compile(r"^\w.* \.\.\.( \d+ s)?( \(.*\))?\n", re.MULTILINE)  # of a busy machine
CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f\x9b]")  # what only a terminal understands


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("HYDRA_FULL_ERROR", "COLUMNS")}
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "toys")])
    return {**kept, "PYTHONPATH": path, "TERM": "xterm", **more}


def call(*arguments: str, cwd: Path, **more: str) -> SimpleNamespace:
    """Run the program, its output going to pipes."""
    done = subprocess.run([sys.executable, "-m", "runner", *arguments], cwd=cwd, timeout=LONG,
                          env=environment(**more), capture_output=True)  # fmt: skip
    err = re.sub(WAITS, "", done.stderr.decode())
    return SimpleNamespace(code=done.returncode, raw=done.stdout, out=done.stdout.decode(), err=err)


def inside(*arguments: str, monkeypatch) -> SimpleNamespace:
    """Run the program in this process, which has torch already; for what ends before any trial."""
    program.exit_code.set(0)
    monkeypatch.setattr(program, "wants_traceback", False)
    monkeypatch.setattr(sys, "argv", ["runner", *arguments])
    out, err = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with streams[0], streams[1], pytest.raises(SystemExit) as end:
        program.main()
    return SimpleNamespace(code=end.value.code, out=out.getvalue(), err=err.getvalue())


def history(folder: Path) -> list[object]:
    """What must be equal between two runs: all but the times."""
    return [(t.number, json.dumps(t.sample, sort_keys=True), t.seed, t.state, dict(t.metrics),
             t.score, t.duplicate_of, str(t.failure)) for t in read(folder).trials]  # fmt: skip


def assert_one_clear_line(done: SimpleNamespace, code: int, text: str, where: Path) -> None:
    assert done.code == code, done.err
    [line] = done.err.splitlines()
    assert line.startswith("error: ") and text in line, line
    assert "Traceback" not in done.err + done.out
    assert not list(where.iterdir())


BAD = [
    ("budgt.trials=3", "no key 'budgt.trials' in the config. Did you mean 'budget.trials'"),
    ("evaluator.eopchs=3", "Did you mean 'evaluator.epochs'"),
    ("+unknown=1", "There is no key 'unknown' in the config."),
    ("+strategy.bogus=1", "strategy.bogus: OptunaStrategy has no argument 'bogus'."),
    ("strategy=nope", "Could not find 'strategy/nope'. Available options in 'strategy': asha, "
     "bananas, cmaes, evolution, given, gp, grid, "),
    ("startegy=tpe", "There is no key 'startegy' in the config. Did you mean 'strategy'?"),
    ("experiment=nope", "Could not find 'experiment/nope'"),
    ("space=null", "A group cannot be null"),
    ("budget.trials=many", "budget.trials is 'many': Input should be a valid integer."),
    ("budget.trials=-1", "budget.trials is -1: Input should be greater than or equal to 1."),
    ("budget.minutes=-1", "budget.minutes is -1"),
    ("seed=-1", "seed is -1: Input should be greater than or equal to 0."),
    ("seed=1,2", "Ambiguous value for argument 'seed=1,2'"),
    ("seed=${nope}", "Interpolation key 'nope' not found"),
    ("seed=${oc.env:NOT_SET_AT_ALL}", "'NOT_SET_AT_ALL' not found"),
    ("seed=[1", "The override 'seed=[1' cannot be read"),
    ("seed", "missing EQUAL"),
    ("=5", "The override '=5' has no key; write KEY=VALUE."),
    ("=", "The override '=' has no key; write KEY=VALUE."),
    ("--foo", "Unrecognized arguments: --foo; --hydra-help lists the flags."),
    ("--cfg nope", "Argument --cfg/-c: invalid choice: 'nope'"),
    ("--experimental-rerun x", "--experimental-rerun reads a pickle"),
    ("hydra.verbose=5", "hydra.verbose is 5; it must be true or loggers."),
    ("evaluator.optimizer=adam", "evaluator.optimizer is 'adam'; it must be a node, such as"),
    ("-m seed=range(0)", "seed=range(0) sweeps over nothing"),
    ("evaluator.lr=fast", "evaluator.lr is 'fast': Input should be a valid number."),
    ("evaluator.epochs=0", "evaluator.epochs is 0"),
    ("objective.mode=best", "objective.mode is 'best': Input should be 'max' or 'min'."),
    ("resume=nowhere", "nowhere': it has no run.db."),
    ("training.device=cuda:77", "training.device is 'cuda:77', which this machine does not have; "
     "it has cpu"),
    ("training.workers=0", "training.workers is 0; it must be a whole number from 1 to "),
    ("training.retries=-1", "training.retries is -1; it must be a whole number from 0 to 100."),
    ("training.trial_timeout=0", "training.trial_timeout is 0; it must be a number of seconds "
     "above 0, or null for no limit."),
    ("data.validation=2", "data.validation is 2; it must be above 0 and below 1."),
    ("data.classes=3", "data.classes is 3; digits has 10."),
    ("data=dataset", "data.train._target_ has no value"),
    ("data=image_folder", "data.root has no value; give it one: data.root=..."),
    ("data=cifar10 data.root=nowhere", ""),  # no folder, or no torchvision
    ("space.widths=[]", "has no candidates"),
    ("space.widths=5", "space.widths is 5: Input should be a valid array."),
    ("space._target_=os.system", "space._target_ 'os.system' is not on the allowlist of a "
     "config. If you trust it, add trust=[os.system]."),
    ("space._target_=toy.Net", "add trust=[toy]."),
    ("trust=[toy] space._target_=toy.Nett", "has no attribute 'Nett'. Did you mean 'Net'"),
    ("trust=[toy] space._target_=toy.Clash", "Label 'width' is used by two choices: 1, 2; and 1"),
    ("space.mutators=layer3", "space.mutators is 'layer3'; it must be a list such as [{on: "),
    ("space.mutators=[layer3]", "space.mutators[0] is 'layer3'; it must be an entry such as {on: "),
    ("space.mutators=[{on:layer3,bogus:1}]", "space.mutators[0] names no mutator: {on: 'layer3', "),
    ("space=mutate trust=[toy] space.model._target_=toy.Net space.mutators=[{_target_:toy.Net}]",
     "space.mutators[0]._target_ is toy.Net, which makes a Net; space.mutators[0] must be a "
     "Mutator."),
    ("space=mutate trust=[toy] space.model._target_=toy.Net space.mutators=[{on:x,remove:true}]",
     "run with engine=base."),
    ("space=mutate trust=[toy] space.model._target_=toy.Net space.model.bogus=1",
     "space.model.bogus: Net has no argument 'bogus'."),
    ("space=mutate trust=[toy] space.model._target_=toy.Net space.input=[0]", "space.input is [0]"),
    ("space=mutate trust=[toy] space.model._target_=toy.Net space.weights=inherit",
     "runner.engines.py.PyEngine does not support; run with engine=base."),
    ("engine=base space=mutate trust=[mutable] space.model._target_=mutable.ConvNet "
     "data.shape=[3,8,8]", "space.input is [3, 8, 8], which the model does not accept"),
    ("evaluator.optimizer._target_=torch.load", "evaluator.optimizer._target_ 'torch.load' is"),
    ("search={evaluator.lrr:[1,2]}", "evaluator has no key 'lrr'. Did you mean 'lr'?"),
    ("trust=[toy] space._target_=toy.Net search={width:[1,2]}", "search names 'width'; it can vary "
     "keys of evaluator and data"),
    ("training=inline training.workers=2", "There is no key 'training.workers' in the config with "
     "training=inline. training has device, threads, max_failures, fail_fast."),
    ("engine.engine=py", "There is no key 'engine.engine'"),
    ("--config-name=nope", "Cannot find primary config 'nope'"),
    ("--config-dir=nowhere", "nowhere"),
]  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("arguments", "text"), BAD, ids=[bad for bad, _ in BAD])
def test_bad_input_ends_in_one_clear_line_and_leaves_nothing(arguments, text, here, monkeypatch):
    done = inside(*arguments.split(" "), monkeypatch=monkeypatch)
    assert_one_clear_line(done, 2, text, here)


@pytest.mark.parametrize("folder", ["r", "mine/r", "new/a/b"])
def test_a_run_that_is_refused_removes_no_folder_of_the_user(folder, tmp_path, monkeypatch):
    home = tmp_path / "x" / "y"
    (home / "mine").mkdir(parents=True)
    monkeypatch.chdir(home)
    done = inside("space=mlp", "seed=-1", f"hydra.run.dir={folder}", monkeypatch=monkeypatch)
    assert done.code == 2, done.err
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "x", home, home / "mine"]


def test_a_space_that_raises_ends_in_one_clear_line_with_its_place(here, monkeypatch):
    done = inside("trust=[toy]", "space._target_=toy.Broken", monkeypatch=monkeypatch)
    assert_one_clear_line(done, 2, "toy.Broken raised ValueError: cannot be built at all (", here)
    assert "toy.py:" in done.err and "HYDRA_FULL_ERROR=1" in done.err


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["seed=-1"], 2, "seed is -1"),
        (["training.device=cuda:77"], 2, "training.device is 'cuda:77'"),
        (["strategi=tpe"], 2, "Did you mean 'strategy'?"),
    ],
)
def test_bad_input_in_a_process_of_its_own(arguments, code, text, tmp_path):
    assert_one_clear_line(call(*arguments, cwd=tmp_path), code, text, tmp_path)


def test_a_full_error_is_shown_on_demand(tmp_path):
    done = call("trust=[toy]", "space._target_=toy.Broken", cwd=tmp_path, HYDRA_FULL_ERROR="1")
    assert done.code == 1 and "Traceback" in done.err and "cannot be built at all" in done.err


def test_what_lies_in_the_folder_of_a_run_that_did_not_begin_is_left_alone(here, monkeypatch):
    mine = here / "mine"
    (mine / ".hydra").mkdir(parents=True)
    kept = {mine / "precious.txt", mine / ".hydra" / "more.txt"}
    for path in kept:
        path.write_text("mine")
    assert inside(f"hydra.run.dir={mine}", "seed=-1", monkeypatch=monkeypatch).code == 2
    assert {path for path in mine.rglob("*") if path.is_file()} == kept


@pytest.mark.parametrize(
    ("arguments", "line", "text"),
    [
        (["--help"], "", "training: inline, local"),
        (["--cfg", "job"], "", "_target_: spaces.resnet.ResNet"),
        (["-c", "job", "--package", "strategy", "strategy=grid"], "", "resolution: 5"),
        (
            ["-sc", "query=bash"],
            "runner strategy=",
            "strategy=evolution strategy=given strategy=gp strategy=grid",
        ),
    ],
    ids=["help", "cfg", "package", "completion"],
)
def test_questions_are_answered_at_once_without_torch(arguments, line, text, tmp_path):
    script = tmp_path / "ask.py"
    script.write_text(
        "import atexit, sys\n"
        "atexit.register(lambda: sys.stderr.write(f'torch: {\"torch\" in sys.modules}'))\n"
        "from runner.__main__ import main\nmain()\n"
    )
    ask = [sys.executable, script, *arguments]
    done = subprocess.run(ask, cwd=tmp_path, timeout=LONG, text=True, capture_output=True,
                          env=environment(COMP_LINE=line))  # fmt: skip
    assert done.returncode == 0 and text in done.stdout, done.stderr
    slow = "Loading ...\n"  # is said on a machine that takes more than a moment to import all this
    assert done.stderr.removeprefix(slow) == "torch: False"
    assert [path.name for path in tmp_path.iterdir()] == ["ask.py"]


def test_garbage_of_young_objects_is_collected_as_often_as_ever(here, monkeypatch):
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        assert inside("seed=-1", monkeypatch=monkeypatch).code == 2
        assert gc.get_threshold() == (700, 10, program.SELDOM) and gc.isenabled()
    finally:
        gc.set_threshold(*before)


def test_describe_answers_and_leaves_no_folder(here, monkeypatch):
    done = inside("task=describe", "trust=[toy]", "space._target_=toy.Net", monkeypatch=monkeypatch)
    assert done.code == 0 and done.err == "" and not list(here.iterdir())


def test_a_run_goes_to_its_folder_and_goes_on_from_there(here, monkeypatch):
    first = call(*INLINE, "budget.trials=4", cwd=here)
    assert first.code == 0 and first.err == ""
    assert not CONTROL.search(first.raw.replace(b"\r\n", b"\n"))
    link = here / "outputs" / "latest"
    assert link.is_symlink() and not link.readlink().is_absolute()
    folder = link.resolve()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", str(folder.relative_to(here / "outputs"))
    )
    assert (folder / "top" / "1" / "model.py").is_file() and (folder / ".hydra").is_dir()
    before = history(folder)
    assert len(before) == 4

    for changes, text in (
        (["seed=3"], "Changed: seed: 0 -> 3."),
        (["strategy=grid"], "strategy._target_: 'runner.strategies.random.Random' -> "
         "'runner.strategies.grid.Grid'"),
        (["space._target_=toy.Looks"], "Changed: space._target_: 'toy.Net' -> 'toy.Looks'."),
        (["space=mlp"], "space._target_: 'toy.Net' -> 'spaces.mlp.MLP'"),
        (["evaluator.lr=0.1"], "evaluator.lr: 0.5 -> 0.1"),
        (["objective.mode=min"], "objective.mode: 'max' -> 'min'"),
    ):  # fmt: skip
        done = inside("resume=outputs/latest", *changes, monkeypatch=monkeypatch)
        assert done.code == 2 and "cannot continue with a different config" in done.err
        assert text in done.err and len(done.err.splitlines()) == 1
    assert history(folder) == before

    second = inside("resume=outputs/latest", "budget.trials=7", monkeypatch=monkeypatch)
    assert second.code == 0 and second.err == ""
    assert history(folder)[:4] == before and len(history(folder)) == 7
    again = inside("resume=outputs/latest", monkeypatch=monkeypatch)  # the budget was remembered
    assert again.code == 0 and len(history(folder)) == 7 and "7 of 7 trials" in again.out
    less = inside("resume=outputs/latest", "budget.trials=5", monkeypatch=monkeypatch)
    assert less.code == 2 and "has 7 trials already; it can only grow" in less.err
    assert (folder / "top" / "1" / "model.py").is_file()
    assert [path.name for path in (here / "outputs").iterdir() if path.name != "latest"] == [
        folder.parent.name
    ]


def test_a_sweep_runs_every_combination_and_goes_on_after_a_failed_one(here, monkeypatch):
    sweep = ["-m", *INLINE, "budget.trials=2", "hydra.sweep.dir=all"]
    done = inside(*sweep, "strategy=random,grid", "seed=0,1", monkeypatch=monkeypatch)
    assert done.code == 0 and done.err == ""
    runs = [read(here / "all" / str(i)) for i in range(4)]
    assert [(r.config["strategy"]["_target_"][-4:], r.config["seed"]) for r in runs] == [
        ("ndom", 0), ("ndom", 1), ("Grid", 0), ("Grid", 1),
    ]  # fmt: skip
    done = inside(*sweep[:-1], "hydra.sweep.dir=some", "seed=0,-1,1", monkeypatch=monkeypatch)
    assert done.code == 1 and done.err.startswith("error: Member 1 (seed=-1) failed: seed is -1")
    assert sorted(p.parent.name for p in here.glob(f"some/*/{RECORD}")) == ["0", "2"]


def test_two_runs_on_one_folder_the_second_names_the_first(here, monkeypatch):
    slow = [*INLINE, "evaluator.epochs=1000", "+evaluator.sleep=0.1", "hydra.run.dir=run"]
    slow.remove("+evaluator.sleep=0.0")
    first = subprocess.Popen([sys.executable, "-m", "runner", *slow], cwd=here, env=environment(),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        wait_for(lambda: events(here / "run") >= 3)
        done = inside("resume=run", monkeypatch=monkeypatch)
        assert done.code == 2 and len(done.err.splitlines()) == 1
        assert f"is in use by another run (process {first.pid} on " in done.err
        done = inside(*slow, monkeypatch=monkeypatch)
        assert done.code == 2 and "contains a run already" in done.err
    finally:
        first.kill()
        first.wait()
    assert len(read(here / "run").trials) == 1


def events(folder: Path) -> int:
    """How many events are recorded; 0 while there is no record."""
    try:
        trials = read(folder).trials
    except Exception:
        return 0
    return 1 + sum(2 + trial.step for trial in trials)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def workers_of(driver: int) -> set[int]:
    """The processes that a driver started and that are alive."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rsplit(")", 1)[1].split()[:2]
            if int(parent) == driver and state != "Z":
                found.add(int(stat.parent.name))
    return found


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()
            and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()}  # fmt: skip


TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "runner", *sys.argv[1:]])
"""


class Terminal:
    """The program in a terminal of its own; keys can be typed."""

    def __init__(self, *arguments: str, cwd: Path) -> None:
        self.output = b""
        self._fd, inner = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *arguments], cwd=cwd, start_new_session=True,
            env=environment(COLUMNS="200"), stdin=inner, stdout=inner, stderr=inner,
        )  # fmt: skip
        self.pid = self._process.pid
        os.close(inner)

    def read(self, seconds: float = 0.1) -> bool:
        """Take what was printed; whether there may be more."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return True
        try:
            chunk = os.read(self._fd, 1 << 16)
        except OSError:  # Linux: the other side was closed
            return False
        self.output += chunk
        return bool(chunk)

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + LONG
        while not condition():
            assert self.read() and time.monotonic() < deadline, self.output.decode()
            time.sleep(0.02)

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def end(self) -> int:
        """The exit code; negative for a signal."""
        deadline = time.monotonic() + LONG
        while self.read() and time.monotonic() < deadline:
            pass
        os.close(self._fd)
        return self._process.wait(LONG)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Callable[[str], list[object]]:
    """The histories of uninterrupted runs, by strategy: quick, since sleeping changes nothing."""
    import runner

    known: dict[str, list[object]] = {}

    def run(strategy: str) -> list[object]:
        if strategy not in known:
            folder = tmp_path_factory.mktemp("whole") / "run"
            runner.run([*TOY, "training=inline", *STRATEGIES[strategy], "budget.trials=8"], folder)
            known[strategy] = history(folder)
        return known[strategy]

    return run


def slow(strategy: str, folder: str = "run") -> list[str]:
    """Arguments of a run that takes a second or two, beside its start."""
    return [*(o for o in LOCAL if "sleep" not in o), "+evaluator.sleep=0.1", *STRATEGIES[strategy],
            "budget.trials=8", f"hydra.run.dir={folder}"]  # fmt: skip


def finish(folder: Path, monkeypatch) -> None:
    """Continues a run in this process, to its end; where its trials run may change."""
    done = inside(f"resume={folder}", "training=inline", monkeypatch=monkeypatch)
    assert done.code == 0 and done.err == "", done.err


@pytest.mark.sampled(2)
@pytest.mark.parametrize("how", ["key", "terminate"])
def test_the_first_stop_ends_in_good_order_and_the_run_goes_on_as_it_would_have(
    how, here, whole, monkeypatch
):
    terminal = Terminal(*slow("random"), cwd=here)
    folder = here / "run"
    terminal.until(lambda: events(folder) >= 7)
    workers = workers_of(terminal.pid)
    assert workers
    if how == "key":
        terminal.type(b"\x03")
    else:
        os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == (130 if how == "key" else 143)
    assert b"Continue with: python -m runner resume=run" in terminal.output
    assert b"Traceback" not in terminal.output
    assert terminal.output.rfind(b"\x1b[?25h") > terminal.output.rfind(b"\x1b[?25l")  # the cursor
    assert not alive(workers)
    assert 0 < sum(not trial.running for trial in read(folder).trials) < 8
    finish(folder, monkeypatch)
    assert history(folder) == whole("random")


def test_who_stops_a_task_gets_one_line(here, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(program.launch, "execute", stop)
    done = inside("task=list", monkeypatch=monkeypatch)
    assert (done.code, done.out, done.err) == (130, "", "Stopped.\n")
    assert not [*here.iterdir()]


@pytest.mark.parametrize("error", [ImportError, ConfigError])
def test_a_stop_that_a_library_takes_for_an_error_is_a_stop(error, here, monkeypatch):
    def swallowed(*_):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise error("module 'numpy' has no attribute 'matrix'")

    monkeypatch.setattr(program.launch, "execute", swallowed)
    done = inside("task=list", monkeypatch=monkeypatch)
    assert (done.code, done.out, done.err.splitlines()[-1]) == (130, "", "Stopped.")
    assert "Traceback" not in done.err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_stop_while_a_task_trains_in_this_process_is_no_failure_of_a_trial(here, monkeypatch):
    def trained(*_):
        run_kinds("inline", here, ["interrupted", "honest"], [7, 7])

    monkeypatch.setattr(program.launch, "execute", trained)
    done = inside("task=list", monkeypatch=monkeypatch)
    assert (done.code, done.out, done.err) == (130, "", "Stopped.\n")


def test_a_library_that_logs_at_the_exit_says_nothing_after_a_stop(here):
    code = """
import atexit, logging
from runner import __main__ as program
def stop(*_):
    atexit.register(logging.getLogger("torch").warning, "cache_hits: 0")
    raise KeyboardInterrupt
program.launch.execute = stop
program.main(["task=list"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=here, timeout=LONG, env=environment(),
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 130 and done.stdout == ""
    assert re.sub(WAITS, "", done.stderr) == "Stopped.\n"


def test_who_stops_the_program_while_it_is_loaded_gets_one_line(here):
    code = """
import runpy, sys
class Stop:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stop())
runpy.run_module("runner", run_name="__main__", alter_sys=True)
"""
    for name in ("hydra", "pydantic", "runner.goals"):
        done = subprocess.run([sys.executable, "-c", code, name], cwd=here, timeout=LONG,
                              env=environment(), capture_output=True, text=True)  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "Stopped.\n")


WAITING = """
import sys, time
from runner import __main__ as program
from runner.display import progress
def execute(*_):
    with progress.waiting("counting"):
        time.sleep(0.5)
    progress.note("The result.")
progress.LONG_MOMENT = 0.1
program.launch.execute = execute
program.main(["task=list"])
"""


def test_results_are_told_though_nobody_reads_what_goes_on(here):
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes) as unread:
        done = subprocess.run([sys.executable, "-c", WAITING], cwd=here, timeout=LONG,
                              env=environment(), stdout=subprocess.PIPE, stderr=unread)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"The result.\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_may_be_closed(closed, here):
    command = f'"{sys.executable}" -m runner task=list run=none {closed}'
    done = subprocess.run(["/bin/sh", "-c", command], cwd=here, timeout=LONG, env=environment(),
                          capture_output=True)  # fmt: skip
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert (b"no folder" in done.stderr) == ("2>" not in closed)


def test_the_second_stop_kills_at_once(here):
    stubborn = [o for o in LOCAL if not o.startswith(("evaluator", "+evaluator"))]
    stubborn += ["evaluator._target_=toy.Trouble", "+evaluator.kind=hang_deaf",
                 "+evaluator.width=1", "+evaluator.folder=.", "strategy=grid",
                 "hydra.run.dir=run"]  # fmt: skip
    terminal = Terminal(*stubborn, cwd=here)
    terminal.until(lambda: events(here / "run") >= 3 and workers_of(terminal.pid))
    workers = workers_of(terminal.pid)
    os.kill(terminal.pid, signal.SIGSTOP)  # so that both arrive together
    terminal.type(b"\x03")
    os.kill(terminal.pid, signal.SIGTERM)
    os.kill(terminal.pid, signal.SIGCONT)
    assert terminal.end() in (130, 143, -signal.SIGINT, -signal.SIGTERM)
    wait_for(lambda: not alive(workers))
    assert len(read(here / "run").trials) == 1


KILLS = 12 if SOAK else 1


@pytest.mark.sampled(4)
@pytest.mark.parametrize("turn", range(KILLS))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_killed_run_goes_on_as_it_would_have(strategy, turn, here, whole, monkeypatch):
    rng = random.Random(f"{strategy} {turn}" if not SOAK else None)
    driver = subprocess.Popen([sys.executable, "-m", "runner", *slow(strategy)], cwd=here,
                              env=environment(), stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)  # fmt: skip
    folder = here / "run"
    wait_for(lambda: events(folder) >= rng.randint(2, 6))
    time.sleep(rng.uniform(0, 1.2))
    workers = workers_of(driver.pid)
    driver.kill()
    driver.wait()
    wait_for(lambda: not alive(workers))
    finish(folder, monkeypatch)
    assert history(folder) == whole(strategy)


@contextlib.contextmanager
def small_disk(where: Path, options: str) -> Iterator[Callable[[str], None]]:
    """A file system of its own; gives what changes its options. Skips where none can be made."""
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
    made = subprocess.run(mount, capture_output=True, text=True) if os.name == "posix" else None
    if made is None or made.returncode:
        pytest.skip(f"cannot mount a small disk here: {made and made.stderr.strip()}")
    try:
        yield lambda new: subprocess.run(["mount", "-o", f"remount,{new}", str(where)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


def mounts() -> bool:
    """Whether this machine lets us mount, which it mostly lets root alone do."""
    return os.geteuid() == 0


@pytest.mark.skipif(not mounts(), reason="only root can mount a small disk")
@pytest.mark.parametrize("what", ["record", "weights"])
def test_a_full_disk_stops_the_run_with_the_reason_and_it_goes_on_afterwards(
    what, here, monkeypatch
):
    run = INLINE if what == "record" else [
        "space=mlp", "space.widths=[64,128]", "evaluator.epochs=1", "strategy=random",
        "training.device=cpu", "training=inline",
    ]  # fmt: skip
    with small_disk(here / "disk", "size=120k" if what == "record" else "size=260k") as change:
        done = inside(*run, "budget.trials=12", "hydra.run.dir=disk/run", monkeypatch=monkeypatch)
        assert done.code == 1 and len(done.err.splitlines()) == 1, done.err
        assert ("Cannot write the record" if what == "record" else "could not write") in done.err
        assert "full" in done.err or "No space left" in done.err
        assert f"resume={here / 'disk' / 'run'}" in done.err
        assert not any(trial.failed for trial in read(here / "disk" / "run").trials)
        change("size=8m")
        finish(here / "disk" / "run", monkeypatch)
        trials = read(here / "disk" / "run").trials
        assert len(trials) == 12 and all(trial.scored for trial in trials)


@pytest.mark.skipif(not mounts(), reason="only root can mount a small disk")
def test_a_read_only_folder_is_named_in_one_line(here, monkeypatch):
    with small_disk(here / "disk", "size=1m,ro"):
        done = inside(*INLINE, "hydra.run.dir=disk/run", monkeypatch=monkeypatch)
    assert done.code == 2 and done.err.splitlines() == ["error: Read-only file system: 'disk/run'."]


def test_a_run_whose_folder_cannot_be_made_says_so(here, monkeypatch):
    (here / "file").write_text("")
    done = inside(*INLINE, "hydra.run.dir=file/run", monkeypatch=monkeypatch)
    assert done.code == 2 and len(done.err.splitlines()) == 1 and "file" in done.err


class Screen(io.StringIO):
    """A terminal, as far as programs ask."""

    def isatty(self):
        return True


def test_help_on_a_terminal_breaks_no_word(monkeypatch):
    console = Console(width=40, force_terminal=True, color_system=None, legacy_windows=False)
    monkeypatch.setattr(rich, "_console", console)
    monkeypatch.setattr(sys, "argv", ["runner", "--help"])
    with contextlib.redirect_stdout(Screen()) as screen, pytest.raises(SystemExit) as end:
        program.main()
    assert end.value.code == 0
    lines = screen.getvalue().splitlines()
    assert len(lines) > 200 and "evaluator: classification, function," in lines
    assert not [line for line in lines if len(line) > 40 and " " in line.strip()]
