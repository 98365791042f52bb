"""One contract over all programs: what is converted and generated does what the program does."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from programs import PROGRAMS, Program

from runner.graph.frontend.convert import convert
from runner.graph.validation.conversion_check import check_conversion
from runner.nn.recording.construction_record import recording


def cases() -> Iterator[Any]:
    for name, program in PROGRAMS.items():
        yield pytest.param(program, id=name)


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.(fork|wait). is deprecated:DeprecationWarning")
@pytest.mark.parametrize("program", [*cases()])
def test_generated_program_gives_what_the_program_gives(program: Program) -> None:
    torch.manual_seed(0)
    with recording():
        model = program.make()
    report = check_conversion(model, *copy.deepcopy(program.inputs), **copy.deepcopy(program.named))
    report.raise_if_wrong()
    assert convert(model).root.grade == program.grade, str(report)


def test_recorded_module_with_parametrization_can_be_copied() -> None:
    with recording():
        model = PROGRAMS["state.Hooks"].make()
    x = torch.randn(2, 3)
    assert torch.equal(copy.deepcopy(model)(x), model(x))
