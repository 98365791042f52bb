"""Writes the reference of the config, as Markdown, from the YAML files and their comments."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

CONF = Path(__file__).parents[2] / "conf"
ROOT_FILE = "config.yaml"
RECIPES = "experiment"
ABOUT = {  # groups that the root file says too little of, or nothing
    RECIPES: "recipes, each of which sets several keys and groups at once: `experiment=NAME`",
    "logger": "who else is told of trials: `logger=csv`, or `logger=[csv, tensorboard]`",
}
OF_ALL = {  # keys of all options of a group, which no file of one lists
    "strategy": [
        (
            "strategy.first",
            "null",
            "samples and folders of runs to try first: [{depth: 2}, outputs/old]",
        )
    ],
}
HIDDEN = ("defaults", "hydra")


@dataclass(frozen=True)
class Key:
    """A line of a YAML file that sets a key."""

    path: str  # dotted, below the file's own place in the config
    value: str  # as it is written; "" for a mapping in block style
    comment: str


def groups() -> list[str]:
    """The groups whose options are chosen by `GROUP=OPTION`."""
    return sorted(p.name for p in CONF.iterdir() if p.is_dir() and p.name != "hydra")


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def pages() -> Mapping[str, str]:
    """The pages by name: `index.md`, and one for each group."""
    return {"index.md": _index(), **{f"{group}.md": _group(group) for group in groups()}}


def keys_of(text: str) -> Iterator[Key]:
    """Yields the keys of a YAML file with the comments behind them, but for Hydra's own."""
    node = yaml.compose(text)
    if isinstance(node, yaml.MappingNode):
        yield from _keys(node, text.splitlines(), "")


def _keys(node: yaml.MappingNode, lines: list[str], above: str) -> Iterator[Key]:
    for key, value in node.value:
        if not above and key.value in HIDDEN:
            continue
        path = f"{above}{key.value}"
        is_block = isinstance(value, yaml.CollectionNode) and not value.flow_style
        last = key if is_block else value
        written = "" if is_block else _written(value, lines)
        behind = lines[last.end_mark.line][last.end_mark.column :]
        yield Key(path, written, behind.partition("# ")[2].strip())
        if isinstance(value, yaml.MappingNode) and is_block:
            yield from _keys(value, lines, f"{path}.")


def _written(value: yaml.Node, lines: list[str]) -> str:
    begin, end = value.start_mark, value.end_mark
    if begin.line != end.line:
        raise ValueError(f"A value of more than one line: {lines[begin.line]}")
    return lines[begin.line][begin.column : end.column]


def _index() -> str:
    text = (CONF / ROOT_FILE).read_text()
    rows = [f"| [`{group}`]({group}.md) | {_about(group)} |" for group in groups()]
    return "\n".join([
        "# The keys of a config", "",
        "Every key can be set on the command line as `KEY=VALUE`, and every group as "
        "`GROUP=OPTION`. `python -m runner --cfg job` prints the config that results.", "",
        "## Groups", "", "| group | what it decides |", "|---|---|", *rows, "",
        "## Keys of no group", "", *_table(k for k in keys_of(text) if _is_own(k)), "",
    ])  # fmt: skip


def _is_own(key: Key) -> bool:
    return key.path.partition(".")[0] not in groups()


def _about(group: str) -> str:
    """What a group is for: what the root file says behind it, without the names of options."""
    if group in ABOUT:
        return ABOUT[group]
    text = (CONF / ROOT_FILE).read_text()
    [line] = re.findall(rf"^  - {group}: .*?# (.*)$", text, flags=re.MULTILINE)
    said = re.split(r"[:;] ", line)[0]
    return _prose(said)


def _group(group: str) -> str:
    names = options(group)
    listed = ", ".join(f"[`{name}`](#{name})" for name in names)
    intro = f"{_about(group)[:1].upper()}{_about(group)[1:]}."
    return "\n".join([
        f"# `{group}`", "", intro, "", f"Options: {listed}.", "", *_common(group),
        *(line for name in names for line in _option(group, name)),
    ])  # fmt: skip


def _common(group: str) -> list[str]:
    """The keys that all options of a group have."""
    found = [Key(*row) for row in OF_ALL.get(group, ())]
    return ["All of them also have:", "", *_table(found), ""] if found else []


def _option(group: str, name: str) -> Iterator[str]:
    text = (CONF / group / f"{name}.yaml").read_text()
    package = re.search(r"^# @package (\S+)$", text, flags=re.MULTILINE)
    place = f"{package[1]}." if package and package[1] != "_global_" else f"{group}."
    yield from (f"## `{name}` {{ #{name} }}", "")
    yield from _head(text)
    if group == RECIPES:
        yield from ("```yaml", _without_head(text), "```", "")
        return
    found = [*keys_of(text)]
    [target] = [key for key in found if key.path == "_target_"] or [None]
    if target is not None:
        what = f": {_prose(target.comment)}" if target.comment else ""
        yield from (f"Class `{target.value}`{what}", "")
    rest = [k for k in found if k is not target]
    yield from _table(Key(f"{place}{k.path}", k.value, k.comment) for k in rest)
    yield ""


def _head(text: str) -> Iterator[str]:
    """Yields the comment at the top of a file; its indented lines are commands."""
    words: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        said = line[1:]
        if said.startswith(" @package"):
            continue
        if said.startswith("  "):
            yield from (*_paragraph(words), "```text", *_commands(said.strip()), "```", "")
            words = []
        else:
            words.append(said.strip())
    yield from _paragraph(words)


def _commands(line: str) -> list[str]:
    return [part.strip() for part in re.split(r" {3,}", line)]


def _paragraph(words: list[str]) -> list[str]:
    return [_prose(" ".join(words)), ""] if words else []


def _without_head(text: str) -> str:
    lines = text.splitlines()
    while lines and lines[0].startswith("#"):
        del lines[0]
    return "\n".join(lines)


def _table(keys: Iterable[Key]) -> list[str]:
    rows = [f"| `{key.path}` | {_code(key.value)} | {_prose(key.comment)} |" for key in keys]
    return ["| key | value | |", "|---|---|---|", *rows] if rows else ["It has no keys."]


def _code(value: str) -> str:
    return f"`{value}`".replace("|", "\\|") if value else ""


def _prose(comment: str) -> str:
    """Returns a comment as Markdown that reads as it was written; addresses become links."""
    parts = re.split(r"(https?://[^\s,;)]+)", comment)
    return "".join(
        f"<{part}>" if i % 2 else re.sub(r"([*<|\[\]_`])", r"\\\1", part)
        for i, part in enumerate(parts)
    )
