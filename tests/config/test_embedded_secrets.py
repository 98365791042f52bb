"""Secret parts of URLs and commands are masked, and nothing else of them."""

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config.embedded_secrets import embedded_secrets, has_masked_part, with_embedded
from runner.config.secret_names import ENDINGS
from runner.config.secrets import masked
from runner.masking import MASK


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://bob:hunter2@host:80/p", f"http://bob:{MASK}@host:80/p"),
        ("postgres://u:p%40@[::1]/d and ftp://v:q@h", f"postgres://u:{MASK}@[::1]/d and ftp://v:{MASK}@h"),
        ("http://bob:${oc.env:PW}@host", "http://bob:${oc.env:PW}@host"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("git@host:path", "git@host:path"),
        ("postgresql://bob:pw/x@host/db", f"postgresql://bob:{MASK}@host/db"),
        ("postgresql://bob:p@pw@host/db", f"postgresql://bob:{MASK}@host/db"),
        ("redis://:p?a#b@[::1]:80/0", f"redis://:{MASK}@[::1]:80/0"),
        ("a://b:p@h,c://d:q/@h", f"a://b:{MASK}@h,c://d:{MASK}@h"),
        ("http://bob:1234@host", f"http://bob:{MASK}@host"),
        ("http://bob:${oc.env:PW}@host/x@y", "http://bob:${oc.env:PW}@host/x@y"),
        ("http://host:8080/@scope/x", "http://host:8080/@scope/x"),
        ("http://host:${port}/@scope/x", "http://host:${port}/@scope/x"),
        ("http://bob@host:80/p?m=a@b", "http://bob@host:80/p?m=a@b"),
        ("a:b@c", "a:b@c"),
        ("https://ghp_a1B2@github.com/x", f"https://{MASK}@github.com/x"),
        ("git+https://glpat-1234@gitlab.com/x.git@v1", f"git+https://{MASK}@gitlab.com/x.git@v1"),
        ("https://ghp_a1B2:x-oauth-basic@github.com", f"https://{MASK}:{MASK}@github.com"),
        ("HTTPS://0a1b2c3d@sentry.io/1", f"HTTPS://{MASK}@sentry.io/1"),
        ("https://x@y%40z@host", "https://x@y%40z@host"),
        ("https://${oc.env:HF_TOKEN}@host", "https://${oc.env:HF_TOKEN}@host"),
        ("https://${oc.env:HF_TOKEN,real}@host", f"https://{MASK}@host"),
        ("https://${data.user}@host", "https://${data.user}@host"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("postgresql://app_user@db/x", "postgresql://app_user@db/x"),
        ("postgresql://user2@db", "postgresql://user2@db"),
        ("https://[::1]:80/@x", "https://[::1]:80/@x"),
        ("https://h/?api_key=a%2Fb&n=3#x", f"https://h/?api_key={MASK}&n=3#x"),
        ("h/?n=3&access_token=x, h/?token=", f"h/?n=3&access_token={MASK} h/?token="),
        ("https://h/?token=${oc.env:T}", "https://h/?token=${oc.env:T}"),
        ("https://h/#id_token=x", f"https://h/#id_token={MASK}"),
        ("jdbc:x://h;user=a;password=b;n=1", f"jdbc:x://h;user=a;password={MASK};n=1"),
        ("jdbc:x://h;password=b;;c", f"jdbc:x://h;password={MASK}"),
        ("https://h/?tokenizer=x&keypoints=y", "https://h/?tokenizer=x&keypoints=y"),
    ],
)  # fmt: skip
def test_secret_parts_of_a_url_are_masked_and_nothing_else_of_it(text, shown):
    assert masked(text, is_secret=False) == shown
    assert masked(shown, is_secret=False) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("export HF_TOKEN=abc", f"export HF_TOKEN={MASK}"),
        ("A=1 API_KEY='a b' run", f"A=1 API_KEY={MASK} run"),
        ('export DB_PASSWORD="a;b"; ls', f"export DB_PASSWORD={MASK}; ls"),
        ("X_KEY=a&&Y_KEY=b", f"X_KEY={MASK}&&Y_KEY={MASK}"),
        ("run --token=abc --n=1", f"run --token={MASK} --n=1"),
        ("run -api-key=abc|sh", f"run -api-key={MASK}|sh"),
        ("export HF_TOKEN=$OTHER X_KEY=${MINE}", "export HF_TOKEN=$OTHER X_KEY=${MINE}"),
        ("export HF_TOKEN=${oc.env:A}", "export HF_TOKEN=${oc.env:A}"),
        ("anything, as in KEY=VALUE", "anything, as in KEY=VALUE"),
        ("fidelity.key=evaluator.epochs", "fidelity.key=evaluator.epochs"),
        ("key=len, tokens<=3, sort(key=len)", "key=len, tokens<=3, sort(key=len)"),
        ("PATH=/x:$PATH KEYS= MONKEYS==1", f"PATH=/x:$PATH KEYS= MONKEYS={MASK}"),
    ],
)
def test_secret_parts_of_a_command_are_masked_and_nothing_else_of_it(text, shown):
    assert masked(text, is_secret=False) == shown
    assert masked(shown, is_secret=False) == shown
    assert has_masked_part(shown) == (MASK in shown)


