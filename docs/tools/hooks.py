"""Hooks of MkDocs: add the generated pages, and links to them.

In the repository, a page links to the files that it is about, such as `conf/strategy`; on the site,
there is a page for them.
"""

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import api_pages
import config_pages

ROOT = Path(__file__).parents[2]
DOCUMENTS = {name: f"project/{name.lower()}" for name in
             ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")}  # fmt: skip
LINK = re.compile(r"\]\(((?:\.\./)+|)([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages."""
    for name, text in config_pages.pages().items():
        files.append(File.generated(config, f"reference/config/{name}", content=text))
    for name, text in api_pages.pages().items():
        files.append(File.generated(config, f"reference/api/{name}", content=text))
    for name, place in DOCUMENTS.items():
        files.append(File.generated(config, place, content=(ROOT / name).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links to pages of the site instead of to files outside of `docs/`."""
    here = page.file.src_uri
    is_document = here in DOCUMENTS.values()

    def link(found: re.Match[str]) -> str:
        up, path, anchor = found[1], found[2], found[3] or ""
        source = path if is_document else posixpath.normpath(
            posixpath.join("docs", posixpath.dirname(here), up + path)
        )  # fmt: skip
        place = page_of(source)
        if place is None:
            return found[0]
        return f"]({posixpath.relpath(place, posixpath.dirname(here) or '.')}{anchor})"

    return LINK.sub(link, markdown)


def page_of(source: str) -> str | None:
    """Returns the page about a file or folder of the repository; None if there is none."""
    if source in DOCUMENTS:
        return DOCUMENTS[source]
    if source in ("conf", "conf/config.yaml"):
        return "reference/config/index.md"
    parts = source.split("/")
    if parts[0] == "conf" and parts[1] in config_pages.groups():
        return f"reference/config/{parts[1]}.md"
    for package in api_pages.PACKAGES:
        if source == f"{package.replace('.', '/')}/__init__.py":
            return f"reference/api/{package.replace('.', '-')}.md"
    return None
