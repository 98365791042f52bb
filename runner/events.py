"""Events: what a record consists of. Each is validated where it is read, and so is their order."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, final, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

VERSION: Final = 2
EventKind = Literal[
    "begun", "resumed", "grouped", "proposed", "started", "metrics", "finished", "stopped", "failed"
]
OF_RUN = ("begun", "resumed", "grouped")  # the kinds of events that belong to no trial
DEPTH = 64  # of nested data; deeper data would exhaust the stack of what handles it
LATEST = 253402300800.0  # seconds since the epoch: the year 10000, which no date can hold


class OddEvent(ValueError):
    """An event that this program did not write; the message says what is odd."""


class OtherVersion(OddEvent):
    """An event that another version of this program may have written."""


@final
@dataclass(frozen=True)
class Event:
    """An event. `trial` is None for events of the run as a whole."""

    time: float  # seconds since the epoch
    kind: EventKind
    trial: int | None
    data: Mapping[str, Any]


def _is_float(number: float) -> float:
    try:
        float(number)
    except OverflowError:
        raise ValueError("the number is too large") from None
    return number


Natural64 = Annotated[int, Field(ge=0, lt=2**63)]
Number = Annotated[int | float, AfterValidator(_is_float)]


class EventData(BaseModel):
    """The data of an event: no unknown keys, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class BegunData(EventData):
    version: Literal[2]
    config: dict[str, Any]
    run: str = ""  # a random name, which signatures contain; older records have none
    signature: str | None = None


class ResumedData(EventData):
    config: dict[str, Any]
    signature: str | None = None


class GroupedData(EventData):
    models: Natural64
    launches: Natural64 = 0
    operations: Natural64 = 0
    speedup: Number = 1.0
    why: str = ""


class ProposedData(EventData):
    sample: dict[str, Any]
    seed: Natural64
    key: str
    duplicate_of: Natural64 | None
    parent: Natural64 | None = None  # older records have no parents
    repeat_of: Natural64 | None = None  # these four are recorded if they are not the usual
    stage: Literal["search", "baseline", "confirm"] = "search"
    random: bool = False
    proxy: Annotated[Number, Field(allow_inf_nan=False)] | None = None


class StartedData(EventData):
    pass


class FailedData(EventData):
    reason: str
    text: str
    metrics: dict[str, Number] = {}  # of a trial that was refused because of them


_METRICS = TypeAdapter(dict[str, Number], config=ConfigDict(strict=True))
_DATA: Mapping[str, TypeAdapter[Any]] = {
    "begun": TypeAdapter(BegunData),
    "resumed": TypeAdapter(ResumedData),
    "grouped": TypeAdapter(GroupedData),
    "proposed": TypeAdapter(ProposedData),
    "started": TypeAdapter(StartedData),
    "metrics": _METRICS,
    "finished": _METRICS,
    "stopped": _METRICS,
    "failed": TypeAdapter(FailedData),
}


def parse_event(time: object, kind: object, trial: object, data: object) -> Event:
    """Returns the event of a row. Raises OddEvent, or OtherVersion."""
    if kind not in get_args(EventKind):
        raise OtherVersion(f"its kind is {_short(kind)}")
    if type(time) not in (int, float) or not 0 <= time < LATEST:  # type: ignore[operator]
        raise OddEvent(f"its time is {_short(time)}")
    if type(trial) is not (type(None) if kind in OF_RUN else int):
        raise OddEvent(f"its trial is {_short(trial)}")
    content = _json(data)
    if kind == "begun" and content.get("version") != VERSION:
        version = content.get("version", "(none)")
        raise OtherVersion(f"its version is {_short(version)}, and this one reads {VERSION}")
    try:
        _DATA[str(kind)].validate_python(content)
    except ValidationError as error:
        raise _explained(error) from None
    return Event(time, kind, trial, content)  # type: ignore[arg-type]


def _json(data: object) -> dict[str, Any]:
    if not isinstance(data, str):
        raise OddEvent(f"its data is {_short(data)}, not text")
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        raise OddEvent(f"its data is not JSON: {_short(data)}") from None
    if not isinstance(content, dict):
        raise OddEvent(f"its data is not a JSON object: {_short(data)}")
    if _depth(content) > DEPTH:
        raise OddEvent("its data is nested too deeply")
    return content


def _depth(value: Any, so_far: int = 0) -> int:
    """Returns how deeply containers are nested; counts no further than needed."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if so_far > DEPTH or not inner:
        return so_far
    return max(_depth(item, so_far + 1) for item in inner)


def _explained(error: ValidationError) -> OddEvent:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    match problem["type"]:
        case "extra_forbidden":
            return OtherVersion(f"it has the unknown key {_short(where)}")
        case "missing":
            return OtherVersion(f"it has no {_short(where)}")
    return OddEvent(f"its {_short(where)} is {_short(problem['input'])}")


def _short(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a number with too many digits
        text = f"a large {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}…"


@final
class EventOrder:
    """The order of events: each trial is proposed, started, reports metrics, and ends once."""

    def __init__(self) -> None:
        self._begun = False
        self._next = 0
        self._owners: set[int] = set()  # trials whose result others may share, or repeat
        self._owned: set[int] = set()  # trials that have a result of their own
        self._running: set[int] = set()
        self._started: set[int] = set()

    def check(self, event: Event) -> None:
        """Raises OddEvent if an event cannot follow those that were checked before."""
        if (event.kind == "begun") == self._begun:
            raise OddEvent("the run began before" if self._begun else "the run has not begun")
        self._begun = True
        if event.trial is None:
            return
        if event.kind == "proposed":
            self._propose(event.trial, event.data)
        elif event.trial not in self._running:
            raise OddEvent(f"trial {event.trial} is not running")
        elif event.kind == "started":
            self._started.add(event.trial)
        else:
            self._report(event.trial, event.kind)

    def _propose(self, number: int, data: Mapping[str, Any]) -> None:
        if number != self._next:
            raise OddEvent(f"trial {number} follows trial {self._next - 1}")
        first, parent = data["duplicate_of"], data.get("parent")
        repeated = data.get("repeat_of")
        if first is not None and first not in self._owners:
            raise OddEvent(f"trial {number} is a duplicate of {first}")
        if parent is not None and parent >= number:
            raise OddEvent(f"trial {number} is derived from {parent}")
        if repeated is not None and (first is not None or repeated not in self._owners):
            raise OddEvent(f"trial {number} repeats {repeated}")
        if first is None:
            self._owned.add(number)
            if repeated is None:
                self._owners.add(number)
        self._next += 1
        self._running.add(number)

    def _report(self, number: int, kind: str) -> None:
        """Only a trial that shares a result, or that could not run, ends without a start."""
        if kind != "failed" and number in self._owned and number not in self._started:
            raise OddEvent(f"trial {number} has not started")
        if kind != "metrics":
            self._running.discard(number)
            self._started.discard(number)
