"""Layers that depend on a whole batch, of which each of several processes has a part."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

HALF = (torch.float16, torch.bfloat16)
# Functions, beside those for batch normalization, whose running statistics, or whose effects on
# weights, would be those of a part. What `batch_norm` and `instance_norm` call is not seen.
REFUSED = ("embedding_renorm_", "fused_moving_avg_obs_fake_quant")
END, CALL = 1, 2  # of a forward pass, of a layer in it
WAY_OUT = "train it with training.devices_per_trial=1"


@final
class GlobalBatch(TorchFunctionMode):
    """Within this mode, normalization in training uses the statistics of the whole batch, wherever
    it is called from Python: in modules, in functions of a user, in generated source."""

    def __init__(self, group: dist.ProcessGroup, words: dist.ProcessGroup) -> None:
        """The processes of `group` have a part each, in the order of their ranks; `words` is the
        same group for messages from processor to processor."""
        super().__init__()
        self.group, self._words = group, words
        self._layers: dict[int, int] = {}  # the tensors of a model, by id -> their places in it
        self._calls = 0  # of layers in a forward pass
        self._is_backward = False

    def know(self, model: nn.Module) -> None:
        """Learns which layers there are, so that they are told apart."""
        tensors = (*model.parameters(), *model.buffers())
        self._layers = {id(tensor): place for place, tensor in enumerate(tensors)}

    @contextmanager
    def forward_pass(self) -> Iterator[None]:
        """Is this mode for a forward pass in the block. Raises RuntimeError, in all processes,
        where that pass calls other layers for another part."""
        self._calls = 0
        with self:
            yield
        self._compare(END)

    @contextmanager
    def backward_pass(self) -> Iterator[None]:
        """Is this mode for a backward pass in the block. Raises RuntimeError where that computes
        normalization again: a process that does so alone would wait for the others for ever."""
        self._is_backward = True
        try:
            with self:
                yield
        finally:
            self._is_backward = False

    def _enter(self, layer: Tensor | None, channels: int) -> None:
        """All processes enter a layer that depends on the whole batch, which is known by one of its
        tensors."""
        if self._is_backward:
            raise RuntimeError(
                "The model computes normalization again in its backward pass, as with activation "
                f"checkpointing, where it would see a part of each batch; {WAY_OUT}."
            )
        self._compare(CALL, self._layers.get(id(layer), -1), channels)

    def _compare(self, *what: int) -> None:
        """Raises RuntimeError, in all processes, unless all of them are at the same call. Otherwise
        they would wait for each other for ever, or mix up layers."""
        self._calls += 1
        own = torch.tensor([self._calls, *what, *(0,) * (3 - len(what))])
        every = [torch.empty_like(own) for _ in range(self._words.size())]
        dist.all_gather(every, own, group=self._words)
        if any(not torch.equal(own, other) for other in every):
            raise RuntimeError(
                "The model calls other normalization layers on one device than on another, such as "
                "layers that are skipped or chosen at random or by the data; their statistics "
                f"would be mixed up; {WAY_OUT}."
            )

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.autograd.backward:
            return self._backward(*args, **kwargs)
        if func in OF_FUNCTIONAL:
            return getattr(self, OF_FUNCTIONAL[func])(*args, **kwargs)
        name = str(getattr(func, "__name__", "")).partition(".")[0]
        if name == "batch_norm":
            return self._operator(*args, **kwargs)
        if name == "instance_norm" and len(args) > 5 and args[3] is not None and args[5]:
            name = "torch.instance_norm with running statistics"
        elif name not in REFUSED and "batch_norm" not in name:
            return func(*args, **kwargs)
        raise RuntimeError(f"{name} sees only a part of each batch on several devices; {WAY_OUT}.")

    def _backward(
        self, tensors: Sequence[Tensor], grad_tensors: Sequence[Tensor] | None = None, **given: Any
    ) -> None:
        """Stands for `torch.autograd.backward`, which newer versions of torch call without this
        mode, unless they are given no tensors but edges of the graph."""
        edges = [torch.autograd.graph.get_gradient_edge(tensor) for tensor in tensors]
        ones = [torch.ones_like(tensor) for tensor in tensors]
        with self:
            torch.autograd.backward(edges, grad_tensors or ones, **given)

    def _operator(
        self, input: Tensor, weight: Tensor | None, bias: Tensor | None,
        running_mean: Tensor | None, running_var: Tensor | None, training: bool, momentum: float,
        eps: float, cudnn_enabled: bool = True,
    ) -> Tensor:  # fmt: skip
        """Stands for `torch.batch_norm`, whose arguments are in another order."""
        return self.batch_norm(
            input, running_mean, running_var, weight, bias, training, momentum, eps
        )

    def batch_norm(
        self, input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
        weight: Tensor | None = None, bias: Tensor | None = None, training: bool = False,
        momentum: float = 0.1, eps: float = 1e-5,
    ) -> Tensor:  # fmt: skip
        """Stands for `torch.nn.functional.batch_norm`."""
        if not training:
            return functional.batch_norm(
                input, running_mean, running_var, weight, bias, False, momentum, eps
            )
        known = (t for t in (weight, bias, running_mean, running_var) if t is not None)
        self._enter(next(known, None), input.shape[1])
        mean, var, count = self._moments(input.detach())
        if count < 2:
            raise ValueError(
                "Expected more than 1 value per channel when training, got input size "
                f"{list(input.shape)} on each device."
            )
        with torch.no_grad():
            for running, now in ((running_mean, mean), (running_var, var * count / (count - 1))):
                if running is not None:
                    running.mul_(1 - momentum).add_(now.to(running.dtype), alpha=momentum)
        normalized: Any = _Normalized.apply
        found: Tensor = normalized(input, weight, bias, mean, var, eps, count, self.group)
        return found

    def _moments(self, values: Tensor) -> tuple[Tensor, Tensor, float]:
        """Returns the mean and the biased variance of each channel, (C,), over the parts of all
        processes, and how many values each is of."""
        wide = values.float() if values.dtype in HALF else values
        var, mean = torch.var_mean(wide, _others(wide), correction=0)
        own = torch.cat([mean, var, mean.new_tensor([wide.numel() / wide.shape[1]])])
        every = [torch.empty_like(own) for _ in range(self.group.size())]
        dist.all_gather(every, own, group=self.group)
        channels = len(mean)
        found = torch.stack(every)  # (processes, 2 C + 1)
        means, variances, counts = found[:, :channels], found[:, channels:-1], found[:, -1:]
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean).square())).sum(0) / count
        return mean, var, float(count)

    def instance_norm(
        self, input: Tensor, running_mean: Tensor | None = None, running_var: Tensor | None = None,
        weight: Tensor | None = None, bias: Tensor | None = None, use_input_stats: bool = True,
        momentum: float = 0.1, eps: float = 1e-5,
    ) -> Tensor:  # fmt: skip
        """Stands for `torch.nn.functional.instance_norm`, whose running statistics are means over
        the examples of a batch."""
        learns = use_input_stats and running_mean is not None and running_var is not None
        if learns:
            self._enter(running_mean, input.shape[1])
        normal = functional.instance_norm(
            input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps
        )
        if learns:
            assert running_mean is not None and running_var is not None
            with torch.no_grad():
                size = running_mean.new_tensor([len(input)])
                sums = torch.cat([running_mean * size, running_var * size, size])
                dist.all_reduce(sums, group=self.group)
                for running, total in zip(
                    (running_mean, running_var), sums[:-1].chunk(2), strict=True
                ):
                    running.copy_(total / sums[-1])
        return normal

    def embedding(
        self, input: Tensor, weight: Tensor, padding_idx: int | None = None,
        max_norm: float | None = None, *args: Any, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        """Stands for `torch.nn.functional.embedding`."""
        _check_max_norm(max_norm)
        return functional.embedding(input, weight, padding_idx, None, *args, **kwargs)

    def embedding_bag(
        self, input: Tensor, weight: Tensor, offsets: Tensor | None = None,
        max_norm: float | None = None, *args: Any, **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        """Stands for `torch.nn.functional.embedding_bag`."""
        _check_max_norm(max_norm)
        return functional.embedding_bag(input, weight, offsets, None, *args, **kwargs)


OF_FUNCTIONAL: Final[Mapping[Any, str]] = {
    functional.batch_norm: "batch_norm",
    functional.instance_norm: "instance_norm",
    functional.embedding: "embedding",
    functional.embedding_bag: "embedding_bag",
}


@final
class _Normalized(torch.autograd.Function):
    """Batch normalization with given statistics of all parts, and its gradient, which depends on
    the gradients of all parts (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167)."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor,
        var: Tensor, eps: float, count: float, group: dist.ProcessGroup,
    ) -> Tensor:  # fmt: skip
        scale = (var + eps).rsqrt()
        ctx.save_for_backward(input, weight, mean, scale)
        ctx.count, ctx.group = count, group
        if weight is not None:
            scale = scale * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        normal = torch.addcmul(_wide(shift, input), input, _wide(scale, input))
        return normal.to(input.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        input, weight, mean, scale = ctx.saved_tensors
        gradient = grad.to(mean.dtype)
        centered = input.to(mean.dtype) - _wide(mean, input)
        own = torch.stack([gradient.sum(_others(grad)), (gradient * centered).sum(_others(grad))])
        d_bias, d_weight = own[0], own[1] * scale
        d_input = None
        if ctx.needs_input_grad[0]:
            means = own / ctx.count
            dist.all_reduce(means, group=ctx.group)
            d_input = gradient - _wide(means[0], grad)
            d_input -= centered * _wide(means[1] * scale**2, grad)
            d_input = d_input * _wide(scale if weight is None else scale * weight, grad)
            d_input = d_input.to(input.dtype)
        return (
            d_input,
            d_weight.to(weight.dtype) if ctx.needs_input_grad[1] else None,
            d_bias if ctx.needs_input_grad[2] else None,
            *(None,) * 5,
        )


def _check_max_norm(max_norm: float | None) -> None:
    if max_norm is not None:
        raise RuntimeError(
            "An embedding with max_norm changes the rows that a batch uses, and sees only a part "
            f"of each batch on several devices; {WAY_OUT}."
        )


def _others(values: Tensor) -> list[int]:
    """Returns all dimensions but that of the channels."""
    return [dim for dim in range(values.dim()) if dim != 1]


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """Returns one value per channel, (C,), in a shape that fits (N, C, ...)."""
    return values.view(1, -1, *(1,) * (like.dim() - 2))
