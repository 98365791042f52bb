"""What is saved of a config has none of its secrets, wherever they are in it, and all else."""

import json
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.config.compose import compose_config
from runner.config.saved_secrets import WrittenConfig, secrets_of
from runner.config.secrets import missing
from runner.config.settings import Settings, differences, settings_from
from runner.errors import ConfigError
from runner.masking import MASK, masker

REAL = "sesame-4711"
ENVIRONMENT = {"MY_TOKEN": REAL, "PLAIN": REAL, "HOME_OF": "/home/me", "NAME": "bob"}


@pytest.fixture(autouse=True)
def known(monkeypatch) -> None:
    """What is masked is forgotten with the test."""
    monkeypatch.setattr(masker, "_patterns", frozenset())
    monkeypatch.setattr(masker, "_pattern", None)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    return compose_config(["space=mlp"])


def with_data(composed: DictConfig, data: dict[str, Any], **others: Any) -> Settings:
    """The settings of a config whose data has some more arguments."""
    config = composed.copy()
    with open_dict(config):
        config.data = {**OmegaConf.to_container(config.data), **data}
        for key, value in others.items():
            config[key] = value
    return settings_from(config, [])


FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "typed again": ({"token": REAL, "user": REAL}, {"token": MASK, "user": MASK}),
    "in a text": (
        {"token": REAL, "note": f"me {REAL}, it"},
        {"token": MASK, "note": f"me {MASK}, it"},
    ),
    "in a path": ({"token": REAL, "at": f"/x{REAL}/y"}, {"token": MASK, "at": f"/x{MASK}/y"}),
    "in a list": ({"token": REAL, "to": [["a", REAL]]}, {"token": MASK, "to": [["a", MASK]]}),
    "encoded": (
        {"token": "p@ss w0rd", "url": "x/p%40ss%20w0rd"},
        {"token": MASK, "url": f"x/{MASK}"},
    ),
    "quoted": ({"token": 'a"b\\c', "note": r'"a\"b\\c"'}, {"token": MASK, "note": f'"{MASK}"'}),
    "a credential": ({"token": f"Bearer {REAL}", "note": REAL}, {"token": MASK, "note": MASK}),
    "a user of a URL": (
        {"url": f"https://{REAL}@host", "note": f"is {REAL}"},
        {"url": f"https://{MASK}@host", "note": f"is {MASK}"},
    ),
    "a parameter": (
        {"url": f"https://h?api_key={REAL}&n=1", "note": REAL},
        {"url": f"https://h?api_key={MASK}&n=1", "note": MASK},
    ),
    "a reference": (
        {"token": REAL, "note": "${data.token}", "deep": [{"x": ["a ${data.token}"]}]},
        {"token": MASK, "note": MASK, "deep": [{"x": [f"a {MASK}"]}]},
    ),
    "in a resolver": (
        {"token": REAL, "n": "${oc.decode:'{a: ${data.token}, b: [x]}'}"},
        {"token": MASK, "n": {"a": MASK, "b": ["x"]}},
    ),
    "a variable": ({"note": "${oc.env:MY_TOKEN}"}, {"note": "${oc.env:MY_TOKEN}"}),
    "in quotes": ({"note": "${oc.env:'MY_TOKEN'}"}, {"note": MASK}),
    "with a default": ({"note": "${oc.env:MY_TOKEN,none}"}, {"note": MASK}),
    "in words": ({"note": "use ${oc.env:MY_TOKEN}."}, {"note": f"use {MASK}."}),
    "of a key": (
        {"token": "${oc.env:PLAIN}", "note": "in a ${oc.env:PLAIN}", "same": "${oc.env:PLAIN}"},
        {"token": "${oc.env:PLAIN}", "note": f"in a {MASK}", "same": "${oc.env:PLAIN}"},
    ),
    "taken and typed": (
        {"token": "${oc.env:PLAIN}", "note": f"in {REAL}"},
        {"token": "${oc.env:PLAIN}", "note": f"in {MASK}"},
    ),
    "a URL of a variable": (
        {"url": "https://${oc.env:MY_TOKEN}@h", "note": REAL},
        {"url": "https://${oc.env:MY_TOKEN}@h", "note": MASK},
    ),
    "a URL of any variable": ({"url": "https://${oc.env:PLAIN}@h"}, {"url": f"https://{MASK}@h"}),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_secret_is_saved(composed, form):
    given, saved = FORMS[form]
    settings = with_data(composed, given)
    found = settings.saved()
    assert {key: found["data"][key] for key in saved} == saved
    assert REAL not in json.dumps(found)
    bare = with_data(composed, {})
    assert {**found, "data": {}} == {**bare.saved(), "data": {}}  # nothing else is changed
    real = OmegaConf.to_container(OmegaConf.create({"data": given}), resolve=True)
    assert {key: settings.data[key] for key in given} == real["data"]
    before = Settings.model_validate(found)
    assert not differences(before, settings.with_secrets_of(before), ())
    masker.learn(settings.secret_texts)
    assert REAL not in masker.clean(json.dumps(settings.model_dump()))


