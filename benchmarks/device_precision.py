"""Mixed precision: bf16 is fused; fp16 is not, since each model scales its own loss."""

from collections.abc import Iterator

import torch
from cgo_cases import STEPS, Candidates
from device_equality import Form, Pair, compared, groups, losses, set_tf32, weights, worst
from device_task import NO_TIME, Row, Task, checked, claimed, noted, skipped

from runner.evaluators.group import Group

NAMES = ("tiny MLP, 16 rates", "small CNN", "cell, same", "chain of kernels",
         "transformer, 128 wide")  # fmt: skip
BF16 = Form("bf16", torch.float32, True, "bf16", 0.05, 0.1)
FP16 = Form("fp16", torch.float32, True, "fp16", 0.01, 0.1)
LATER = 0.05  # how far apart mean losses of equal trainings may be, whose kernels may differ


def run(task: Task) -> Iterator[Row]:
    """Compare the cases in both precisions."""
    device = torch.device(task.device)
    set_tf32(True)
    names = NAMES[:2] if task.quick else NAMES
    cases = groups(names)
    yield from compared(cases, BF16, device, task, 1)
    if task.left < 0:
        yield skipped("fp16", NO_TIME)
        return
    [cnn] = [candidates for candidates in cases if candidates.case.name == "small CNN"]
    yield from scaled(cnn, device, 6 if task.quick else 30)


def scaled(candidates: Candidates, device: torch.device, steps: int) -> Iterator[Row]:
    """Train a group in fp16: that it is not fused is said, and each model is trained as alone."""
    pair = Pair(candidates, FP16, device)
    alone, ours = pair.alone(), pair.alone()
    before = [member.scaler.get_scale() for member in alone]
    group = Group(ours, pair.programs)
    group.begin(0)
    for at in range(steps):
        batch = pair.batches[at % len(pair.batches)]
        group.step(batch, at, STEPS)
        for member in alone:
            member.step((batch[0].clone(), batch[1]), at, STEPS)
    gain = group.end()
    yield claimed("fp16: not fused, and why is said", "fp16" in gain.why, gain.why or "fused")
    yield claimed("fp16: no model was lost", not group.lost, f"{group.lost}")
    yield checked("fp16: mean loss, group and alone", worst(ours, alone, losses), LATER)
    yield checked("fp16: weights in the end", worst(ours, alone, weights), LATER)
    scales = {one.scaler.get_scale() for one in ours}
    yield noted(f"The scale of the loss was {before[0]:g}, and is {sorted(scales)} in the end.")
