"""The documentation as a site: its generated pages, its links, and that it builds."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from doc_pages import ROOT, pages

from runner import nn as runner_nn

TOOLS = ROOT / "docs" / "tools"
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", flags=re.DOTALL | re.MULTILINE)
DOCUMENTS = [*pages(), "SECURITY.md", "CHANGELOG.md"]
PACKAGES = ("runner", "runner.nn", "runner.graph")


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


config_pages, api_pages = tool("config_pages"), tool("api_pages")
GENERATED = config_pages.pages()


def leaves(node: object, above: str = "") -> Iterator[str]:
    """Yields the dotted paths of all keys of a plain config."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{above}{key}"
            yield from leaves(value, f"{above}{key}.")


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("[a-z]*/*.yaml")), ids=str)
def test_every_option_and_each_of_its_keys_is_in_the_reference(path):
    group, name = path.parent.name, path.stem
    if group == "hydra":
        pytest.skip("how Hydra logs is no option of ours")
    text = path.read_text()
    [part] = re.findall(
        rf"^## `{name}` .*?(?=^## |\Z)", GENERATED[f"{group}.md"], flags=re.DOTALL | re.MULTILINE
    )
    plain = yaml.safe_load(text)
    plain.pop("defaults", None)
    if group == config_pages.RECIPES:
        assert all(line in part for line in text.splitlines() if not line.startswith("#"))
        return
    place = f"{group}.{name}" if f"# @package {group}.{name}\n" in text else group
    assert plain.pop("_target_") in part
    for key in leaves(plain):
        written_in_flow = key.rpartition(".")[0] in _flow_keys(plain, text)
        assert f"| `{place}.{key}` |" in part or written_in_flow


def _flow_keys(plain: object, text: str) -> set[str]:
    """The keys whose values are mappings on one line; these are shown as they are written."""
    return {
        k for k in leaves(plain) if re.search(rf"^\s*{k.split('.')[-1]}: \{{", text, flags=re.M)
    }


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("[a-z]*/*.yaml")), ids=str)
def test_every_comment_is_in_the_reference(path):
    if path.parent.name in ("hydra", config_pages.RECIPES):
        pytest.skip("shown as it is written, if at all")
    said = re.sub(r"[\\<>]", "", GENERATED[f"{path.parent.name}.md"])
    for key in config_pages.keys_of(path.read_text()):
        assert re.sub(r"[\\<>]", "", key.comment) in said


def test_every_key_of_no_group_is_in_the_reference():
    plain = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())
    for key in ("defaults", "hydra", *config_pages.groups()):
        plain.pop(key, None)
    missing = [key for key in leaves(plain) if f"| `{key}` |" not in GENERATED["index.md"]]
    assert len(plain) > 10 and not missing


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference(package):
    module = importlib.import_module(package)
    names = [name for name in vars(module).get("__all__", ()) if not name.startswith("_")]
    names = names or [  # those that are imported as themselves, which is how they are exported
        name for name in re.findall(r" as (\w+)$", Path(module.__file__).read_text(), flags=re.M)
        if not name.startswith("_")
    ]  # fmt: skip
    page = api_pages.pages()[f"{package.replace('.', '-')}.md"]
    assert names and not [name for name in names if f"::: {package}.{name}\n" not in page]


def anchors(page: Path) -> set[str]:
    """The anchors of the headings of a page, as GitHub and MkDocs make them."""
    heads = re.findall(r"^#+ (.*)$", CODE_BLOCK.sub("", page.read_text()), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


CODE_BLOCK = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", DOCUMENTS)
def test_links_lead_somewhere(page):
    for target in LINK.findall(CODE.sub("", (ROOT / page).read_text())):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        there = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert there.exists() and there.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(there), target


def test_each_page_is_in_the_menu_and_is_linked_from_the_start():
    menu = (ROOT / "mkdocs.yml").read_text()
    docs = [page.removeprefix("docs/") for page in pages() if page.startswith("docs/")]
    assert not [page for page in docs if f" {page}\n" not in menu]
    readme = (ROOT / "README.md").read_text()
    assert not [page for page in docs if f"(docs/{page})" not in readme and page != "index.md"]
    for group in config_pages.groups():
        assert f"reference/config/{group}.md" in menu


def test_the_start_page_is_short_and_its_pictures_are_small():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
    pictures = ROOT / "docs" / "pictures"
    assert {path.name for path in pictures.iterdir()} == {"terminal.svg", "report.png"}
    assert all(path.stat().st_size <= 200_000 for path in pictures.iterdir())
    svg = (pictures / "terminal.svg").read_text()
    assert set(re.findall(r"https?://[^\s\"']*", svg)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.exhaustive
def test_the_tutorial_shows_what_the_program_prints(tmp_path):
    page = (ROOT / "docs" / "tutorial.md").read_text()
    [(name, text)] = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", page, flags=re.DOTALL)
    [shown] = re.findall(r"```text\n(choice .*?)```", page, flags=re.DOTALL)
    (tmp_path / f"{name}.py").write_text(text)
    words = ["-m", "runner", "task=describe", f"space._target_={name}.Net", f"trust=[{name}]"]
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "COLUMNS": "100"},
    )  # fmt: skip
    assert shown.strip() in "\n".join(line.rstrip() for line in done.stdout.splitlines())


class Loads(HTMLParser):
    """What a page loads by itself: scripts, styles, pictures and frames."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag != "a" and given.get("rel") != "canonical":
            self.found += [given[key] for key in ("src", "href") if given.get(key)]


@pytest.mark.exhaustive
def test_the_site_builds_without_warnings_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("material", reason="the extra `docs` is not installed")
    pytest.importorskip("mkdocstrings", reason="the extra `docs` is not installed")
    source = tmp_path / "source"
    for name in ("docs", "conf", "runner"):
        shutil.copytree(ROOT / name, source / name,
                        ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    for name in ("mkdocs.yml", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict"], cwd=source, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written = [*(source / "site").rglob("*.html")]
    assert len(written) > 30
    for path in written:
        loads = Loads()
        loads.feed(path.read_text())
        assert not [one for one in loads.found if re.match(r"(\w+:)?//", one)]
    assert "runner.nn.LayerChoice" in (source / "site/reference/api/runner-nn.html").read_text()


def spans(page: str) -> list[str]:
    """The pieces of code within the text of a page."""
    return re.findall(r"`([^`\n]+)`", CODE_BLOCK.sub("", (ROOT / page).read_text()))


@pytest.mark.parametrize("page", pages())
def test_names_in_the_text_exist(page):
    groups = config_pages.groups()
    tables = "\n".join(GENERATED.values())
    known = {*re.findall(r"^\| `([\w.]+)` \|", tables, re.M), *(f"{g}._target_" for g in groups)}
    roots = {key.partition(".")[0] for key in known}
    for span in spans(page):
        for name in re.findall(r"\bnn\.(\w+)", span):
            assert hasattr(runner_nn, name), span
        for group, option in re.findall(r"\b(\w+)=(\w+)\b(?!\.)", span):
            if group in groups and option not in ("NAME", "OPTION"):
                assert option in config_pages.options(group), span
        key = re.match(r"(\w+(?:\.\w+)+)(?:=|$)", span)
        if key and not key[1].endswith((".py", ".html", ".NAME")):
            parts = key[1].split(".")
            above = {".".join(parts[:i]) for i in range(2, len(parts) + 1)}
            is_open = not any(one.startswith(f"{parts[0]}.") for one in known)
            assert parts[0] not in roots or is_open or above & known, span
