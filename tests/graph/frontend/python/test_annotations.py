"""Annotations of parameters."""

import typing
from typing import Annotated, Any, Dict, List, Optional, Tuple, Union  # noqa: UP035

import pytest
import torch
from torch import Tensor, nn

from runner.graph.frontend.python.annotations import annotation, annotations_of

WRITTEN = [
    (int, "int"),
    ("Tensor", "torch.Tensor"),
    (Tensor, "torch.Tensor"),
    (list[Tensor], "list[torch.Tensor]"),
    (List[Tensor], "list[torch.Tensor]"),  # noqa: UP006
    (List, "list"),  # noqa: UP006
    (dict[str, int], "dict[str, int]"),
    (Dict[str, List[int]], "dict[str, list[int]]"),  # noqa: UP006
    (tuple[int, ...], "tuple[int, ...]"),
    (Tuple[int, float], "tuple[int, float]"),  # noqa: UP006
    (Optional[Tensor], "torch.Tensor | None"),  # noqa: UP045
    (Tensor | None, "torch.Tensor | None"),
    (Union[int, bool, None], "int | bool | None"),  # noqa: UP007
    (torch.device, "torch.device"),
    (None, "None"),
    *((kind, "") for kind in (Any, nn.Module, list[nn.Module], Annotated[int, []], "nothing", [1])),
    *((kind, "") for kind in (typing.TypeVar("T"), typing.Callable[[int], int], torch.dtype)),
]


@pytest.mark.parametrize("kind,text", WRITTEN, ids=[str(kind) for kind, _ in WRITTEN])
def test_an_annotation_is_written_with_builtins_and_torch_alone(kind, text):
    assert annotation(kind) == text


def test_annotations_that_are_text_are_evaluated_if_they_can_be() -> None:
    def known(x: "list[Tensor]", n: "int") -> None: ...
    def unknown(x: "Tensor", n: "Never") -> None: ...  # type: ignore[name-defined] # noqa: F821

    assert annotations_of(known)["x"] == list[Tensor]
    assert annotations_of(unknown)["x"] == "Tensor"
