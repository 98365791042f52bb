"""Self-attention: the projections as batched matrix products, one attention for all models."""

from collections.abc import Hashable, Sequence
from typing import final

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from runner.fusion.kernels.kernel import Context, FusedKernel, Operation, inputs, write
from runner.fusion.kernels.layers import described, linear, module, owners
from runner.fusion.packing.layout import Layout

PLAIN = {"need_weights": False, "key_padding_mask": None, "attn_mask": None, "is_causal": False,
         "average_attn_weights": True}  # fmt: skip


@final
class SelfAttention(FusedKernel):
    """`nn.MultiheadAttention` of one tensor (N, T, E), without masks, weights or dropout."""

    def label(self, operation: Operation) -> Hashable:
        layer, step = module(operation), operation.step
        plain = len(step.args) == 3 and not step.kwargs.items() - PLAIN.items()
        wanted = {"need_weights"} <= step.kwargs.keys() and len(step.inputs) == 1
        simple = layer.batch_first and layer._qkv_same_embed_dim and not layer.add_zero_attn
        still = layer.bias_k is None and not (layer.training and layer.dropout)
        if not (plain and wanted and simple and still and len(operation.spec.shape) == 3):
            return None
        return described(operation), layer.num_heads, layer.dropout

    def emit(self, operations: Sequence[Operation], context: Context) -> bool:
        emitter, first = context.emitter, module(operations[0])
        projections = [(op.model, module(op).out_proj) for op in operations]
        inside = context.parameters.take(
            owners(operations), ("in_proj_weight", "in_proj_bias"), "stack"
        )
        outside = context.parameters.take(projections, ("weight", "bias"), "stack")
        if inside is None or outside is None:
            return False
        x = emitter.fetch(inputs(operations), Layout.STACKED)
        tensors = ", ".join(emitter.bind(tensor, "p") for tensor in inside + outside)
        call = f"{emitter.bind(attention, 'f')}({x}, {first.num_heads}, {tensors})"
        write(operations, call, Layout.STACKED, context)
        return True


def attention(
    x: Tensor,
    heads: int,
    weight: Tensor,
    bias: Tensor | None,
    out_weight: Tensor,
    out_bias: Tensor | None,
) -> Tensor:
    """Applies attention: (K, N, T, E), (K, 3 * E, E), (K, 3 * E), (K, E, E), (K, E) -> (K, N, T, E)

    In memory, tokens precede examples, as in the result of `nn.MultiheadAttention`: dropout draws
    in that order.
    """
    size, examples, tokens, width = x.shape
    projected = linear(x, weight, bias).view(size * examples, tokens, 3, heads, -1)
    q, k, v = projected.permute(2, 0, 3, 1, 4)  # (K * N, H, T, E / H) each
    found = scaled_dot_product_attention(q, k, v)
    found = torch.unflatten(found, 0, (size, examples)).permute(0, 3, 1, 2, 4)
    rows = found.reshape(size, tokens, examples, width)
    return linear(rows, out_weight, out_bias).transpose(1, 2)