@pytest.mark.parametrize(("text", "shown"), [
    ("u ${oc.env:A_TOKEN,SECRET} v", "u ${oc.env:A_TOKEN,***} v"),
    ("${oc.env:A_TOKEN,SECRET}", "${oc.env:A_TOKEN,***}"),
    ("${oc.env:A_TOKEN,null}", "${oc.env:A_TOKEN,null}"),
    ("${oc.env:HOME,SECRET}", "${oc.env:HOME,SECRET}"),
])  # fmt: skip
def test_the_default_of_a_variable_that_is_a_secret_is_masked(text, shown):
    assert with_embedded(text, lambda part: MASK) == shown
    assert embedded_secrets(text) == (["SECRET"] if text != shown else [])


def test_both_readings_of_a_password_are_known():
    assert embedded_secrets("http://bob:pw@host/x@y") == ["pw@host/x", "pw"]
    assert embedded_secrets("http://bob:p/w@host") == ["p/w"]


SCHEME = st.sampled_from(["http", "https", "git+https", "ssh", "postgresql+psycopg2", "S3"])
NAME = st.sampled_from(["", "bob", "app_user", "Alice", "user2", "a.b-c"])
# Not a plain name, and nothing that ends the part of a URL that it is in.
TOKEN = st.from_regex(r"[A-Za-z0-9._~!$()*+,;=-]{0,9}[0-9][A-Za-z]{3}[A-Z0-9]{2}", fullmatch=True)
PASSWORD = st.from_regex(r"[a-z0-9/?#&=!:]{3,9}[/?#!][A-Z]{3}", fullmatch=True)
PASSWORD = PASSWORD.filter(lambda one: not re.match(r"\d+[/?#]|.*[?&#]\w+=", one))  # a port
HOST = st.sampled_from(["host", "host:80", "[::1]:80", "a.b.c"])
PATH = st.sampled_from(["", "/", "/p/q", "/@scope/x", "/p?n=1&m=a", "/x.git@v1#egg=y"])
BEFORE = st.sampled_from(["", "see ", "(", "'", '"', "x="])
AFTER = st.sampled_from(["", " and x", ")", "'", '"', "\n", ", b"])


@st.composite
def urls(draw) -> tuple[str, list[str]]:
    """A text with a URL, and its secrets."""
    user, secrets = draw(NAME), []
    if draw(st.booleans()):
        secrets.append(user := draw(TOKEN))
    path = draw(PATH)
    if draw(st.booleans()):
        secrets.append(password := draw(PASSWORD))
        user, path = f"{user}:{password}", path.replace("@", "")  # which is a part of it otherwise
    if draw(st.booleans()) and "#" not in path:
        secrets.append(value := draw(TOKEN).replace(";", "").replace("=", ""))
        name = draw(st.sampled_from(ENDINGS))
        path += f"{'&' if '?' in path else '?'}hub_{name}={value}"
    url = f"{draw(SCHEME)}://{user}{'@' if user else ''}{draw(HOST)}{path}"
    return draw(BEFORE) + url + draw(AFTER), secrets


@given(urls())
def test_no_form_of_a_url_shows_a_secret(found):
    text, secrets = found
    shown = masked(text, is_secret=False)
    assert not [one for one in secrets if one in shown]
    assert masked(shown, is_secret=False) == shown
    assert has_masked_part(shown) == bool(secrets)
    assert {*secrets} <= {*embedded_secrets(text)}
    assert bool(secrets) == (shown != text)


@given(urls(), urls())
def test_two_urls_in_a_text_are_two(one, two):
    text = f"{one[0]} {two[0]}"
    shown = masked(text, is_secret=False)
    assert shown == " ".join(masked(each, is_secret=False) for each, _ in (one, two))


@given(st.lists(NAME, min_size=2, max_size=2), HOST, PATH)
def test_a_plain_name_is_shown(users, host, path):
    for user in filter(None, users):
        text = f"https://{user}@{host}{path}"
        assert masked(text, is_secret=False) == text and not embedded_secrets(text)


@pytest.mark.parametrize(
    "unit", ["?a=", ";A=b", "--a=", "?key=${", "://a@", "://a:${x}", "TOKEN=$$", ";a"]
)
def test_no_text_takes_long(unit):
    text = unit * (20_000 // len(unit))
    shown = masked(text, is_secret=False)
    assert masked(shown, is_secret=False) == shown


def test_a_quoted_value_is_known_without_its_quotes():
    assert {"'a b'", "a b"} <= {*embedded_secrets("API_KEY='a b' run")}


@pytest.mark.parametrize("secret", ["p@ss/word", "a b+c", "ü%"])
def test_what_a_program_decodes_is_known_as_well(secret):
    spelled = quote(secret, safe="")
    for url in (f"http://u:{spelled}@h", f"http://{spelled}@h", f"http://h?token={spelled}"):
        assert {spelled, secret} <= {*embedded_secrets(url)}
