"""Secrets are hidden in configs and in source, and given back to whoever needs them."""

import copy

import pytest
from omegaconf import OmegaConf

from runner.config.compose import compose_config
from runner.config.known_secrets import KnownSecrets, vault
from runner.errors import ConfigError, one_line
from runner.masking import MASK, masker

REAL = "sesame-4711"


@pytest.fixture
def secrets() -> KnownSecrets:
    """The hidden secrets of a process that knows none yet."""
    return KnownSecrets()


@pytest.fixture(autouse=True)
def known(monkeypatch) -> None:
    """What is masked is forgotten with the test."""
    monkeypatch.setattr(masker, "_patterns", frozenset())
    monkeypatch.setattr(masker, "_pattern", None)


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


def test_what_is_composed_has_masks_from_the_first_moment_on():
    config = compose_config([f"+data.api_key={REAL}"])
    assert config.data.api_key == MASK
    found, _ = vault.restored(config, [])
    assert found.data.api_key == REAL


def test_an_error_about_a_config_names_no_secret():
    with pytest.raises(Exception) as error:
        vault.note_arguments([f"data.token={REAL}("])
        compose_config([f"data.token={REAL}("])
    assert REAL not in masker.clean(one_line(error.value))


def test_a_mask_is_no_value():
    told = "is a secret and not saved; give it again, as in data.token=VALUE"
    with pytest.raises(ConfigError, match=told):
        compose_config(["+data.token='***'"])
