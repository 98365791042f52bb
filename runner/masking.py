"""The secrets that this process knows, masked in texts: messages, logs and tracebacks.

Errors ask here before they shorten what an exception says, so that no secret is cut in two.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, final
from urllib.parse import quote

MASK = "***"
SHORTEST = 4  # characters of a secret that is looked for in texts; shorter ones are in many words
LINE = 8  # characters of a line of a secret that is a secret itself
LONGEST_WORD = 20  # characters of an ordinary word or figure
_BEGINS = r"(?:(?<![^\W_])|(?<=\\[abfnrtv])|(?<=%[0-9A-Fa-f]{2}))"  # also behind an escape
_ENDS = r"(?![^\W_])"


@final
class Masker:
    """Knows secrets, and masks them in texts."""

    def __init__(self) -> None:
        self._patterns: frozenset[str] = frozenset()  # of the spellings of secrets
        self._pattern: re.Pattern[str] | None = None  # of all of them, the longest first
        self._is_heard = False  # whether logs and uncaught errors are looked through

    def learn(self, secrets: Iterable[str]) -> None:
        """Remembers secrets: from now on they are masked in texts, and in logs of this process."""
        found = {pattern for secret in secrets for pattern in _patterns(secret)}
        if found <= self._patterns:
            return
        self._patterns |= found
        self._pattern = _any_of(self._patterns)
        self._mask_outputs()

    def clean(self, text: str) -> str:
        """Returns a text in which known secrets are masked, however their white space is laid out.
        Ordinary words and figures are masked as whole words only."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def traceback(self, error: BaseException) -> str:
        """Returns the traceback of an exception, without secrets."""
        return self.clean("".join(traceback.format_exception(error)))

    # Logs and tracebacks

    def _mask_outputs(self) -> None:
        """From the first secret on, masks logs, and exceptions that nobody catches."""
        if self._is_heard:
            return
        self._is_heard = True
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = self._show_traceback
        before = logging.getLogRecordFactory()

        def masked(*args: Any, **kwargs: Any) -> logging.LogRecord:
            record = before(*args, **kwargs)
            self._mask_record(record)
            return record

        logging.setLogRecordFactory(masked)

    def _mask_record(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # which logging reports where it is formatted
            return
        if (clean := self.clean(text)) != text:
            record.msg, record.args = clean, ()
        if record.exc_info and (error := record.exc_info[1]) is not None:
            trace = "".join(traceback.format_exception(error))
            if (clean := self.clean(trace)) != trace:
                record.exc_text = clean.rstrip("\n")

    def _show_traceback(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Writes an exception that nobody caught, as Python does."""
        sys.stderr.write(self.traceback(error))


def is_ordinary(secret: str) -> bool:
    """Returns whether a secret is spelled like an ordinary word or a figure, which texts may have
    for reasons of their own."""
    if len(secret) > LONGEST_WORD:
        return False
    if secret.isalpha():
        return secret in (secret.lower(), secret.upper(), secret.capitalize())
    return re.fullmatch(r"\d+(\.\d+)?", secret) is not None


def without(secrets: Iterable[str]) -> Callable[[str], str]:
    """Returns a function that masks these secrets, and no others, in texts."""
    if not (patterns := {one for secret in secrets for one in _patterns(secret)}):
        return str
    return partial(_any_of(patterns).sub, MASK)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(sorted(patterns, key=_by_length)))


def _patterns(secret: str) -> list[str]:
    """Returns patterns of the ways to spell a secret: plain, quoted, or in a URL. Lines of a longer
    one are secrets, too; a short one is looked for only where a URL has its password."""
    lines = [line for line in map(str.strip, secret.splitlines()) if len(line) >= LINE]
    spelled = [
        spelling
        for text in dict.fromkeys([secret, secret.strip(), *lines])
        for spelling in (text, repr(text)[1:-1], json.dumps(text)[1:-1], quote(text, safe=""))
        if spelling.strip()
    ]
    if len(secret.strip()) < SHORTEST:
        return [f"(?<=[:/]){re.escape(one)}(?=[:@])" for one in spelled]
    return [_pattern(one) for one in spelled]


def _pattern(text: str) -> str:
    found = r"\s+".join(map(re.escape, text.split()))
    if not is_ordinary(text):
        return found
    figure = text[0].isdigit()
    before, after = (r"(?<!\d[.,])", r"(?!\.\d)") if figure else ("", "")
    return f"{_BEGINS}{before}{found}{_ENDS}{after}"


def _by_length(pattern: str) -> tuple[int, str]:
    return -len(pattern), pattern


masker = Masker()
