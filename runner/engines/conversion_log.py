"""Logs the conversion of a run's graphs: their composition, and notes on what was not converted."""

import logging
from collections import defaultdict
from typing import final

from runner.graph.ir.graph import Graph, Note

log = logging.getLogger(__name__)

MOST = 5  # notes that are logged per graph


@final
class ConversionLog:
    """A log of the composition of the first graph, and of each note and warning once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said: set[tuple[str, str]] = set()
        self._counted = False

    def warn(self, text: str, *more: str) -> None:
        """Logs a warning about the space, whose name is the first argument of the text, once."""
        if ("", text) not in self._said:
            log.warning(text, self._name, *more)
        self._said.add(("", text))

    def log(self, graph: Graph) -> None:
        """Logs what was not logged for an earlier graph."""
        if not self._counted:
            grades = graph.grades()
            counts = ", ".join(f"{grades[grade]} {grade}" for grade in ("graph", "shell", "basic"))
            log.info("%s as a graph: %s.", self._name, counts)
            self._counted = True
        new: dict[tuple[str, str], list[Note]] = defaultdict(list)
        for note in graph.notes:
            if (note.cls, note.text) not in self._said:
                new[note.cls, note.text].append(note)
        self._said |= new.keys()
        for place, (first, *others) in enumerate(new.values()):
            if place == MOST:
                log.warning("%d more notes; task=describe shows all.", len(new) - MOST)
                return
            log.warning("%s%s", first, f" (and at {len(others)} more places)" if others else "")
