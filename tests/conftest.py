"""What tests share: the toys on the import path, and searches of them."""

import signal
import subprocess
import sys
import zlib
from collections import Counter
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import runner.search
from runner import export, rehearsal
from runner.bare_interpreter import BareInterpreter
from runner.display import progress
from runner.training import inline
from runner.training.service import Traces
from runner.training.state import watched

TOYS = Path(__file__).parent / "toys"
sys.path.insert(0, str(TOYS))
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
settings.register_profile("busy", deadline=None)  # a busy machine is no fault of an example
settings.load_profile("busy")


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "run one in N of the exhaustive tests, others with each commit"
    parser.addoption("--exhaustive", type=int, default=1, metavar="N", help=text)


@pytest.hookimpl(tryfirst=True)  # before the marks select
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    _mark_sampled(items)
    if (share := config.getoption("exhaustive")) > 1:
        kept, left = [], []
        for item in items:
            (kept if is_among(item, share) else left).append(item)
        config.hook.pytest_deselected(items=left)
        items[:] = kept


def is_among(item: pytest.Function, share: int) -> bool:
    """Whether it is one of those that are run with this commit."""
    if item.get_closest_marker("exhaustive") is None:
        return True
    return zlib.crc32(f"{commit()} {item.nodeid}".encode()) % share == 0


@cache
def commit() -> str:
    git = ["git", "-C", str(TOYS), "rev-parse", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout


def _mark_sampled(items: list[pytest.Function]) -> None:
    """Of each table that is `sampled(n)`, all but every n-th case are exhaustive."""
    seen: Counter[str] = Counter()
    for item in items:
        if mark := item.get_closest_marker("sampled"):
            table = item.nodeid.partition("[")[0]
            if seen[table] % mark.args[0]:
                item.add_marker(pytest.mark.exhaustive)
            seen[table] += 1


@pytest.fixture(autouse=True, scope="session")
def home(tmp_path_factory):
    """A config folder of the tests' own, also for the processes that they start; those have a
    thread each, since there are as many tests at a time as processors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(autouse=True, scope="session")
def few_modules():
    """Of the hundreds of modules here, only the toys are those of a user: the tests train nothing,
    and to look through them takes a second for each search."""
    ours = watched._is_of_user
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watched, "_is_of_user", lambda name: "tests." not in name and ours(name))
        yield


@pytest.fixture(autouse=True, scope="session")
def patient():
    """No test depends on how long something takes: none is told that it takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "LONG_MOMENT", 1e6)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_head_start():
    """Searches in this process start the server of their workers when they need it: most of them
    end before, and it takes seconds of the processor to import torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner.search, "head_start", lambda *_: nullcontext())
        yield


class Unwatched:
    """The state of a process that no trial changes."""

    def keep(self) -> None:
        return

    def restore(self) -> Traces:
        return Traces()

    finish = restore


@pytest.fixture(autouse=True)
def unwatched(request, monkeypatch):
    """Searches in this process do not look at what trials and rehearsals leave, which takes half a
    second for each, unless a test is about that: those of `training/`, and what is marked
    `watched`."""
    about_it = request.path.is_relative_to(Path(__file__).parent / "training")
    if not about_it and not request.node.get_closest_marker("watched"):
        monkeypatch.setattr(inline, "ProcessState", Unwatched)
        monkeypatch.setattr(rehearsal, "ProcessState", Unwatched)


@pytest.fixture(autouse=True, scope="session")
def one_interpreter():
    """Exports of searches in this process are tried in one bare interpreter: it takes seconds to
    start."""
    shared = BareInterpreter()

    class Kept:
        start, check = shared.start, shared.check

        def close(self) -> None:
            return

    with shared, pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "BareInterpreter", Kept)
        yield


@pytest.fixture
def here(tmp_path: Path, monkeypatch) -> Path:
    """An empty folder, and in it an ordinary user: not a debugging one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    return tmp_path


@pytest.fixture
def search(tmp_path: Path):
    """A search in a folder of its own."""
    from searches import Search

    return Search(tmp_path / "run")


@pytest.fixture
def new_search(tmp_path_factory):
    """Makes searches, each in a folder of its own."""
    from searches import Search

    return lambda: Search(tmp_path_factory.mktemp("search") / "run")
