"""Logs the conversion of a run's graphs: their composition, and notes on what was not converted."""

import logging
from collections import defaultdict
from typing import final

from runner.graph.ir.graph import Graph, Note

log = logging.getLogger(__name__)

MOST = 5  # notes that are logged per graph


@final
class ConversionLog:
    """Logs the composition of the first graph, and each note once; one line per class and note."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._warned_of: set[tuple[str, str]] = set()
        self._counted = False

    def log(self, graph: Graph) -> None:
        """Logs what was not logged for an earlier graph."""
        if not self._counted:
            grades = graph.grades()
            counts = ", ".join(f"{grades[grade]} {grade}" for grade in ("graph", "shell", "basic"))
            log.info("%s as a graph: %s.", self._name, counts)
            self._counted = True
        new: dict[tuple[str, str], list[Note]] = defaultdict(list)
        for note in graph.notes:
            if (note.cls, note.text) not in self._warned_of:
                new[note.cls, note.text].append(note)
        self._warned_of |= new.keys()
        for place, (first, *others) in enumerate(new.values()):
            if place == MOST:
                log.warning("%d more notes; task=describe shows all.", len(new) - MOST)
                return
            log.warning("%s%s", first, f" (and at {len(others)} more places)" if others else "")
