"""Secrets are masked in texts, logs and tracebacks."""

import json
import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import errors
from runner.masking import MASK, SHORTEST, Masker, is_ordinary

REAL = "sesame-4711"


@pytest.fixture
def secrets(monkeypatch) -> Masker:
    """What a process knows that knows no secrets yet."""
    monkeypatch.setattr(logging, "_logRecordFactory", logging.LogRecord)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    return Masker()


def quiet() -> Masker:
    """A masker that leaves logs alone."""
    made = Masker()
    made._is_heard = True
    return made


def spellings(secret: str) -> tuple[str, ...]:
    return secret, repr(secret)[1:-1], " ".join(secret.split()), secret.replace(" ", "\n  ")


@given(secret=st.text(min_size=SHORTEST, max_size=12), around=st.text(max_size=5))
def test_no_text_shows_a_secret_however_it_is_spelled(secret, around):
    known = quiet()
    known.learn([secret])
    if is_ordinary(secret):  # which is a secret as a whole word only
        around = f" {around} "
    clean = known.clean(around.join(["", *spellings(secret), ""]))
    assert clean == known.clean(clean) or {*secret} & {*MASK}
    if len(secret.strip()) >= SHORTEST and not {*secret} & {*MASK, *around}:
        assert secret not in clean


@pytest.mark.parametrize(
    "secret",
    ["-----BEGIN KEY-----\nline-of-it-1\n-----END KEY-----\n", "pass  phrase 1", "ends-1\n"],
)
@pytest.mark.parametrize(
    "shown",
    [
        str,
        repr,
        json.dumps,
        lambda s: " ".join(s.split()),
        str.strip,
        lambda s: s.splitlines()[len(s.splitlines()) // 2],
    ],
)
def test_white_space_does_not_hide_a_secret(secret, shown):
    known = quiet()
    known.learn([secret])
    clean = " ".join(known.clean(f"bad {shown(secret)} there").split())
    assert clean in (f"bad {MASK} there", f'bad "{MASK}" there', f"bad '{MASK}' there")


def test_an_exception_is_masked_before_it_is_laid_out_and_cut(monkeypatch):
    secret = "\n".join(f"part  {i:03d}" for i in range(400))
    monkeypatch.setattr(errors, "masker", known := quiet())
    known.learn([secret])
    assert errors.one_line(ValueError(f"bad {secret} there")) == f"ValueError: bad {MASK} there"
    long = "x" * (errors.LONGEST - 3) + "SESAME-4711"
    known.learn(["SESAME-4711"])
    assert "SES" not in errors.message(ValueError(long)) and "SES" not in errors.shown(long, 1999)


@pytest.mark.parametrize(
    ("secret", "text", "clean"),
    [
        ("trial", "2 trials, a trial\\ntrial", "2 trials, a ***\\n***"),
        ("1234", "score 0.1234 91234 12345 1234.5, 1234.", "score 0.1234 91234 12345 1234.5, ***."),
        ("relu", "prelu relu_ 'relu'", "prelu ***_ '***'"),
        ("sesame-1", "xsesame-1x", "x***x"),
        ("a1b2c3", "xa1b2c3x", "x***x"),
        ("S2k", "S2k at http://u:S2k@h", "S2k at http://u:***@h"),
        ("word", "a%20word", "a%20***"),
    ],
)
def test_ordinary_words_and_figures_are_masked_as_whole_words_only(secret, text, clean):
    known = quiet()
    known.learn([secret])
    assert known.clean(text) == clean


def test_a_longer_secret_is_masked_before_one_that_it_contains(secrets):
    secrets.learn(["abcd", "abcdef"])
    assert secrets.clean("x abcdef y abcd") == f"x {MASK} y {MASK}"


def test_short_secrets_are_not_looked_for_in_texts(secrets):
    secrets.learn(["abc", ""])
    assert secrets.clean("the abc") == "the abc"


def test_logs_and_tracebacks_are_masked_from_the_first_secret_on(secrets, caplog):
    secrets.learn([REAL])
    log = logging.getLogger("secretive")
    log.warning("used %s", REAL)
    try:
        raise ValueError(f"no access with {REAL}")
    except ValueError:
        log.exception("failed")
    log.warning("%d", 7)
    said = caplog.handler.format(caplog.records[1])
    assert caplog.records[0].getMessage() == f"used {MASK}"
    assert f"no access with {MASK}" in said and REAL not in said
    assert caplog.records[2].args == (7,)
    broken = logging.getLogRecordFactory()("a", 30, "f.py", 1, "broken %d", (7, 8), None)
    assert broken.args == (7, 8)  # which logging reports itself, as ever


def test_an_exception_that_nobody_caught_is_masked():
    code = (
        "from runner.masking import masker\n"
        f"masker.learn(['{REAL}'])\n"
        f"raise ValueError('no access with ' + 'sesame' + '-4711')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and REAL not in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1] == f"ValueError: no access with {MASK}"
