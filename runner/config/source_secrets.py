"""Secrets in Python source, which are masked where they are texts."""

import ast
import io
import tokenize
from collections.abc import Iterator

from runner.config.secret_names import is_secret_name
from runner.masking import is_ordinary, masker

TEXTS = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


def masked_source(source: str) -> str:
    """Returns Python source in which known secrets are masked where they are texts, and not where
    they happen to be names, or ordinary words that are a text of their own, such as a candidate."""
    if masker.clean(source) == source:
        return source
    try:
        found = [*tokenize.generate_tokens(io.StringIO(source).readline)]
    except (tokenize.TokenError, SyntaxError):
        return masker.clean(source)
    lines = source.splitlines(keepends=True)
    for token, is_secret in reversed([*_texts(found)]):
        if not is_secret and is_ordinary(_content(token.string)):
            continue
        if (clean := masker.clean(token.string)) == token.string:
            continue
        (first, begin), (last, end) = token.start, token.end
        rest = lines[last - 1][end:]
        lines[first - 1 : last] = [f"{lines[first - 1][:begin]}{clean}{rest}"]
    return "".join(lines)


def _texts(tokens: list[tokenize.TokenInfo]) -> Iterator[tuple[tokenize.TokenInfo, bool]]:
    """Yields the tokens that are texts, and whether each is a value of a name for secrets."""
    inside = [False]  # whether what the brackets so far enclose is a secret
    is_secret, last = False, ""
    for token in tokens:
        if token.type in TEXTS:
            yield token, is_secret
        if token.string in ("=", ":"):
            is_secret = inside[-1] or is_secret_name(last)
        elif token.string in ("(", "[", "{"):
            inside.append(is_secret)
        elif token.string in (")", "]", "}") and len(inside) > 1:
            is_secret = inside.pop()
        elif token.string == "," or token.type == tokenize.NEWLINE:
            is_secret = inside[-1]
        last = token.string


def _content(literal: str) -> str:
    """Returns the text of a literal; "" if it is none."""
    try:
        found = ast.literal_eval(literal)
    except (SyntaxError, ValueError):
        return ""
    return found if isinstance(found, str) else ""
