"""Notes on modules that are not converted as they are: where, why, and how to change that."""

from typing import final

from torch import nn

from runner.graph.ir.graph import Note


@final
class ConversionNotes:
    """The notes on one model, without duplicates."""

    def __init__(self, model: nn.Module) -> None:
        self.paths = {id(m): path for path, m in model.named_modules()}
        self._all: dict[str, Note] = {}

    def all(self) -> list[Note]:
        """Returns all notes in the order in which they were made."""
        return [*self._all.values()]

    def why_kept(self, module: nn.Module) -> str:
        """Returns why a module is kept as a whole, in one clause: for what is noted on a module
        inside, which often has that effect, else on itself; "" if nothing is."""
        path = self.paths[id(module)]
        prefix = f"{path}." if path else ""
        for note in self._all.values():
            if note.path != path and note.path.startswith(prefix):
                return f"{note.path} ({note.cls}): {note.reason}"
        own = self._all.get(path)
        return "" if own is None else own.reason

    def place(self, module: nn.Module) -> str:
        """Returns the path of a module, or "the model" for the root."""
        return self.paths[id(module)] or "the model"

    def say(self, module: nn.Module, text: str, *, lost: bool = False) -> None:
        """Adds a note on a module."""
        path = self.paths[id(module)]
        note = Note(path, type(module).__qualname__, text, lost)
        self._all.setdefault(f"{path}: {text}", note)

    def kept(self, module: nn.Module, why: str, instead: str, *, whole: bool) -> None:
        """Adds a note that a module is kept as it is, with the reason, and the change (`instead`)
        that would have it converted."""
        path, name = self.paths[id(module)], type(module).__qualname__
        kept = "a shell: its children can be mutated, its forward cannot"
        if whole:
            kept = "a basic unit: its inside cannot be mutated"
        text = (
            f"{why}. Kept as {kept}. To mutate inside, {instead}; to silence, decorate "
            f"{type(module).__name__} with @basic_unit."
        )
        self._all[path] = Note(path, name, text)
