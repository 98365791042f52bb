"""The pages of the docs: their blocks of code, the files these are, and their commands."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# ([\w/]+\.\w+)\n")  # the first line of a block that is a file
FLAGS = {"-m": 0, "--help": 0, "--cfg": 1, "--package": 1, "--config-dir": 1}  # and their values
PROGRAM = ["python", "-m", "runner"]


@dataclass(frozen=True)
class CodeBlock:
    """A block of code of a page."""

    page: str
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that it is; None if it is none."""
        found = NAMED.match(self.text)
        return found[1] if found else None

    @property
    def is_whole(self) -> bool:
        """Whether it can be run as it stands; else it is a part of something."""
        return self.file is None and self.text.startswith(("import ", "from "))


@dataclass(frozen=True)
class DocCommand:
    """A command of a page, as it is typed."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)

    @property
    def is_of_program(self) -> bool:
        return self.words[:3] == PROGRAM

    @property
    def flags(self) -> list[str]:
        """The flags of the program, without their values."""
        return [word for word in self.words[3:] if word in FLAGS]

    @property
    def overrides(self) -> list[str]:
        """What it overrides of the config: of a sweep, in its first member."""
        words = iter(self.words[3:])
        found = []
        for word in words:
            if word in FLAGS:
                [next(words) for _ in range(FLAGS[word])]
            else:
                found.append(_first(word) if "-m" in self.flags else word)
        return found


def _first(word: str) -> str:
    [override] = OverridesParser.create().parse_overrides([word])
    if not override.is_sweep_override():
        return word
    if override.is_interval_sweep():
        return f"{override.get_key_element()}={override.value().start}"
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"


def pages() -> Sequence[str]:
    """The pages, by their paths in the repository."""
    docs = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", "CONTRIBUTING.md", *docs]


def blocks(*languages: str) -> Iterator[CodeBlock]:
    for page in pages():
        for language, text in BLOCK.findall((ROOT / page).read_text()):
            if language in languages:
                yield CodeBlock(page, language, text)


def commands() -> Iterator[DocCommand]:
    """Yields each command once for each page."""
    seen = set()
    for block in blocks("bash"):
        for line in re.sub(r" \\\n +", " ", block.text).splitlines():
            command = DocCommand(block.page, line.split("  #")[0].strip())
            if command.text and command not in seen:
                seen.add(command)
                yield command


def write_files(page: str, folder: Path) -> None:
    """Writes the files that a page consists of."""
    for block in blocks("python", "yaml"):
        if block.page == page and block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
