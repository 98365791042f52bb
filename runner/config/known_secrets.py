"""The secrets that this process knows, and how they are kept out of what it shows and writes.

Composed configs hold masks in their place from the first moment on, since Hydra saves them;
`restored` gives the secrets back to whoever needs them.
"""

import io
import json
import logging
import os
import sys
import tokenize
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, final
from urllib.parse import quote

from omegaconf import Container, DictConfig, ListConfig, OmegaConf, read_write

from runner.config.secrets import (
    MASK,
    changed,
    is_from_environment,
    masked_as_written,
    masked_override,
    passwords,
    secrets_of_override,
    variables,
)

FLAG = "runner-secrets-"  # of a config, with a number; copies have it, too
ENVIRONMENT = "hydra.job.env_set."  # variables, which have these values in our environment
TEXTS = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
SHORTEST = 4  # characters of a secret that is looked for in texts; shorter ones are in many words


@final
@dataclass(frozen=True)
class HiddenSecrets:
    """What was hidden in a config."""

    written: Mapping[str, str]  # key -> text, before
    overrides: Mapping[str, str]  # as they are shown -> as they were given


@final
class KnownSecrets:
    """Secrets, and where the configs composed so far had them."""

    def __init__(self) -> None:
        self._forms: list[str] = []  # as they may be spelled in a text, the longest first
        self._hidden: list[HiddenSecrets] = []  # by the numbers that flags of configs have
        self._is_heard = False  # whether logs and uncaught errors are looked through

    def learn(self, secrets: Iterable[str]) -> None:
        """Remembers secrets: from now on they are masked in texts, and in logs of this process."""
        forms = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
        if new := forms - {*self._forms}:
            self._forms = sorted({*self._forms, *new}, key=len, reverse=True)
            self._mask_outputs()

    def note_arguments(self, arguments: Sequence[str]) -> None:
        """Remembers the secrets of a command line, before anything is said of it."""
        self.learn(secret for one in arguments for secret in secrets_of_override(one))

    def clean(self, text: str) -> str:
        """Returns a text in which known secrets are masked."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def clean_source(self, source: str) -> str:
        """Returns Python source in which known secrets are masked where they are texts, and not
        where they happen to be names."""
        if self.clean(source) == source:
            return source
        try:
            found = [*tokenize.generate_tokens(io.StringIO(source).readline)]
        except (tokenize.TokenError, SyntaxError):
            return self.clean(source)
        lines = source.splitlines(keepends=True)
        for token in reversed(found):
            if token.type not in TEXTS or (clean := self.clean(token.string)) == token.string:
                continue
            (first, begin), (last, end) = token.start, token.end
            rest = lines[last - 1][end:]
            lines[first - 1 : last] = [f"{lines[first - 1][:begin]}{clean}{rest}"]
        return "".join(lines)

    def traceback(self, error: BaseException) -> str:
        """Returns the traceback of an exception, without secrets."""
        return self.clean("".join(traceback.format_exception(error)))

    # Composed configs

    def hide(self, config: DictConfig, overrides: Sequence[str]) -> None:
        """Masks the secrets of a config in place, and those of the overrides that it was composed
        from. Remembers them for this config and its copies."""
        self.note_arguments(overrides)
        shown = {one: masked_override(one) for one in overrides}
        found: dict[str, str] = {}
        written: dict[str, str] = {}

        def change(key: str, text: str, is_secret: bool) -> str:
            if key.startswith(ENVIRONMENT) and is_secret:  # Hydra sets it before a run
                new = f"${{oc.env:{key.removeprefix(ENVIRONMENT)}}}"
            elif key.startswith("hydra.overrides."):
                new = shown.get(text, masked_override(text))
            elif key == "hydra.job.override_dirname":
                new = _replaced(text, shown)
            else:
                if is_from_environment(text, is_secret=is_secret):
                    self.learn(os.environ.get(name, "") for name in variables(text))
                new = masked_as_written(text, is_secret=is_secret)
                if new != text:
                    self.learn(passwords(text) if new != MASK else [text])
                    written[key] = text
            if new != text:
                found[key] = new
            return new

        changed(OmegaConf.to_container(config), change)
        _put(config, found)
        if written:
            config._set_flag(f"{FLAG}{len(self._hidden)}", True)
            given = {new: one for one, new in shown.items()}
            self._hidden.append(HiddenSecrets(written, given))

    def restored(
        self, config: DictConfig, overrides: Sequence[str]
    ) -> tuple[DictConfig, list[str]]:
        """Returns a config, and its overrides, with the secrets that were hidden in it."""
        flags = [name for name in config._metadata.flags or () if name.startswith(FLAG)]
        if not flags:
            return config, [*overrides]
        hidden = self._hidden[int(flags[-1].removeprefix(FLAG))]
        found = config.copy()
        _put(found, hidden.written)
        return found, [hidden.overrides.get(one, one) for one in overrides]

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


def _forms(secret: str) -> list[str]:
    """Returns how a secret may be spelled in a text: plain, quoted, or in a URL."""
    return [secret, repr(secret)[1:-1], json.dumps(secret)[1:-1], quote(secret, safe="")]


def _replaced(text: str, shown: dict[str, str]) -> str:
    for one, new in shown.items():
        text = text.replace(one.lstrip("+"), new.lstrip("+"))
    return text


def _put(config: DictConfig, found: Mapping[str, str]) -> None:
    """Sets texts at keys of a config, which may be read-only, without resolving anything."""
    if not found:
        return

    def visit(node: Container, where: str) -> None:
        with read_write(node):
            for key, inner in _children(node, where):
                child: Any = node._get_node(key)
                if isinstance(child, Container):
                    if not (child._is_none() or child._is_missing() or child._is_interpolation()):
                        visit(child, inner)
                elif inner in found:
                    child._set_value(found[inner])

    visit(config, "")


def _children(node: Container, where: str) -> list[tuple[Any, str]]:
    if isinstance(node, ListConfig):
        return [(i, f"{where}[{i}]") for i in range(len(node))]
    assert isinstance(node, DictConfig)
    return [(key, f"{where}.{key!s}" if where else str(key)) for key in [*node.keys()]]


vault = KnownSecrets()
