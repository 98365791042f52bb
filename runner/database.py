"""The SQLite file of a record: opened for writing, or for reading on any medium."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shutil import copyfile

from runner.errors import ConfigError, RunFailed
from runner.record_views import VIEWS

RECORD = "run.db"
LOG = f"{RECORD}-wal"
JOURNAL = f"{RECORD}-journal"
SHARED = f"{RECORD}-shm"
FILES = (RECORD, LOG, SHARED, JOURNAL)
COLUMNS = ("id", "time", "kind", "trial", "data", "checksum")
SCHEMA = """
create table if not exists events (
    id integer primary key, time real, kind text, trial integer, data text, checksum integer
)
"""


def connect_to_write(folder: Path) -> sqlite3.Connection:
    """Opens or creates a database with a write-ahead log: a kill loses nothing, readers do not
    block. Raises sqlite3.Error, or RunFailed if it is none of ours."""
    _check_files(folder)
    if (folder / JOURNAL).exists():  # SQLite would play it back, and it may name any other file
        raise RunFailed(
            f"{folder / JOURNAL} exists, which this runner never leaves beside a record that has "
            "begun. Restore the record from a copy, or start a new run."
        )
    db = _open(folder / RECORD, "mode=rwc")
    try:
        _check_tables(db, folder)
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def connection_to_read(folder: Path) -> Iterator[sqlite3.Connection]:
    """Opens a database for reading, even on a read-only or full disk; changes nothing in its
    folder. Raises RunFailed if it cannot be read, or is damaged."""
    _check_files(folder)
    with ExitStack() as closing, translated(folder):
        db = _readable(folder, closing)
        _check_tables(db, folder)
        yield db


def has_events(folder: Path) -> bool:
    """Returns whether a folder holds a record with an event. Without one, no run has begun there,
    although a run that was killed may have left an empty record. A record that cannot be read
    counts as one with events."""
    if not (folder / RECORD).exists():
        return False
    try:
        with connection_to_read(folder) as db:
            return has_table(db) and bool(db.execute("select 1 from events limit 1").fetchone())
    except (ConfigError, RunFailed):
        return True


def delete_record(folder: Path) -> None:
    """Deletes a record and the files that SQLite keeps beside it."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def create_tables(db: sqlite3.Connection) -> None:
    """Creates the table of a record, and the views of it that are missing: older records have
    none."""
    db.execute(SCHEMA)
    present = {name for (name,) in db.execute("select name from sqlite_master")}
    for name, text in VIEWS.items():
        if name not in present:
            db.execute(text)


def has_table(db: sqlite3.Connection) -> bool:
    """Returns whether a database has its table; a run may be killed before it has."""
    return bool(db.execute("select 1 from sqlite_master").fetchone())


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """Raises SQLite's errors as RunFailed: only a file with wrong content is damaged."""
    try:
        yield
    except sqlite3.OperationalError as error:  # no permission, a full disk, a lock
        if "decode" in str(error):
            raise damaged(folder, str(error)) from error
        raise RunFailed(f"The record {folder / RECORD} cannot be used: {error}.") from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise damaged(folder, str(error)) from error


def damaged(folder: Path, problem: str) -> RunFailed:
    """Returns the error for a record whose content is not what was written."""
    return RunFailed(
        f"The record {folder / RECORD} is damaged: {problem}. Nothing was changed. Restore it from "
        "a copy, or start a new run."
    )


def _check_files(folder: Path) -> None:
    """SQLite opens these files on its own, through links as well."""
    for name in FILES:
        path = folder / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise ConfigError(f"{path} is not a file of its own; a record is never read elsewhere.")


def _check_tables(db: sqlite3.Connection, folder: Path) -> None:
    """Raises RunFailed unless a database is empty or has our table, and no more than our views of
    it; views, triggers and computed columns would run what somebody wrote into them."""
    db.execute("pragma trusted_schema = off")
    found = db.execute("select type, name, rootpage, sql from sqlite_master limit 4").fetchall()
    if not found:
        return
    views = [("view", name, 0, text) for name, text in VIEWS.items()]
    others = [row for row in found if row not in views]
    if [row[:2] for row in others] != [("table", "events")] or not others[0][2]:
        names = ", ".join(f"{kind} {name!r}"[:60] for kind, name, *_ in found)
        raise RunFailed(
            f"{folder / RECORD} is not a record of this runner: it contains {names}; it must "
            "contain the table 'events' alone, and no other views of it than this runner makes."
        )
    columns = db.execute("select name, hidden from pragma_table_xinfo('events')").fetchall()
    if columns != [(name, 0) for name in COLUMNS]:
        names = ", ".join(str(name)[:20] for name, _ in columns[:10])
        raise RunFailed(
            f"{folder / RECORD} was written by another version of runner, or by another program: "
            f"its columns are {names}; they must be {', '.join(COLUMNS)}."
        )


def _readable(folder: Path, closing: ExitStack) -> sqlite3.Connection:
    """Opens a record in a way that changes nothing in its folder. SQLite, left to itself, makes the
    files it shares between processes, plays a log back into the record, and deletes the log."""
    alone = not _size(folder / RECORD) or (folder / JOURNAL).exists()  # what is beside is ignored
    if not alone and (folder / LOG).exists() and (folder / SHARED).exists():
        with suppress(sqlite3.OperationalError):  # not possible on every disk
            return _first_read(folder / RECORD, "mode=ro&readonly_shm=1", closing)
    if not alone and _size(folder / LOG):
        return _first_read(_copied(folder, closing) / RECORD, "mode=rw", closing)
    return _first_read(folder / RECORD, "mode=ro&immutable=1", closing)


def _first_read(path: Path, mode: str, closing: ExitStack) -> sqlite3.Connection:
    """Opens a database and reads from it, which is when SQLite opens its files."""
    db = _open(path, mode)
    closing.callback(db.close)
    db.execute("select 1 from sqlite_master").fetchone()
    return db


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _copied(folder: Path, closing: ExitStack) -> Path:
    """Copies a record and its log to where they can be read together."""
    try:
        copy = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="runner-")))
        for name in (RECORD, LOG):
            copyfile(folder / name, copy / name)
    except OSError as error:
        raise RunFailed(
            f"The record {folder / RECORD} cannot be read in place, nor copied to "
            f"{tempfile.gettempdir()}: {error.strerror}."
        ) from error
    return copy


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None, timeout=30
    )
