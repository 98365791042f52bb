"""One contract over all programs: what is converted and generated does what the program does."""

import copy

import pytest
import torch
from programs import PROGRAMS

from runner.graph.frontend.convert import convert
from runner.graph.validation.conversion_check import check_conversion
from runner.nn.recording.construction_record import recording


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
@pytest.mark.filterwarnings("ignore:.torch.jit.(fork|wait). is deprecated:DeprecationWarning")
@pytest.mark.sampled(10)
@pytest.mark.parametrize("frontend", ["auto", "python", "torchscript"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_generated_program_gives_what_the_program_gives(name: str, frontend: str) -> None:
    program = PROGRAMS[name]
    torch.manual_seed(0)
    with recording():
        model = program.make()
    inputs, named = copy.deepcopy((program.inputs, program.named))
    report = check_conversion(model, *inputs, frontend=frontend, **named)
    report.raise_if_wrong()
    root = convert(model, frontend=frontend).root
    assert root.grade == program.grade_by(frontend), str(report)


def test_recorded_module_with_parametrization_can_be_copied() -> None:
    with recording():
        model = PROGRAMS["state.Hooks"].make()
    x = torch.randn(2, 3)
    assert torch.equal(copy.deepcopy(model)(x), model(x))
