"""Secrets are hidden in configs, and given back to whoever needs them."""

import copy
import pickle
from collections.abc import Callable

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict

from runner.config.compose import compose_config
from runner.config.hidden_secrets import (
    hidden_in,
    hide_secrets,
    learn_overrides,
    restored_config,
    restored_overrides,
    shown_override,
)
from runner.config.secret_names import ENDINGS, is_secret_name
from runner.config.secrets import secrets_of_override
from runner.errors import ConfigError, one_line
from runner.masking import MASK, masker

REAL = "sesame-4711"


@pytest.fixture(autouse=True)
def known(monkeypatch) -> None:
    """What is masked is forgotten with the test."""
    monkeypatch.setattr(masker, "_patterns", frozenset())
    monkeypatch.setattr(masker, "_pattern", None)


CONFIG = {
    "data": {"token": REAL, "n": 1, "deep": [{"secret": REAL}], "env": "${oc.env:HF_TOKEN}"},
    "url": f"http://u:{REAL}@h",
    "same": "${data.token}",
    "node": "${data}",
    "none": None,
    "missing": {"secret": "???"},
    "odd": {"a.b[0]": {1: {"token": [[REAL], None, "${data}"]}}},
}
OVERRIDES = [f"data.token={REAL}", "space=mlp", f"++data.deep=[{{secret:{REAL}}}]"]


def of_a_task(config: DictConfig) -> DictConfig:
    """A config as Hydra gives it to a task."""
    found = copy.deepcopy(config)
    with open_dict(found):
        del found["hydra"]
    return found


def overrides_of(shown: list[str], config: DictConfig) -> list[str]:
    return restored_overrides(shown, hidden_in(config).overrides)


@pytest.mark.parametrize("copied", [DictConfig.copy, copy.deepcopy, of_a_task])
@pytest.mark.parametrize("is_readonly", [False, True])
def test_a_config_is_hidden_in_place_and_restored(copied, is_readonly):
    config = OmegaConf.create({**CONFIG, "hydra": {"overrides": {"task": OVERRIDES}}})
    OmegaConf.set_readonly(config.data, is_readonly)
    hide_secrets(config, OVERRIDES)
    hidden = OmegaConf.to_container(config)
    assert REAL not in str(hidden) and REAL not in OmegaConf.to_yaml(config)
    assert hidden["data"]["token"] == MASK and hidden["same"] == "${data.token}"
    assert hidden["url"] == f"http://u:{MASK}@h" and hidden["missing"] == {"secret": "???"}
    shown = hidden["hydra"]["overrides"]["task"]
    assert shown == [f"data.token={MASK}", "space=mlp", f"++data.deep=[{{secret:{MASK}}}]"]
    found = OmegaConf.to_container(restored_config(copied(config)))
    assert {key: found[key] for key in CONFIG} == CONFIG
    assert overrides_of(shown, copied(config)) == OVERRIDES
    assert OmegaConf.is_readonly(config.data) == is_readonly
    assert OmegaConf.to_container(config) == hidden


def test_a_pickle_has_no_secret_and_so_none_to_restore():
    config = OmegaConf.create(CONFIG)
    hide_secrets(config, OVERRIDES)
    sent = pickle.dumps(config)
    assert REAL.encode() not in sent
    arrived = pickle.loads(sent)
    assert restored_config(arrived) == config
    assert overrides_of([f"data.token={MASK}"], arrived) == [f"data.token={MASK}"]


def test_each_config_is_given_its_own_secrets_in_any_order():
    first, second = (OmegaConf.create({"data": {"token": REAL + n}}) for n in "12")
    for config, n in ((first, "1"), (second, "2")):
        hide_secrets(config, [f"data.token={REAL}{n}"])
    for config, n in ((first, "1"), (second, "2")):
        assert restored_config(config).data.token == REAL + n
        assert overrides_of([f"data.token={MASK}"], config) == [f"data.token={REAL}{n}"]
    other = OmegaConf.create({"data": {"token": MASK}})
    hide_secrets(other, [])
    assert restored_config(other).data.token == MASK
    assert overrides_of([f"data.token={MASK}"], other) == [f"data.token={MASK}"]