@pytest.mark.parametrize(
    "data",
    [
        {"token": "relu", "act": "relu", "acts": ["with relu", "relu,gelu"]},
        {"token": "1234", "port": "1234"},
        {"url": "http://u:pass@h", "note": "to pass by", "all": ["pass"]},
        {"token": "abc", "note": "abc"},
        {"home": "${oc.env:HOME_OF}", "url": "https://${oc.env:NAME}@h", "at": "bob"},
        {"key": "runner.data", "note": "x"},
    ],
)
def test_ordinary_words_and_code_stay_what_they_are(composed, data):
    found = with_data(composed, data).saved()
    plain: Any = OmegaConf.to_container(OmegaConf.create(data), resolve=True)
    if "pass" in str(plain.get("url")):
        plain["url"] = f"http://u:{MASK}@h"
    masks = dict.fromkeys({"token", "key"} & {*data}, MASK)
    assert {key: found["data"][key] for key in data} == {**plain, **masks}
    assert found["data"]["_target_"] == "runner.data.digits.Digits"


def test_mutators_in_their_short_form_are_saved_as_they_are():
    mutators = "space.mutators=[{on: layer3, depth: [1, 2]}]"
    config = compose_config(["space=mutate", "space.model._target_=torch.nn.ReLU", mutators])
    with open_dict(config):
        config.data.token = REAL
    settings = settings_from(config, [])
    assert settings.saved()["space"] == settings.model_dump()["space"]
    assert settings.saved()["data"]["token"] == MASK


def test_a_candidate_that_is_a_secret_elsewhere_is_not_searched(composed):
    told = r"search\.data\.user\[0\] has a secret of this config in it, and would be recorded"
    with pytest.raises(ConfigError, match=told):
        with_data(composed, {"token": REAL, "user": ""}, search={"data.user": [REAL, "b"]})
    with_data(composed, {"token": "relu", "user": ""}, search={"data.user": ["relu", "b"]})


def test_what_is_typed_again_must_be_given_again(composed):
    settings = with_data(composed, {"token": REAL, "note": f"me {REAL}"})
    assert missing(settings.saved()) == ["data.token", "data.note"]
    other = with_data(composed, {"token": "other-4711", "note": f"me {REAL}"})
    assert other.saved()["data"]["note"] == f"me {REAL}"
    before = Settings.model_validate(settings.saved())
    assert other.with_secrets_of(before).saved()["data"]["note"] == f"me {MASK}"


def test_a_variable_that_is_not_set_is_said():
    written = WrittenConfig({"data": {"token": "${oc.env:NOT_SET}", "n": "${oc.env:ALSO_NOT_SET}"}})
    told = r"data\.token is '\$\{oc\.env:NOT_SET\}', but NOT_SET is not set in the environment"
    with pytest.raises(ConfigError, match=told):
        written.check_variables()


def test_a_text_with_a_known_secret_is_none_as_a_whole():
    hidden = {"a": REAL, "b": f"me {REAL}", "c": "me S1k", "d": "http://u:pw-1@h"}
    saved = {"b": f"me {MASK}", "c": f"me {MASK}"}
    assert secrets_of(hidden, saved) == (REAL, "pw-1", "me S1k")
