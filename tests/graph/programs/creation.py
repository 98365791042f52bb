"""New tensors: constants, ranges, and those like another; dtypes and devices."""

import torch
from torch import nn

from programs.case import floats, ints, plain, program, shares


@program(plain(2, dtype=torch.float64))
class NewFull(nn.Module):
    def forward(self, x):
        device = torch.device("cpu")
        return x.new_full((3, 4), 3.141592, dtype=torch.float32, device=device)


@program(plain(2, dtype=torch.float64))
class NewFullOfSameType(nn.Module):
    def forward(self, x):
        return x.new_full([2], 7), x.new_full((x.size(0), 1), 0.5)


@program(torch.ones(()))
class NewEmpty(nn.Module):
    def forward(self, x):
        out = x.new_empty((2, 3), dtype=torch.int8, device=torch.device("cpu"))
        out.fill_(3)
        return out, x.new_empty((2, 0))


@program(torch.tensor((), dtype=torch.int32))
class NewZeros(nn.Module):
    def forward(self, x):
        return x.new_zeros((2, 3)), x.new_zeros(x.shape), x.new_zeros(2)


@program(plain(3, 4))
class NewZerosOfData(nn.Module):
    def forward(self, x):
        return x.new_zeros(x.data.size()), x.detach() * 2


@program(torch.ones(2, dtype=torch.float64))
class NewOnes(nn.Module):
    def forward(self, x):
        return x.new_ones((2, 3)), x.new_ones(x.shape, dtype=torch.int64)


@program(plain(3, 4))
class Full(nn.Module):
    def forward(self, x):
        device = torch.device("cpu")
        return torch.full(x.shape, 2.0, dtype=torch.float32, layout=torch.strided, device=device)


@program(torch.tensor(12))
class FullOfTensor(nn.Module):
    def forward(self, x):
        return torch.full((3, 4), x, dtype=torch.long)


@program(plain(3, 4))
class Likes(nn.Module):
    def forward(self, x):
        full = torch.full_like(x, 2, memory_format=torch.preserve_format)
        empty = torch.empty_like(x)
        empty.copy_(x)
        return full, empty, torch.zeros_like(x), torch.ones_like(x, dtype=torch.int64)


@program(plain(5, 8))
class EmptyLike(nn.Module):
    def forward(self, x):
        return torch.empty_like(x).fill_(0.5), torch.empty(2, 3).zero_(), torch.empty((2, 0))


@program(floats(2, 1))
class AddOnes(nn.Module):
    def forward(self, x):
        return x + torch.ones(2, 1024)


@program(plain(3, 4))
class ZerosAndOnes(nn.Module):
    def forward(self, x):
        return torch.zeros(x.size(0)), torch.ones((x.size(1), x.size(0)), dtype=torch.int64)


@program(plain(3, 4))
class ZerosByShape(nn.Module):
    def forward(self, x):
        n, m = x.shape
        return torch.zeros(n, m, dtype=x.dtype), torch.zeros([m]), torch.ones(()), torch.eye(n, m)


@program(plain(2, 3, 4))
class ScalarTensor(nn.Module):
    def forward(self, x):
        return torch.scalar_tensor(x.size(0)), torch.scalar_tensor(x.size(1), dtype=torch.int64)


@program(plain(3, 4))
class TensorOfSize(nn.Module):
    def forward(self, x):
        size = torch.tensor(x.shape[1])
        return (
            size,
            torch.tensor([x.shape[0], x.shape[1]]),
            torch.tensor(x.shape[1], dtype=torch.long),
        )


@program(plain(1))
class TensorOfNumber(nn.Module):
    def forward(self, x):
        return torch.tensor([float(x)]), torch.tensor(float(x) * 2)


@program(torch.tensor([3.7]))
class TensorOfMixture(nn.Module):
    def forward(self, x):
        return torch.tensor([x.shape[0], int(x)]), torch.as_tensor(2.5)


@program(plain(1))
class TensorOfLists(nn.Module):
    def forward(self, x):
        nested = torch.tensor([[1, 2], [3, 4]])
        return (
            nested,
            torch.tensor([[0.5], [1.5]], dtype=torch.float64),
            torch.tensor([True, False]),
        )


@program(plain(5, 3, 2))
class Arange(nn.Module):
    def forward(self, x):
        sized = torch.arange(x.shape[0])
        return sized, torch.arange(12), torch.arange(start=x.shape[0], end=x.shape[0] + 5)


@program(plain(5, 3, 2))
class ArangeWithStep(nn.Module):
    def forward(self, x):
        return torch.arange(x.shape[0], x.shape[0] + 5, 0.5), torch.arange(0, 10, 3)


