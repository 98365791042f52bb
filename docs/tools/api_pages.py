"""Writes the reference of the Python API: Markdown for mkdocstrings, by what packages export."""

import ast
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "runner": "Searches from Python, and their results.",
    "runner.nn": "The primitives of a space. All of `torch.nn` is there, too: `nn.Linear` is "
    "`torch.nn.Linear`.",
    "runner.graph": "The compiler: models as graphs.",
}


def pages() -> Mapping[str, str]:
    """The pages by name: one for each package."""
    return {f"{package.replace('.', '-')}.md": _page(package) for package in PACKAGES}


def exported(package: str) -> list[str]:
    """The names that a package exports on purpose: those it imports from its own modules."""
    path = ROOT.joinpath(*package.split("."), "__init__.py")
    tree = ast.parse(path.read_text())
    return sorted({
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("runner.")
        for alias in node.names
        if not (alias.asname or alias.name).startswith("_")
    })  # fmt: skip


def _page(package: str) -> str:
    parts = [f"# `{package}`", "", PACKAGES[package], ""]
    for name in exported(package):
        parts += [f"::: {package}.{name}", ""]
    return "\n".join(parts)
