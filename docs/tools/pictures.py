"""Makes the pictures of the tutorial anew: runs its search, and takes what there is to see.

    pip install ".[report]" pyte playwright
    python docs/tools/pictures.py

`pyte` is the terminal. The report is opened in Chromium, by `playwright`: its own, or the one that
`--chromium` names.
"""

import argparse
import io
import os
import pty
import re
import shlex
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path
from select import select

import pyte
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

DOCS = Path(__file__).parents[1]
COLUMNS, ROWS = 100, 200
WIDTH, HEIGHT = 1280, 1000  # pixels of the picture of the report
# Without the fonts, which rich loads from a server. A picture needs none: lengths are given.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
FORMAT = FORMAT.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")


def tutorial() -> tuple[dict[str, str], str]:
    """Returns the files of the tutorial, and the command of its search."""
    text = (DOCS / "tutorial.md").read_text()
    named = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, flags=re.DOTALL)
    [command] = re.findall(r"^python -m runner .*budget\.trials.*$", text, flags=re.MULTILINE)
    return dict(named), command


def typed(command: str, folder: Path) -> list[Text]:
    """Runs a command in a terminal; returns the lines that stay on it."""
    screen = pyte.Screen(COLUMNS, ROWS)
    screen.set_mode(pyte.modes.LNM)
    stream = pyte.ByteStream(screen)
    words = [sys.executable, *shlex.split(command)[1:]]
    ours, theirs = pty.openpty()
    size = {"COLUMNS": str(COLUMNS), "LINES": "45", "TERM": "xterm-256color"}
    with subprocess.Popen(
        words, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | size
    ) as process:
        os.close(theirs)
        while data := _read(ours):
            stream.feed(data)
    os.close(ours)
    if process.returncode:
        raise SystemExit("\n".join(screen.display).strip())
    lines = [_line(screen, row) for row in range(ROWS)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    return lines


def _read(terminal: int) -> bytes:
    select([terminal], [], [])
    try:
        return os.read(terminal, 65536)
    except OSError:  # all writers have ended
        return b""


def _line(screen: pyte.Screen, row: int) -> Text:
    cells = [screen.buffer[row][column] for column in range(COLUMNS)]
    text = Text()
    for style, same in groupby(cells, key=_style):
        text.append("".join(cell.data for cell in same), style)
    text.rstrip()
    return text


def _style(cell: pyte.screens.Char) -> str:
    color = {"default": "", "brown": "yellow"}.get(cell.fg, cell.fg)
    if re.fullmatch(r"[0-9a-f]{6}", color):
        color = f"#{color}"
    color = re.sub(r"^bright(\w+)", r"bright_\1", color)
    return " ".join([*(["bold"] if cell.bold else []), *([color] if color else [])])


def svg(lines: list[Text], command: str) -> str:
    """Returns lines of a terminal as a picture, below the command that was typed."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}", style="bold"), soft_wrap=False)
    for line in lines:
        console.print(line, soft_wrap=False, no_wrap=True, crop=True)
    found = console.export_svg(title="runner", code_format=FORMAT, unique_id="terminal")
    found = re.sub(r"<!--.*?-->\s*", "", found, flags=re.DOTALL)
    return re.sub(r"[ \t]+$", "", found, flags=re.MULTILINE)


def photograph(report: Path, target: Path, chromium: str | None) -> None:
    """Takes a picture of the top of a report."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.wait_for_timeout(3000)  # until its plots are drawn
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=target)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chromium", help="the browser's executable")
    parser.add_argument("--into", type=Path, default=DOCS / "pictures")
    given = parser.parse_args()
    files, command = tutorial()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text)
        lines = typed(command, folder)
        (given.into / "terminal.svg").write_text(svg(lines, command))
        report = folder / "outputs" / "latest" / "report.html"
        photograph(report, given.into / "report.png", given.chromium)


if __name__ == "__main__":
    main()
