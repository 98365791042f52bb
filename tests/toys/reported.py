"""Records of made-up searches, for their reports: one like any other, and a hostile one."""

import random
from typing import Any

from records import NOW, configured

# What somebody else's record may hold wherever it holds text: ends of elements, quotes, bidi marks
# and other control characters, a lone surrogate, templates, and nothing of sense.
HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`&lt;-->]]>"
    "\u202eevil\u2066\x1b[31m\u2028${7*7}{{8*8}}\n\ud800<a href=javascript:alert(3)>"
)
TWO = [{"metric": "val/accuracy", "mode": "max"}, {"metric": "params", "mode": "min"}]


def searched(count: int, *, failures: bool = True) -> list[tuple[Any, ...]]:
    """The events of a search of two objectives, with a conditional choice and a failure."""
    rng, events = random.Random(count), [configured(objective=TWO)]
    for number in range(count):
        depth = rng.choice([1, 2])
        sample = {
            "depth": depth,
            "width": rng.choice([16, 32, 64]),
            "lr": 10 ** rng.uniform(-4, -1),
        }
        if depth == 2:
            sample["block1/act"] = rng.choice(["relu", "gelu"])
        told = {"sample": sample, "seed": number, "key": str(number), "duplicate_of": None}
        events += [("proposed", number, told), ("started", number, {})]
        if failures and number % 7 == 3:
            events.append(("failed", number, {"reason": "error", "text": "ValueError: no"}))
            continue
        for epoch in range(3):
            value = 0.5 + 0.1 * depth + 0.05 * epoch + 0.1 * rng.random()
            events.append(("metrics", number, {"val/accuracy": value, "val/loss": 1 - value}))
        events.append(("finished", number, {"params": 1000 * depth + rng.randrange(500)}))
    return events


def hostile_events() -> list[tuple[Any, ...]]:
    """A record with hostile text in every field that may hold text."""
    node = {"_target_": HOSTILE, HOSTILE: HOSTILE}
    config = configured(
        space=node, engine=node, strategy=node, evaluator=node, data=node, trust=[HOSTILE],
        objective={"metric": HOSTILE, "mode": "max"}, search={HOSTILE: [HOSTILE]},
        prior={HOSTILE: [1.0]}, measures=[HOSTILE],
    )  # fmt: skip
    sample = {HOSTILE: HOSTILE, f"{HOSTILE}/a": [HOSTILE, {HOSTILE: None}], "x" * 200: "y" * 200}
    told = {"sample": sample, "seed": 0, "key": HOSTILE, "duplicate_of": None}
    other = {**told, "sample": {**sample, HOSTILE: f"{HOSTILE}2"}}
    return [
        config,
        ("proposed", 0, told), ("started", 0, {}),
        ("metrics", 0, {HOSTILE: 0.25, f"{HOSTILE}b": 2.0}),
        ("metrics", 0, {HOSTILE: 0.5, f"{HOSTILE}b": 1.0}),
        ("finished", 0, {}),
        ("proposed", 1, other), ("started", 1, {}),
        ("metrics", 1, {HOSTILE: 0.125}), ("metrics", 1, {HOSTILE: 0.75}), ("finished", 1, {}),
        ("proposed", 2, {**other, "key": "2"}), ("started", 2, {}),
        ("failed", 2, {"reason": HOSTILE, "text": HOSTILE}),
        ("grouped", None, {"models": 1, "why": HOSTILE}),
    ]  # fmt: skip


def pair(number: int, score: float, sample: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The events of a trial that has one result."""
    told = {"sample": sample, "seed": 0, "key": str(number), "duplicate_of": None}
    return [("proposed", number, told), ("started", number, {}, NOW + number),
            ("finished", number, {"val/accuracy": score}, NOW + number + 0.5)]  # fmt: skip
