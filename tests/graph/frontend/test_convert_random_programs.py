"""One contract over random Python: what is converted and generated does what the program does."""

from random import Random

import pytest
from random_programs import random_program, try_program

GROUPS, SIZE = 6, 10


@pytest.mark.sampled(5)
@pytest.mark.parametrize("frontend", ["auto", "python"])
@pytest.mark.parametrize("group", range(GROUPS))
def test_generated_source_does_what_random_programs_do(group: int, frontend: str) -> None:
    """As source that imports and that stands alone, as it is and with all activations replaced by
    their twins: outputs, inputs, state and gradients, in eval and train mode."""
    tried = 0
    for number in range(group * SIZE, (group + 1) * SIZE):
        program = random_program(Random(number).randrange)
        found = try_program(program, f"random_program_{number}", frontend=frontend)
        told = f"{number} {found.way}: {found.detail}\n{program.text}\n{found.source}"
        assert found.verdict in ("equal", "refused", "discarded"), told
        tried += found.verdict == "equal"
    assert tried > SIZE // 2
