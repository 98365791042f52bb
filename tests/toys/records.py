"""Records with valid checksums and any content, as somebody else's program might write them."""

import json
import sqlite3
import zlib
from pathlib import Path
from typing import Any

from runner.store import RECORD

NOW = 1.7e9
CONFIG = {
    "engine": {"_target_": "runner.engines.py.PyEngine"},
    "space": {"_target_": "toy.Net"},
    "strategy": {"_target_": "runner.strategies.random.Random"},
    "stopper": {"_target_": "runner.stoppers.none.Never"},
    "evaluator": {"_target_": "toy.Arithmetic", "epochs": 1, "lr": 0.5, "sleep": 0.0},
    "data": {"_target_": "toy.Nothing", "shape": [1], "classes": 2},
    "training": {
        "_target_": "runner.training.inline.Inline", "device": "cpu", "threads": 1,
        "max_failures": None, "fail_fast": False,
    },
    "task": {"_target_": "runner.tasks.search.Search"},
    "seed": 0,
    "budget": {"trials": 2, "minutes": None, "epochs": None, "cost": None},
    "objective": {"metric": "val/accuracy", "mode": "max"}, "constraints": [],
    "measure": {}, "measures": [], "proxy": {}, "screen": None,
    "search": None, "initial_weights": None, "fidelity": None, "prior": None,
    "repeat": 1,
    "confirm": None,
    "compare": None,
    "dedup": True,
    "export": {"top": 1, "source": "import", "keep_weights": 10},
    "report": None,
    "logger": {},
    "trust": ["toy"],
    "resume": None,
}  # fmt: skip
SAMPLE = {"width": 1, "depth": 1, "skip": False}
BEGUN = ("begun", None, {"version": 2, "config": CONFIG})
PROPOSED = (
    "proposed", 0, {"sample": SAMPLE, "seed": 1, "key": "k", "duplicate_of": None},
)  # fmt: skip
STARTED = ("started", 0, {})
METRICS = ("metrics", 0, {"val/accuracy": 0.5})
FINISHED = ("finished", 0, {})
WHOLE = (BEGUN, PROPOSED, STARTED, METRICS, FINISHED)
TABLE = "create table events (id integer primary key, time real, kind text, trial integer, data text, checksum integer)"  # noqa: E501


def write(folder: Path, *events: tuple[Any, ...], table: str = TABLE) -> Path:
    """Writes a record of events, each `(kind, trial, data)` or `(kind, trial, data, time)`, with
    the checksums that they should have. Data that is no text is written as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    chain = 0
    db = sqlite3.connect(folder / RECORD)
    db.execute(table)
    for number, (kind, trial, data, *when) in enumerate(events, start=1):
        content = data if isinstance(data, str | bytes | None) else json.dumps(data)
        row = (when[0] if when else NOW + number, kind, trial, content)
        db.execute(
            "insert into events (id, time, kind, trial, data) values (?, ?, ?, ?, ?)",
            (number, *row),
        )
        stored = db.execute(
            "select time, kind, trial, data from events where id = ?", (number,)
        ).fetchone()
        chain = zlib.crc32("\0".join(map(repr, stored)).encode("utf-8", "replace"), chain)
        db.execute("update events set checksum = ? where id = ?", (chain, number))
    db.commit()
    db.close()
    return folder


def changed(event: tuple[Any, ...], **data: Any) -> tuple[Any, ...]:
    """Returns an event with other data; `...` leaves a key out."""
    kind, trial, before = event
    merged = {**before, **data}
    return kind, trial, {key: value for key, value in merged.items() if value is not ...}


def configured(**config: Any) -> tuple[Any, ...]:
    """Returns the first event of a run with another config; `...` leaves a key out."""
    merged = {key: value for key, value in {**CONFIG, **config}.items() if value is not ...}
    return changed(BEGUN, config=merged)
