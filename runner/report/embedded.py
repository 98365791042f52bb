"""Values of a record as they may stand in a page: clean text, short numbers, JSON in HTML."""

import html
import json
import math
from typing import Any

from runner.display import format as text
from runner.space.choice import JsonValue

DIGITS = 6  # of a metric


def escaped(words: str) -> str:
    """Returns text as HTML; control, bidi and other invisible characters are shown escaped."""
    return html.escape(text.clean(words))


def shown(item: JsonValue) -> str:
    """Returns a value of a sample as clean text, whole: strings unchanged, unless nothing would be
    seen of them, all others as JSON."""
    is_plain = isinstance(item, str) and item.strip() != ""
    return text.clean(item if is_plain else json.dumps(item, ensure_ascii=False))


def short(value: float | None) -> float | str | None:
    """Returns a number with six digits; one that is not finite as a string, as JSON has none."""
    if value is None:
        return None
    if not math.isfinite(value):
        return str(value)
    found = float(f"{value:.{DIGITS}g}")
    whole = abs(found) < 2**53 and found.is_integer()
    return int(found) if whole else found


def script_json(data: Any) -> str:
    """Returns data as JSON that may stand in a script element: nothing in it ends the element or
    begins a comment, and all of it is ASCII."""
    found = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        found = found.replace(character, f"\\u{ord(character):04x}")
    return found
