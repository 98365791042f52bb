"""What a process knows of secrets: it hides them in configs, and masks them in texts and logs."""

import copy
import logging
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from runner.config.compose import compose_config
from runner.config.known_secrets import SHORTEST, KnownSecrets, vault
from runner.config.secrets import MASK
from runner.errors import ConfigError, one_line

REAL = "sesame-4711"


@pytest.fixture
def secrets(monkeypatch) -> KnownSecrets:
    """Secrets of a process that knows none yet."""
    made = KnownSecrets()
    monkeypatch.setattr(logging, "_logRecordFactory", logging.LogRecord)
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    return made


@given(secret=st.text(min_size=SHORTEST, max_size=12), around=st.text(max_size=5))
def test_no_text_shows_a_secret_however_it_is_spelled(secret, around):
    known = KnownSecrets()
    known._is_heard = True  # logs are not the matter here
    known.learn([secret])
    forms = (secret, repr(secret)[1:-1])
    text = around.join(["", *forms, ""])
    clean = known.clean(text)
    assert clean == known.clean(clean) or secret in MASK * 9
    if not {*secret} & {*MASK, *around}:
        assert secret not in clean


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
        "from runner.config.known_secrets import vault\n"
        f"vault.learn(['{REAL}'])\n"
        f"raise ValueError('no access with ' + 'sesame' + '-4711')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and REAL not in done.stderr.splitlines()[-1]
    assert done.stderr.splitlines()[-1] == f"ValueError: no access with {MASK}"


SOURCE = f'''
def linear(x, note="{REAL}"):
    # {REAL}
    text = """two
    lines of {REAL}""" + 'and {REAL}'
    return linear, f"{{text}} {REAL}"
'''


def test_source_is_masked_in_its_texts_and_goes_on_to_be_source(secrets):
    secrets.learn([REAL, "linear"])
    clean = secrets.clean_source(SOURCE)
    assert REAL not in clean and clean.count(MASK) == 5
    assert "def linear(x" in clean and "return linear," in clean
    compile(clean, "model.py", "exec")
    assert secrets.clean_source("x = 1\n") == "x = 1\n"


CONFIG = {
    "data": {"token": REAL, "n": 1, "deep": [{"secret": REAL}], "env": "${oc.env:HF_TOKEN}"},
    "url": f"http://u:{REAL}@h",
    "same": "${data.token}",
}


@pytest.mark.parametrize("is_readonly", [False, True])
def test_a_config_is_hidden_in_place_and_restored(secrets, is_readonly):
    config = OmegaConf.create(CONFIG)
    OmegaConf.set_readonly(config, is_readonly)
    secrets.hide(config, [f"data.token={REAL}", "space=mlp"])
    hidden = OmegaConf.to_container(config)
    assert REAL not in str(hidden)
    assert hidden["data"]["token"] == MASK and hidden["same"] == "${data.token}"
    assert hidden["url"] == f"http://u:{MASK}@h"
    copied = copy.deepcopy(config)
    found, overrides = secrets.restored(copied, [f"data.token={MASK}", "space=mlp"])
    assert OmegaConf.to_container(found) == CONFIG
    assert overrides == [f"data.token={REAL}", "space=mlp"]
    assert OmegaConf.is_readonly(config) == is_readonly


def test_each_config_is_given_its_own_secrets_in_any_order(secrets):
    first, second = (OmegaConf.create({"data": {"token": REAL + n}}) for n in "12")
    for config, n in ((first, "1"), (second, "2")):
        secrets.hide(config, [f"data.token={REAL}{n}"])
    for config, n in ((first, "1"), (second, "2")):
        found, overrides = secrets.restored(config, [f"data.token={MASK}"])
        assert found.data.token == REAL + n and overrides == [f"data.token={REAL}{n}"]
    other = OmegaConf.create({"data": {"token": MASK}})
    secrets.hide(other, [])
    found, overrides = secrets.restored(other, [f"data.token={MASK}"])
    assert found.data.token == MASK and overrides == [f"data.token={MASK}"]


def test_what_is_composed_has_masks_from_the_first_moment_on(monkeypatch):
    monkeypatch.setattr(vault, "_forms", [])
    config = compose_config([f"+data.api_key={REAL}"])
    assert config.data.api_key == MASK
    found, _ = vault.restored(config, [])
    assert found.data.api_key == REAL


def test_an_error_about_a_config_names_no_secret(monkeypatch):
    monkeypatch.setattr(vault, "_forms", [])
    with pytest.raises(Exception) as error:
        vault.note_arguments([f"data.token={REAL}("])
        compose_config([f"data.token={REAL}("])
    assert REAL not in vault.clean(one_line(error.value))


def test_a_mask_is_no_value():
    told = "is a secret and not saved; give it again, as in data.token=VALUE"
    with pytest.raises(ConfigError, match=told):
        compose_config(["+data.token='***'"])