@program(plain(2, 3, 4), torch.tensor(8.5))
class ArangeToTensor(nn.Module):
    def forward(self, start, end):
        return torch.arange(start.size(0), end, 1.5, dtype=torch.int64)


@program(torch.tensor(6.2))
class ArangeWithoutType(nn.Module):
    def forward(self, end):
        return torch.arange(end), torch.arange(0, end)


@program(torch.tensor(8))
class ArangeOut(nn.Module):
    def forward(self, end):
        out = torch.empty(8, dtype=torch.int64)
        return torch.arange(end, out=out), out + 1


@program(torch.tensor(8.5))
class ArangeOutFloat(nn.Module):
    def forward(self, end):
        return torch.arange(end, out=torch.empty(9))


@program(plain(2, 3), torch.tensor(8))
class ArangeStartOut(nn.Module):
    def forward(self, start, end):
        out = torch.empty(6, dtype=torch.int64)
        return torch.arange(start.size(0), end, out=out)


@program(plain(2, 3), torch.tensor(8.5))
class ArangeStartOutFloat(nn.Module):
    def forward(self, start, end):
        return torch.arange(start.size(0), end, out=torch.empty(7))


@program(plain(3))
class Spaced(nn.Module):
    def forward(self, x):
        even = torch.linspace(0, 1, x.size(0))
        return even, torch.logspace(0, 2, 3), torch.linspace(-1, 1, steps=5, dtype=x.dtype)


@program(ints(9, 3), shares(3))
class TypeAs(nn.Module):
    def forward(self, x, y):
        return y.type_as(y), x.type_as(y), torch.zeros(2).to(x), y.to(x.dtype)


@program(plain(2, 3))
class Casts(nn.Module):
    def forward(self, x):
        named = x.double(), x.half(), x.int(), x.long(), x.short(), x.float()
        return named, x.to(torch.float64), x.to(dtype=torch.int32), x.to(torch.bool), x.type_as(x)


@program(plain(2, 3))
class ToDevice(nn.Module):
    def forward(self, x):
        y = x.to("cpu").to(x.device).to(torch.device("cpu"), dtype=torch.float64)
        return y.cpu(), torch.ones(2, device=x.device), x.to(y), y.to(x.device, torch.float32, True)


@program(torch.tensor((), dtype=torch.int32))
@program(plain(2))
class Facts(nn.Module):
    def forward(self, x):
        flags = torch.tensor([x.is_cuda], dtype=torch.bool, device=torch.device("cpu"))
        return flags, x.is_quantized, x.is_meta, x.is_sparse, x.device.type, x.requires_grad


@program(plain(2, dtype=torch.float64))
class DtypeAsValue(nn.Module):
    def forward(self, x):
        dtype = x.dtype
        if dtype == torch.float64:
            dtype = torch.float32
        y = x.to(dtype)
        return y, torch.zeros(2, dtype=dtype), y.dtype == torch.float32, x.dtype != y.dtype


@program(plain(2))
@program(ints(9, 2))
class DtypeAmongOthers(nn.Module):
    def forward(self, x):
        floating = (torch.float, torch.double, torch.half)
        if x.dtype not in floating:
            x = x + 1
        whole = [torch.int32, torch.int64]
        return x * 2, x.dtype in whole, x.to(whole[0]), torch.zeros(1, dtype=floating[1])


class KeepsTypes(nn.Module):
    """A dtype, a device and a memory format as attributes."""

    def __init__(self, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype
        self.device = torch.device("cpu")
        self.weight = nn.Parameter(torch.ones(3, dtype=dtype))

    def forward(self, x):
        y = x.to(self.dtype) * self.weight
        return y, torch.zeros(3, dtype=self.dtype, device=self.device)


program(plain(2, 3), init=(torch.float64,))(KeepsTypes)
program(plain(2, 3), init=(torch.float32,))(KeepsTypes)


@program(floats(3))
class Copies(nn.Module):
    def forward(self, x):
        y = x.clone()
        z = y.detach().clone()
        z.zero_()
        y.fill_(2.0)
        return y, z, x.new_zeros(3).copy_(x)


@program(plain(2, 3), plain(2, 3))
class WindowsAndTriangles(nn.Module):
    def forward(self, x, y):
        mask = torch.ones(3, 3, dtype=torch.bool).tril()
        return mask, torch.triu_indices(3, 3, 1), torch.hann_window(4), torch.complex(x, y)


@program(plain(2, 3))
class IntoOthers(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            y, z = torch.empty_like(x), torch.zeros_like(x)
            torch.exp(x, out=y)
            torch.add(x, y, out=z)
            torch.neg(z, out=y)
            sums = torch.sum(z, 1, out=torch.empty(2))
        return y + z, sums
