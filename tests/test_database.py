"""The file of a record: read on any medium, opened only if it is ours, and begun anew if a kill
came before its first event."""

import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import pytest
from records import BEGUN, CONFIG, PROPOSED, STARTED, TABLE, WHOLE, write

import runner
from runner.database import RECORD, has_events
from runner.errors import ConfigError, RunFailed
from runner.goals import Goals, Objective
from runner.store import Store, delete_unbegun, read
from runner.trial import Proposal

GOALS = Goals((Objective("val/accuracy", "max"),))
ROOT = Path(__file__).parents[1]


def sql(folder, *statements):
    with sqlite3.connect(folder / RECORD) as db:
        for statement in statements:
            db.execute(statement)
    db.close()


TABLES = {
    "another table": ["create table more (x)"],
    "an index": ["create index by_time on events (time)"],
    "a view": ["create view recent as select * from events"],
    "a trigger": [
        "create trigger t after insert on events begin update events set data = '{}'; end"
    ],
    "a view in place of the table": [
        "alter table events rename to old", "create view events as select * from old"],
    "another name": ["alter table events rename to happenings"],
    "a missing column": ["alter table events drop column checksum"],
    "a further column": ["alter table events add column mood text"],
    "a renamed column": ["alter table events rename column data to content"],
    "a computed column": [
        "alter table events drop column checksum",
        "alter table events add column checksum generated always as (id)",
    ],
    "columns in another order": [
        "alter table events drop column time", "alter table events add column time real"],
    "no table but another": ["drop table events", "create table x (y)"],
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_file_with_anything_but_our_table_is_none_of_ours(name, tmp_path):
    write(tmp_path, *WHOLE)
    sql(tmp_path, *TABLES[name])
    before = (tmp_path / RECORD).read_bytes()
    for use in (lambda: read(tmp_path), lambda: Store(tmp_path, GOALS),
                lambda: runner.load(tmp_path)):  # fmt: skip
        with pytest.raises(RunFailed, match=r"not a record|another version") as caught:
            use()
        assert "\n" not in str(caught.value) and "damaged" not in str(caught.value)
        assert (tmp_path / RECORD).read_bytes() == before
    with pytest.raises(ConfigError, match="cannot be read as the record of a run"):
        runner.run(["space=mlp", "training=inline"], tmp_path)
    assert (tmp_path / RECORD).read_bytes() == before


def test_a_table_that_a_program_computes_is_none_of_ours(tmp_path):
    write(tmp_path, *WHOLE)
    sql(tmp_path, "drop table events", "pragma writable_schema = on",
        "insert into sqlite_master values ('table', 'events', 'events', 0,"
        " 'create virtual table events using dbstat')")  # fmt: skip
    with pytest.raises(RunFailed, match="not a record"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_of_something_else_is_damaged(content, tmp_path):
    (tmp_path / RECORD).write_bytes(content)
    for use in (lambda: read(tmp_path), lambda: Store(tmp_path, GOALS)):
        with pytest.raises(RunFailed, match=r"is damaged|is not a record") as caught:
            use()
        assert "\n" not in str(caught.value)
    assert (tmp_path / RECORD).read_bytes() == content


def test_a_journal_is_not_played_back_since_it_may_name_any_file(tmp_path):
    write(tmp_path, *WHOLE)
    (tmp_path / f"{RECORD}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    assert len(read(tmp_path).trials) == 1
    with pytest.raises(RunFailed, match=r"run\.db-journal exists"):
        Store(tmp_path, GOALS)
    assert (tmp_path / f"{RECORD}-journal").exists()


@contextmanager
def medium(where, options):
    """A file system of its own. Skips where none can be made."""
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(where)]
    made = subprocess.run(mount, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mount here: {made.stderr.strip()}")
    try:
        yield lambda new: subprocess.run(["mount", "-o", f"remount,{new}", str(where)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(where)], check=True)


mounts = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")


def killed_while_writing(folder):
    """A record whose last events are in the log beside it."""
    code = f"""
        import os
        from pathlib import Path
        from runner.store import Store
        from runner.goals import Goals, Objective
        from runner.trial import Proposal

        store = Store(Path({str(folder)!r}), Goals((Objective("val/accuracy", "max"),)))
        store.begin({CONFIG!r})
        store.propose(Proposal({PROPOSED[2]["sample"]!r}), 1, "k", None)
        store.record(0, "started", {{}})
        store.record(0, "finished", {{"val/accuracy": 0.5}})
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT)
    assert (folder / f"{RECORD}-wal").stat().st_size


@mounts
@pytest.mark.parametrize("how", ["closed", "killed"])
def test_a_run_is_read_from_a_read_only_medium(how, tmp_path):
    with medium(tmp_path / "disk", "size=4m") as change:
        folder = tmp_path / "disk" / "run"
        if how == "closed":
            write(folder, *WHOLE)
        else:
            killed_while_writing(folder)
        change("ro")
        before = sorted(p.name for p in folder.iterdir())
        run = runner.load(folder, trust=["toy"])
        assert run.best.score == 0.5 and run.gains == [] and "0.5" in run._repr_html_()
        assert sorted(p.name for p in folder.iterdir()) == before
        with pytest.raises(OSError, match="Read-only file system"):
            Store(folder, GOALS)


@mounts
@pytest.mark.parametrize("how", ["closed", "killed"])
def test_a_run_is_read_from_a_full_disk(how, tmp_path):
    with medium(tmp_path / "disk", "size=200k"):
        folder = tmp_path / "disk" / "run"
        if how == "closed":
            write(folder, *WHOLE)
        else:
            killed_while_writing(folder)
            (folder / f"{RECORD}-shm").unlink()
        with pytest.raises(OSError, match="No space"), (folder / "fill").open("wb", 0) as file:
            while True:
                file.write(b"x" * 512)
        assert runner.load(folder).best.score == 0.5


def test_a_closed_record_whose_folder_denies_writing_is_not_called_damaged(tmp_path, monkeypatch):
    write(tmp_path, *WHOLE)
    monkeypatch.setattr("runner.database._open", _denied)
    with pytest.raises(RunFailed, match=r"cannot be used: unable to open") as caught:
        read(tmp_path)
    assert "damaged" not in str(caught.value)


def _denied(path, mode):
    raise sqlite3.OperationalError("unable to open database file")


def empty(folder):
    (folder / RECORD).write_bytes(b"")


def with_a_table(folder):
    sql(folder, TABLE)


def with_a_log(folder):
    sql(folder, "pragma journal_mode = wal", TABLE)


def locked_only(folder):
    (folder / "run.lock").touch()


def with_a_torn_holder(folder):
    empty(folder)
    (folder / "holder.json").write_text("{")


def with_a_journal(folder):
    empty(folder)
    (folder / f"{RECORD}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))


TOY = ["trust=[toy]", "space._target_=toy.Net", "evaluator._target_=toy.Arithmetic",
       "evaluator.epochs=1", "evaluator.lr=0.5", "+evaluator.sleep=0", "strategy=random",
       "data._target_=toy.Nothing", "data.shape=[1]", "data.classes=2", "training=inline",
       "training.device=cpu", "budget.trials=1", "export.top=0"]  # fmt: skip


@pytest.mark.parametrize(
    "leave", [empty, with_a_table, with_a_log, locked_only, with_a_torn_holder, with_a_journal]
)
def test_what_is_left_before_the_first_event_is_no_run_and_a_new_one_may_have_the_folder(
    leave, tmp_path
):
    leave(tmp_path)
    assert not has_events(tmp_path)
    with pytest.raises(ConfigError, match=r"No run has begun in .*hydra\.run\.dir|There is no run"):
        runner.run([f"resume={tmp_path}"])
    with pytest.raises(ConfigError, match=r"No run has begun in|There is no run"):
        runner.load(tmp_path)
    run = runner.run([*TOY, f"hydra.run.dir={tmp_path}"])
    assert run.folder == tmp_path.resolve() and len(run.trials) == 1


KILLED = """
import os, sys
from pathlib import Path
from runner.store import Store
from runner.goals import Goals, Objective

import runner.store, runner.database, runner.run_folder

FILES = {module.__file__ for module in (runner.store, runner.database, runner.run_folder)}
folder, config = Path(sys.argv[1]), {config!r}


def child(last):
    seen = 0

    def trace(frame, kind, _):
        nonlocal seen
        if frame.f_code.co_filename not in FILES:
            return None
        if kind == "line":
            seen += 1
            if seen == last:
                os.kill(os.getpid(), 9)
        return trace

    sys.settrace(trace)
    store = Store(folder / str(last), Goals((Objective("val/accuracy", "max"),)))
    store.begin(config)
    os._exit(0)


last = 1
while True:
    if (pid := os.fork()) == 0:
        child(last)
    if os.waitpid(pid, 0)[1] == 0:
        break
    last += 1
print(last)
"""


def test_killed_at_every_line_of_the_beginning_the_folder_can_be_used(tmp_path, monkeypatch):
    done = subprocess.run([sys.executable, "-c", KILLED.replace("{config!r}", repr(CONFIG)),
                           str(tmp_path)], cwd=ROOT, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = int(done.stdout)
    assert lines > 40
    begun = []
    for place in range(1, lines):
        folder = tmp_path / str(place)
        begun.append(has_events(folder))
        if begun[-1]:
            assert read(folder).config == CONFIG and read(folder).trials == []
        if begun[-1] and place % 2:  # as `resume` goes on
            with Store(folder, GOALS) as store:
                assert list(store.replay()) == []
                store.propose(Proposal({}), 1, "k", None)
        elif not begun[-1]:  # as a new run, perhaps after the traces were removed
            assert place % 2 or delete_unbegun(folder) or not folder.exists()
            with Store(folder, GOALS) as store:
                store.begin(CONFIG)
                store.propose(Proposal({}), 1, "k", None)
        else:
            continue
        assert len(read(folder).trials) == 1
    assert begun == sorted(begun) and not begun[0] and begun[-1]


def test_traces_are_removed_only_of_a_run_that_has_not_begun_and_is_not_about_to(tmp_path):
    folder = write(tmp_path / "begun", *WHOLE)
    assert not delete_unbegun(folder) and has_events(folder)
    with Store(tmp_path / "new", GOALS):
        assert not delete_unbegun(tmp_path / "new")
        assert (tmp_path / "new" / "run.lock").exists()
    assert delete_unbegun(tmp_path / "new") and not [*(tmp_path / "new").iterdir()]
    assert delete_unbegun(tmp_path / "missing") and not (tmp_path / "missing").exists()


def test_a_record_that_is_copied_alone_is_whole(tmp_path):
    write(tmp_path / "run", BEGUN, PROPOSED, STARTED)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    assert read(tmp_path / "copy").trials == read(tmp_path / "run").trials
