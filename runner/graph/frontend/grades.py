"""In which grade each module of a model becomes a unit, and why it is no better."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, final

import torch
from torch import nn

from runner.errors import GraphError
from runner.graph.frontend.attributes import default_of
from runner.graph.frontend.bytecode_names import used_by, uses, uses_class
from runner.graph.frontend.constructor_call import Construction, from_attributes, modules_in
from runner.graph.frontend.initial_values.added_tensors import Spot, unwritable
from runner.graph.frontend.kept_modules import Keep
from runner.graph.frontend.literal import reference
from runner.graph.frontend.notes import Notes
from runner.graph.frontend.overrides_and_hooks import (
    CALLED,
    calls_anew,
    is_writable,
    keeper_of,
    keepers,
    lost_attributes,
    overridden,
    overrides,
)
from runner.graph.frontend.parametrizations import plain_class
from runner.graph.frontend.reconstruct import OWN
from runner.graph.frontend.torchscript.choice_result_types import gives_more
from runner.graph.frontend.torchscript.choice_stubs import is_choice
from runner.graph.frontend.torchscript.compile import CONTAINERS, Reader
from runner.graph.frontend.torchscript.module_type import Type
from runner.graph.frontend.torchscript.object_types import is_known
from runner.graph.frontend.torchscript.pruned_type_tests import pruned_result, pruned_test
from runner.graph.ir.unit import Grade
from runner.nn.recording.record import record_of


@final
class Grading:
    """Grades modules, and notes those that are kept as they are."""

    def __init__(
        self,
        model: nn.Module,
        reader: Reader,
        construction: Construction,
        notes: Notes,
        keep: Keep,
    ) -> None:
        """`keep`: modules that are to be kept as they are, although they were read."""
        self.model = model
        self.reader = reader
        self.construction = construction
        self.notes = notes
        self.keep = keep

    def grade(self, module: nn.Module, names: frozenset[str] | None) -> tuple[Grade, bool]:
        """The grade of a module, and whether its unit inherits from its class; with the names that
        those above which were not read may use of it, None if all were read."""
        cls: Any = type(module)
        if is_choice(cls):
            return "open", False
        if self.reader.is_opaque(module):
            return "basic", False
        found = self.reader.types[id(module)]
        used = names is not None and uses_class(names, cls)
        inherits = bool(overridden(cls)) or (used and CALLED not in (names or ()))
        used = used and not inherits
        whole = id(module) in self._kept
        kept = self.keep(module)
        is_read = used or not keeps_forward(module)
        if inherits and calls_anew(cls):
            names = (names or frozenset()) | {CALLED}
        if whole:
            why, instead = f"{_UNSEEN}: {self._kept[id(module)]}", _UNSEEN_INSTEAD
        elif kept is not None:
            why, instead, whole = kept.reason, _OTHERWISE_INSTEAD, kept.whole
        elif is_read and (problem := self._problem(module, found, names, used=used)):
            why, instead = f"{_UNREAD}. {problem}", _UNREAD_INSTEAD
        elif inherits and not self._can_inherit(module):
            why, instead = f"{_UNSEEN}: {overrides(cls)}", _UNSEEN_INSTEAD
        else:
            return "graph", inherits
        if not is_importable(module) and not whole:
            text = f"{why}, and source cannot import its class. {_UNMADE}"
            self.notes.say(module, text, lost=True)
        whole = whole or not self._has_children(module) or self._stays_whole(module)
        self.notes.kept(module, why, instead, whole=whole)
        return ("basic" if whole else "shell"), False

    @staticmethod
    def _can_inherit(module: nn.Module) -> bool:
        """Whether source can name the class of a module, and set all that its methods use."""
        if not is_importable(module):
            return False
        return not any(True for _ in lost_attributes(module, default_of))

    def _problem(
        self, module: nn.Module, found: Type, names: frozenset[str] | None, *, used: bool
    ) -> str:
        """Why a module cannot be taken as it was read; "" if it can."""
        if found.problem:
            return found.problem
        if used:
            return "What calls it was not read, and may use more of it than forward"
        if text := self._unwritten(module, found):
            return text
        is_root = module is self.model  # whatever it is called with
        unread = (names is not None and CALLED in names) or is_root
        if unread and (test := pruned_test(module, found, is_root=names is None)):
            return test
        return pruned_result(module, found) if self._gives_more else ""

    def _unwritten(self, module: nn.Module, found: Type) -> str:
        """Why attributes that the methods of a module read stand against writing them; "" if
        none does."""
        for place, name in found.reads:
            owner: Any = module
            for step in place.names:
                owner = owner._modules[step]
            value = vars(owner).get(name)
            if value is None or self.reader.is_opaque(owner):
                continue
            known = is_known(self.reader.types[id(owner)], name, value)
            if not known or not is_writable(owner, value, default_of):
                return _OF_CLASS.format(name, type(value).__name__)
        for name in used_by(module, found.functions):
            value = vars(module).get(name)
            if value is not None and not is_known(found, name, value):
                return _OF_CLASS.format(name, type(value).__name__)
        return ""

    def _has_children(self, module: nn.Module) -> bool:
        """Whether a module that was not read has parts that can be mutated; where its constructor
        call is not known, it is made of its parts all the same."""
        return any(True for _ in module.children()) or (
            self.construction.call(module, record_of(module)) is None
            and from_attributes(module) is None
        )

    def _stays_whole(self, module: nn.Module) -> bool:
        """Whether a shell would lose attributes, and the constructor makes the whole module."""
        lost = any(True for _ in lost_attributes(module, default_of))
        return lost and self._can_make(module)

    def _can_make(self, module: nn.Module) -> bool:
        """Whether a module can be left to its constructor."""
        return not self.construction.holds_choices(module) and self.construction.makes_again(module)

    @cached_property
    def _gives_more(self) -> bool:
        return gives_more(self.model, self.reader.types)

    @cached_property
    def _kept(self) -> dict[int, str]:
        """By the id of a module that only its constructor makes right, what is put on parts of it;
        where no constructor can, that is said."""
        kept = {}
        twin = self.construction.rebuilder.twin
        found = keepers(self.model, self.reader.types, twin, self._can_make)
        for module, keeper, names in found:
            if keeper is None:
                self.notes.say(module, _LOST.format(" and ".join(names)), lost=True)
            else:
                where = "it" if module is keeper else repr(self.notes.paths[id(module)])
                kept[id(keeper)] = f"its constructor puts {' and '.join(names)} on {where}"
        for module, why in self._unmade():
            path = self.notes.paths[id(module)]
            keeper = keeper_of(self.model, path, module, twin, self._can_make)
            if keeper is None:
                self.notes.say(module, f"{why[:1].upper()}{why[1:]}. {_UNMADE}", lost=True)
            else:
                kept.setdefault(id(keeper), f"in {path!r}, {why}" if path else why)
        for layer in self.layers:
            for inside, name in self._unwritable(layer):
                keeper, text = self._keeper_of_layer(layer, inside, name)
                kept.setdefault(id(keeper), text)
        return kept

    def _unmade(self) -> Iterator[tuple[nn.Module, str]]:
        """The modules that source cannot make by themselves, and why."""
        inside: set[nn.Module] = set()  # parts of what is compiled
        for module in self.model.modules():
            opaque = self.reader.is_opaque(module)
            if is_choice(type(module)) or module in inside:
                continue
            if by := compiled_by(module):
                inside.update(module.modules())
                yield module, f"it is compiled by {by}"
            elif not is_importable(module) and (opaque or self.reader.types[id(module)].problem):
                yield module, "its class is defined where no source can import it"
            elif not self.construction.has_hooks_written(module):
                yield module, "a parametrization of it cannot be written down"
            elif not opaque and _holds_modules(module):
                yield module, "it holds modules in a way that PyTorch does not register"

    @cached_property
    def layers(self) -> list[nn.Module]:
        """The layers of torch and the classes with @basic_unit, but for those inside others."""
        found: list[nn.Module] = []
        inside: set[nn.Module] = set()
        for module in self.model.modules():
            if module not in inside and self.reader.is_opaque(module):
                found.append(module)
                inside.update(module.modules())
        return found

    def _unwritable(self, layer: nn.Module) -> list[Spot]:
        twin = self.construction.twin(layer)
        return [] if twin is None else [*unwritable(layer, twin)]

    def _keeper_of_layer(self, layer: nn.Module, inside: str, name: str) -> tuple[nn.Module, str]:
        """What has to be kept around a layer that was changed, and why. Raises GraphError if no
        constructor makes it again."""
        module = layer.get_submodule(inside)
        path = self.notes.paths[id(module)]
        twin = self.construction.rebuilder.twin
        keeper = keeper_of(self.model, path, module, twin, self._can_make)
        if keeper is None:
            raise GraphError(
                f"{path or 'the model'} ({type(module).__name__}): it has {name}, behind its "
                "constructor, which cannot be written down. Write a class for the layer whose "
                "constructor does it, at the top of a module, and decorate it with @basic_unit."
            )
        return keeper, f"its constructor makes {path!r} with {name}"


_OF_CLASS = "self.{} is a {}, and what TorchScript knows of one may not be all that it is"
_UNREAD = "TorchScript cannot read it"
_UNREAD_INSTEAD = "write its forward as TorchScript allows"
_OTHERWISE_INSTEAD = "write its forward so that both read the same"
_UNSEEN = "TorchScript does not see all of it"
_UNSEEN_INSTEAD = "do in forward what it does elsewhere"
_UNMADE = (
    "Give what it was made of; define classes at the top of a module; put modules into an "
    "nn.ModuleList or nn.ModuleDict."
)
_LOST = (
    "What was put on it, {}, is not part of the graph. Do it in forward, or decorate the class "
    "whose constructor does it with @basic_unit."
)


def is_importable(module: nn.Module) -> bool:
    """Whether source can name the class of a module."""
    try:
        reference(plain_class(module))
    except GraphError:
        return False
    return True


def compiled_by(module: nn.Module) -> str:
    """What a module is compiled by, so that its Python is out of reach; "" if it is not."""
    if isinstance(module, torch.jit.ScriptModule):
        return "TorchScript"
    return "torch.compile" if type(module).__name__ == "OptimizedModule" else ""


def _holds_modules(module: nn.Module) -> bool:
    """Whether the methods of a module use plain attributes that hold modules."""
    cls: Any = type(module)
    used = uses(cls)
    return any(
        name in used and any(True for _ in modules_in(value))
        for name, value in vars(module).items()
        if name not in OWN
    )


def keeps_forward(module: nn.Module) -> bool:
    """Whether a container has no forward of its own."""
    if not isinstance(module, CONTAINERS) or "forward" in vars(module):
        return False
    return type(module).forward in (nn.Sequential.forward, nn.Module.forward)
