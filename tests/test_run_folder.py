"""No write of ours leads out of the folder of a run, and reading writes nothing at all."""

import os
import shutil
import socket
from contextlib import suppress

import pytest
import records

import runner
from runner.database import FILES, has_events
from runner.errors import ConfigError, RunnerError
from runner.export import export
from runner.goals import Goals, Objective
from runner.run_folder import check_links
from runner.store import Store, delete_unbegun

NAMES = ["run.db-wal", "run.db-shm", "run.db-journal", "run.lock", "holder.json", "trials",
         "trials/0001", "trials/0000/output.txt", "trials/0000/error.txt", "trials/0000/model.py",
         "trials/0000/weights.partial", "trials/0000/weights.safetensors", "top", "top.new",
         "top.old", "top/1", "top/1/model.py", ".hydra", ".hydra/config.yaml", "runner.log",
         "strategy.txt", "a/b/c"]  # fmt: skip


def tree(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def outside(tmp_path):
    """Files that belong to the user, outside of the run."""
    place = tmp_path / "outside"
    (place / "1").mkdir(parents=True)
    for name in ("weights.safetensors", "output.txt", "notes", "1/model.py"):
        (place / name).write_text("mine")
    return place


def link(folder, name, target):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


TARGETS = ["notes", ".", "missing"]


@pytest.mark.parametrize(
    ("name", "target"), [(name, TARGETS[i % 3]) for i, name in enumerate(NAMES)]
)
def test_a_link_that_leads_out_is_refused_before_anything_is_written(
    name, target, tmp_path, outside
):
    folder = records.write(tmp_path / "run", *records.WHOLE)
    link(folder, name, outside / target)
    before = tree(tmp_path)
    for use in (
        lambda: runner.run([f"resume={folder}", "trust=[toy]", "budget.trials=9"]),
        lambda: Store(folder, Goals((Objective(),))),
    ):
        with pytest.raises(ConfigError, match=r"link|file of its own") as caught:
            use()
        assert "\n" not in str(caught.value)
        assert tree(tmp_path) == before and not (outside / "missing").exists()


@pytest.mark.parametrize("name", ["top.new", "top.old", "top", "trials/0000"])
def test_an_export_is_refused_likewise(name, tmp_path, outside):
    folder = records.write(tmp_path / "run", *records.WHOLE)
    link(folder, name, outside)
    before = tree(tmp_path)
    run = runner.load(folder, trust=["toy"])
    with pytest.raises(ConfigError, match="symbolic link"):
        export(run, run.top(1), lambda trial: {}, print)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["run.db", "run.db-wal", "run.db-shm", "run.db-journal"])
def test_a_record_is_not_read_elsewhere_either(name, tmp_path, outside):
    elsewhere = records.write(outside / "other", *records.WHOLE)
    folder = tmp_path / "run"
    if name != "run.db":
        records.write(folder, *records.WHOLE)
    link(folder, name, elsewhere / "run.db")
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match="not a file of its own"):
        runner.load(folder)
    assert tree(tmp_path) == before


def test_a_new_run_is_not_written_through_links(tmp_path, outside):
    for name in NAMES[::5]:
        folder = tmp_path / "new" / name.replace("/", "_")
        link(folder, name, outside)
        with pytest.raises(ConfigError, match=r"link|file of its own"):
            runner.run(["space=mlp", "training=inline", f"hydra.run.dir={folder}"])
    assert tree(outside) == dict.fromkeys(tree(outside), b"mine")


def test_links_within_the_folder_rings_aside_and_a_folder_behind_a_link_are_fine(tmp_path):
    folder = tmp_path / "run"
    (folder / "trials" / "0000").mkdir(parents=True)
    (folder / "latest").symlink_to("trials/0000")
    (folder / "trials" / "up").symlink_to("..")
    (tmp_path / "alias").symlink_to("run")
    check_links(folder)
    check_links(tmp_path / "alias")
    check_links(tmp_path / "missing")
    (folder / "ring").symlink_to("ring")
    with pytest.raises(ConfigError, match="'ring'"):
        check_links(folder)


def test_a_pipe_is_refused_and_a_socket_left_by_a_trial_is_not(tmp_path):
    server = socket.socket(socket.AF_UNIX)
    short = os.path.relpath(tmp_path / "s")
    server.bind(short if len(short) < 100 else str(tmp_path / "s"))
    server.close()
    check_links(tmp_path)
    os.mkfifo(tmp_path / "holder.json")
    with pytest.raises(ConfigError, match=r"'holder\.json', which is neither a file nor a folder"):
        check_links(tmp_path)


def left_as_it_was(folder):
    """All that a listing of a folder shows, and the content of its files."""
    places = [folder, *sorted(folder.rglob("*"))]
    return {
        path: (path.stat().st_mode, path.stat().st_size, path.stat().st_mtime_ns,
               path.read_bytes() if path.is_file() else None)
        for path in places
    }  # fmt: skip


def killed(folder):
    """A record whose events are in the log alone, with the files of a process that was killed."""
    with Store(folder / "live", Objective("val/accuracy", "max")) as store:
        store.begin(records.CONFIG)
        for name in FILES:
            with suppress(FileNotFoundError):
                shutil.copy(folder / "live" / name, folder / name)
    shutil.rmtree(folder / "live")


def closed(folder):
    records.write(folder, *records.WHOLE)


def closed_by_the_store(folder):
    with Store(folder, Objective("val/accuracy", "max")) as store:
        store.begin(records.CONFIG)


def empty(folder):
    (folder / "run.db").touch()


MAKERS = (closed, closed_by_the_store, killed, empty)
BESIDE = {"nothing": {}, "as it is": None,
          **{f"{name}, {size} bytes": {name: size} for name in FILES[1:] for size in (0, 4096)},
          "an empty log, shared memory": {"run.db-wal": 0, "run.db-shm": 32768},
          "an empty log, empty memory": {"run.db-wal": 0, "run.db-shm": 0}}  # fmt: skip


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("make", MAKERS)
def test_reading_changes_nothing_whatever_lies_beside_the_record(make, beside, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    make(folder)
    if BESIDE[beside] is not None:
        for name in FILES[1:]:
            (folder / name).unlink(missing_ok=True)
        for name, size in BESIDE[beside].items():
            (folder / name).write_bytes(bytes(size))
    before = left_as_it_was(folder)
    for _ in range(2):
        with suppress(RunnerError):
            run = runner.load(folder, trust=["toy"])
            assert run.trials or make is not closed
            run.gains, run._repr_html_(), run.top(1)
            run.source(run.trials[0]) if run.trials else None
        assert not has_events(folder) or not delete_unbegun(folder)
        assert left_as_it_was(folder) == before


def test_events_in_the_log_are_read_with_and_without_its_shared_memory(tmp_path):
    killed(tmp_path)
    assert (tmp_path / "run.db-wal").stat().st_size
    assert runner.load(tmp_path).settings.seed == 0
    (tmp_path / "run.db-shm").unlink()
    assert runner.load(tmp_path).settings.seed == 0
