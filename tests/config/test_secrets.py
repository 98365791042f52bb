"""What is a secret, by the names of keys, and what is saved in its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from runner.config.compose import compose_config
from runner.config.hidden_secrets import hidden_in
from runner.config.secret_names import ENDINGS, is_secret_name
from runner.config.secrets import (
    changed,
    give_again,
    has_lost,
    is_from_environment,
    is_secret_key,
    masked,
    masked_as_written,
    masked_config,
    masked_override,
    missing,
    secrets_of_override,
    texts,
)
from runner.config.settings import conf_folder
from runner.masking import MASK

WORDS = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
SAFE = WORDS.filter(lambda word: not word.removesuffix("s").endswith(ENDINGS))
SECRET = st.builds(
    lambda before, word, plural: before + word + plural,
    st.from_regex(r"[a-z]{0,4}", fullmatch=True),
    st.sampled_from(ENDINGS),
    st.sampled_from(["", "s"]),
)
STYLES = {
    "snake": "_".join,
    "kebab": "-".join,
    "dotted": ".".join,
    "shouted": lambda words: "_".join(words).upper(),
    "camel": lambda words: words[0] + "".join(word.capitalize() for word in words[1:]),
    "pascal": lambda words: "".join(word.capitalize() for word in words),
}
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | SECRET, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("style", STYLES)
@given(before=st.lists(SAFE, max_size=2), word=SECRET, after=st.lists(SAFE, max_size=2))
def test_a_name_with_a_word_for_secrets_is_one_in_each_style(style, before, word, after):
    assert is_secret_name(STYLES[style]([*before, word, *after]))


@pytest.mark.parametrize("style", STYLES)
@given(words=st.lists(SAFE, min_size=1, max_size=4))
def test_a_name_without_such_a_word_is_none(style, words):
    assert not is_secret_name(STYLES[style](words))


@pytest.mark.parametrize(
    "name", ["tokenizer", "keypoints", "keyword", "Keyboard", "secretary", "tokenize_first"]
)
def test_a_word_that_only_begins_so_is_none(name):
    assert not is_secret_name(name)


@given(PLAIN)
def test_of_a_masked_config_nothing_is_left_and_nothing_else_is_changed(config):
    config = {"data": config}
    before, after = [*texts(config)], [*texts(masked_config(config, {}))]
    assert [(key, secret) for key, _, secret in after] == [
        (key, secret) for key, _, secret in before
    ]
    for (_, old, is_secret), (_, new, _) in zip(before, after, strict=True):
        assert new == (MASK if is_secret else masked(old, is_secret=False))
    assert masked_config(masked_config(config, {}), {}) == masked_config(config, {})
    assert changed(config, lambda key, text, is_secret: text) == config


def test_only_texts_that_are_not_empty_are_secrets():
    plain = {
        "key": "",
        "key_dim": 8,
        "use_key": True,
        "token": None,
        "keys": [1, 2],
        "api_key": "x",
    }
    assert masked_config(plain, {}) == {**plain, "api_key": MASK}


def test_a_mapping_below_a_secret_is_secret_but_the_description_of_an_object_is_not():
    config = {
        "secrets": {"a": "x", "b": ["y", {"c": "z"}]},
        "key_encoder": {"_target_": "torch.nn.Linear", "mode": "fan_in", "hub_token": "t"},
    }
    assert masked_config(config, {}) == {
        "secrets": {"a": MASK, "b": [MASK, {"c": MASK}]},
        "key_encoder": {"_target_": "torch.nn.Linear", "mode": "fan_in", "hub_token": MASK},
    }


def test_what_is_ours_and_what_is_labelled_by_choices_is_none():
    config = {
        "fidelity": {"key": "evaluator.epochs"},
        "strategy": {"first": [{"key": "relu"}, "outputs/old"], "api_key": "x"},
        "task": {"sample": {"token": "a"}},
    }
    assert masked_config(config, {}) == {
        **config,
        "strategy": {**config["strategy"], "api_key": MASK},
    }


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "option",
    sorted(
        str(p.relative_to(conf_folder()).with_suffix("")) for p in conf_folder().glob("*/*.yaml")
    ),
)
def test_no_option_of_ours_has_a_secret(option):
    group, _, name = option.partition("/")
    if group in ("experiment", "measure", "proxy", "logger", "task"):
        name = f"[{name}]" if group in ("measure", "proxy", "logger") else name
    composed = compose_config([f"{group}={name}"])
    found = [key for key, _, is_secret in texts(OmegaConf.to_container(composed)) if is_secret]
    assert not found and not hidden_in(composed).texts  # nor Hydra's own keys


@pytest.mark.parametrize(
    "text", ["://a:" + "${x}" * 500, "://a:" + "${" * 5000, "://a:$" * 2000, "$" * 20_000]
)
def test_no_text_takes_long(text):
    assert masked(text, is_secret=False) == text
    assert not is_from_environment(text, is_secret=False) or "://" in text


@pytest.mark.parametrize("text", ["${oc.env:A}", "Bearer ${oc.env:A}", "${oc.env:A}${oc.env:B}"])
def test_variables_of_the_environment_are_shown_by_their_names(text):
    assert is_from_environment(text, is_secret=True)
    assert masked_as_written(text, is_secret=True) == text


@pytest.mark.parametrize(
    "text", ["${oc.env:A,real}", "real${oc.env:A}", "${oc.env:A} real", "${now:x}"]
)
def test_what_else_stands_beside_them_is_masked(text):
    assert masked_as_written(text, is_secret=True) == MASK


def test_a_variable_may_be_secret_by_its_own_name():
    assert is_from_environment("${oc.env:HF_TOKEN}", is_secret=False)
    assert not is_from_environment("${oc.env:HOME}", is_secret=False)


def test_the_password_of_a_url_may_be_taken_from_the_environment():
    url = "http://bob:${oc.env:PW}@host"
    assert is_from_environment(url, is_secret=False)
    assert masked_as_written(url, is_secret=False) == url
    for other in ("http://bob:${oc.env:PW}@${host}", "http://bob:pw@${host}", "http://bob:pw@host"):
        assert not is_from_environment(other, is_secret=False)


OVERRIDES = {
    "data.token=real": "data.token=***",
    "+data.api_key='re al'": "+data.api_key=***",
    "++a.b.password=real,": "++a.b.password=***",
    "data={_target_: x.Y, token: real, n: 3}": "data={_target_:x.Y,token:***,n:3}",
    "a.uri='http://u:real@h/p'": "a.uri=http\\://u\\:***@h/p",
    "data.tokens=[real,real2]": "data.tokens=[***,***]",
    "data.token=real(": "data.token=***",
    "data.token=real,real2": "data.token=***",
    "data.token='${oc.env:A,real}'": "data.token=***",
    "data.token='${oc.env:A}'": "data.token='${oc.env:A}'",
    "data.token='${oc.env:A}','${oc.env:B}'": "data.token='${oc.env:A}','${oc.env:B}'",
    "data.key_dim=8,16": "data.key_dim=8,16",
    "fidelity={key: evaluator.epochs, min: 1}": "fidelity={key: evaluator.epochs, min: 1}",
    "strategy.first=[{key: relu}]": "strategy.first=[{key: relu}]",
    "data.key_enc={_target_: a.B, mode: fan}": "data.key_enc={_target_: a.B, mode: fan}",
    "~data.token": "~data.token",
    "data.token=null": "data.token=null",
    "space=mlp": "space=mlp",
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_overrides_are_shown_without_their_secrets(override):
    shown = masked_override(override)
    assert shown == OVERRIDES[override]
    assert "real" not in shown or "real" not in "".join(secrets_of_override(override))
    assert bool(secrets_of_override(override)) == (shown != override)
    assert masked_override(shown) == shown
    assert has_lost(shown) == (MASK in shown)


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("+data={api_key: real", "+data=***"),
        ("+data={n: 1, 'hf_token':real", "+data=***"),
        ("+data={url: http://x, n: [", "+data={url: http://x, n: ["),
    ],
)
def test_a_mapping_that_cannot_be_read_is_masked_if_it_names_a_secret(override, shown):
    assert masked_override(override) == shown
    assert bool(secrets_of_override(override)) == (shown != override)


def test_texts_that_are_cleaned_are_masked_as_well():
    def clean(text: str) -> str:
        return text.replace("real", MASK)

    for override, shown in {
        "++data.user='u-real'": "++data.user=u-***",
        "data={user: u-real, api_key: x}": "data={user:u-***,api_key:***}",
        "data.user=u-real,b": "data.user=u-***,b",
        "space=mlp": "space=mlp",
    }.items():
        assert masked_override(override, clean) == shown
        assert not has_lost(shown) or "api_key" in shown
        assert has_lost(shown, anywhere=True) == (MASK in shown)


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("data.act=real,gelu", "data.act=real,gelu"),
        ("data.act=choice(real,'gelu',3)", "data.act=choice(real,'gelu',3)"),
        ("data.act=[real],[gelu]", "data.act=[real],[gelu]"),
        ("data.act=x-real,gelu", "data.act=x-***,gelu"),
        ("space=glob(real*)", "space=glob(***)"),
        ("data.url='http://u:p-1@h','x'", "data.url='http://u:***@h','x'"),
    ],
)
def test_a_word_to_sweep_over_is_a_secret_only_where_others_are_beside_it(override, shown):
    def clean(text: str) -> str:
        return text if text in ("real", "gelu") else text.replace("real", MASK)

    assert masked_override(override, clean) == shown.replace("***)", "****)")


def test_a_mask_of_the_users_own_is_no_lost_secret():
    assert not has_lost("data.pattern='***'")
    assert has_lost("logger.a={_target_: b.C, password: '***'}")


@given(st.lists(SAFE, min_size=1, max_size=3), SECRET)
def test_all_below_a_secret_key_is_secret(path, name):
    assert is_secret_key(".".join(["data", *path, name]))
    assert is_secret_key(".".join(["data", name, *path]))
    assert not is_secret_key(".".join(["data", *path]))
    assert not is_secret_key(".".join(["data", name, "_target_"]))


@pytest.mark.parametrize("key", ["a b", "x\n", "\u202edata", "k" * 300, "'; rm"])
def test_a_hostile_key_is_not_spelled_out_as_a_command(key):
    assert "as in KEY=VALUE" in give_again([key]) and key not in give_again([key])


def test_masked_texts_are_missing_wherever_they_are():
    config = {"a": {"token": MASK, "url": f"http://u:{MASK}@h", "n": 1}, "b": [MASK, "x"]}
    assert missing(config) == ["a.token", "a.url", "b[0]"]