def test_a_config_that_was_given_the_cache_of_another_is_given_its_own_secrets():
    first, second = OmegaConf.create({"token": REAL}), OmegaConf.create({"token": "other"})
    hide_secrets(first, [f"token={REAL}"])
    OmegaConf.copy_cache(from_config=first, to_config=second)  # as for members of a sweep
    hide_secrets(second, [])
    assert restored_config(second).token == "other"
    assert overrides_of([f"token={MASK}"], second) == [f"token={MASK}"]


def test_an_override_is_restored_however_a_sweeper_spells_it():
    config = OmegaConf.create({"url": f"http://u:{REAL}@h", "mask": MASK})
    hide_secrets(config, [f"++url='http://u:{REAL}@h'", f"mask='{MASK}'"])
    for spelled in (f"url='http://u:{MASK}@h'", f"++url=http\\://u\\:{MASK}@h"):
        assert overrides_of([spelled], config) == [f"++url='http://u:{REAL}@h'"]
    own = [f"mask={MASK}", "url=http://other", "seed=1"]
    assert overrides_of(own, config) == own


def test_what_is_composed_has_masks_from_the_first_moment_on():
    config = compose_config([f"+data.api_key={REAL}"])
    assert config.data.api_key == MASK
    assert restored_config(config).data.api_key == REAL


def test_an_error_about_a_config_names_no_secret():
    with pytest.raises(Exception) as error:
        learn_overrides([f"data.token={REAL}("])
        compose_config([f"data.token={REAL}("])
    assert REAL not in masker.clean(one_line(error.value))


def test_a_mask_is_no_value():
    told = "is a secret and not saved; give it again, as in data.token=VALUE"
    with pytest.raises(ConfigError, match=told):
        compose_config(["+data.token='***'"])


SAFE = st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(lambda one: not is_secret_name(one))
SECRET_NAME = st.builds(
    str.__add__, st.sampled_from(["", "hub_", "my", "api-"]), st.sampled_from([*ENDINGS])
)
VALUE = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=8)
VALUE = VALUE.map(lambda text: f"S3{text}cr3t").filter(lambda text: "${" not in text)
SPELLED: dict[str, Callable[[str], str]] = {
    "single": lambda text: QuotedString(text, Quote.single).with_quotes(),
    "double": lambda text: QuotedString(text, Quote.double).with_quotes(),
    "bare": lambda text: Override._get_value_element_as_str(text),
    "unreadable": lambda text: f"{text}, (",
}
PLACED: dict[str, Callable[[str, str, str], str]] = {
    "dotted": lambda safe, name, value: f"{safe}.{name}={value}",
    "below": lambda safe, name, value: f"{name}.{safe}={value}",
    "in a list": lambda safe, name, value: f"{safe}.{name}=[x1,{value}]",
    "in a mapping": lambda safe, name, value: f"{safe}={{{name}:{value},n:1}}",
    "deep": lambda safe, name, value: f"{safe}.x=[{{a:[{{{name}:{{b:[{value}]}}}}]}}]",
}


def is_readable(override: str) -> bool:
    try:
        OverridesParser.create().parse_overrides([override])
    except HydraException:
        return False
    return True


@pytest.mark.parametrize("place", PLACED)
@pytest.mark.parametrize("spelling", SPELLED)
@given(prefix=st.sampled_from(["", "+", "++"]), safe=SAFE, name=SECRET_NAME, value=VALUE)
def test_no_form_of_an_override_shows_a_secret(place, spelling, prefix, safe, name, value):
    override = prefix + PLACED[place](safe, name, SPELLED[spelling](value))
    shown = shown_override(override)
    assert value not in shown and "cr3t" not in shown and MASK in shown
    assert shown.startswith(prefix + (name if place == "below" else safe))
    assert secrets_of_override(override) and shown_override(shown) == shown
    if is_readable(override):
        assert value in secrets_of_override(override)
        config = OmegaConf.create({})
        hide_secrets(config, [override])
        assert overrides_of([shown], config) == [override]
