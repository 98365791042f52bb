"""Whether the device computes at all. This part comes first: it also reads what later ones need
from a disk that may be slow."""

from collections.abc import Iterator

import torch
from device_task import Row, Task, checked
from torch.nn.functional import conv2d


def run(task: Task) -> Iterator[Row]:
    """Compare a product, a convolution and their gradients with those of the CPU, in float64."""
    device = torch.device(task.device)
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(8, 4, 8, 8, generator=rng, dtype=torch.float64)
    kernels = torch.randn(4, 4, 3, 3, generator=rng, dtype=torch.float64)
    matrix = torch.randn(256, 256, generator=rng, dtype=torch.float64)

    def gradient(where: torch.device) -> torch.Tensor:
        weight, product = (part.to(where, copy=True).requires_grad_() for part in (kernels, matrix))
        y = conv2d(images.to(where), weight, padding=1).flatten(1)  # (8, 256)
        (y @ product).square().sum().backward()  # type: ignore[no-untyped-call]
        grads = [part.grad for part in (weight, product) if part.grad is not None]
        return torch.cat([grad.flatten().cpu() for grad in grads])

    ours, theirs = gradient(device), gradient(torch.device("cpu"))
    error = float((ours - theirs).norm() / theirs.norm())
    yield checked("gradients of a small network, as on a CPU", error, 1e-12)
