"""Functions of tensors: one by one, over a dimension, and in order."""

import torch
from torch import nn

from programs.case import floats, ints, plain, program, shares


@program(torch.tensor([-1, -2, 3]))
@program(floats(2, 3))
class Absolute(nn.Module):
    def forward(self, x):
        y = x * 2
        y.abs_()
        return x.abs(), x.absolute(), torch.abs(x), abs(x), y


@program(shares(3, 4), floats(3, 4))
class Trigonometry(nn.Module):
    def forward(self, x, y):
        first = x.acos(), torch.acos(x), x.asin(), torch.asin(x), x.atan(), torch.atan(x)
        second = x.atan2(y), torch.atan2(x, y), y.sin(), y.cos(), torch.tan(x), y.sinh(), y.cosh()
        return first, second


@program(shares(4).detach())
class TrigonometryInPlace(nn.Module):
    def forward(self, x):
        y = x * 1
        a = y.acos()
        b = y.acos_()
        c = y.acos()
        z = x * 0.5
        z.asin_().atan_()
        return a, b, c, y, z


@program(shares(4))
class LongNamesOfArcs(nn.Module):
    def forward(self, x):
        return torch.arccos(x), x.arcsin(), torch.arctan(x), x.atanh(), (x + 1).acosh(), x.asinh()


@program(shares(3, 4))
class RootsAndLogs(nn.Module):
    def forward(self, x):
        roots = torch.sqrt(x), torch.rsqrt(x), x.reciprocal()
        logs = x.log(), torch.log2(x), x.log10(), x.log1p(), x.exp(), torch.expm1(x)
        return roots, logs


@program(floats(1, 2, 3, 4))
class ErrorFunctions(nn.Module):
    def forward(self, x):
        return x.erf(), torch.erfc(x), (x.tanh() * 0.9).erfinv(), torch.lgamma(x.abs() + 1)


@program(floats(4))
class Rounding(nn.Module):
    def forward(self, x):
        return x.ceil(), torch.floor(x), torch.round(x * 3), x.trunc(), x.frac(), x.sign(), -x


@program(torch.tensor([1.0, float("nan"), float("inf"), -float("inf")]))
class NotFinite(nn.Module):
    def forward(self, x):
        kinds = torch.isnan(x), x.isinf(), torch.isfinite(x)
        return kinds, torch.nan_to_num(x, 0.5), torch.where(torch.isnan(x), 0.0, x)


@program(floats(3, 4))
class Clamps(nn.Module):
    def forward(self, x):
        both = torch.clamp(x, min=-0.5, max=0.5), x.clamp(-0.5, 0.5), x.clip(-1, 1)
        return both, x.clamp(min=-0.1), x.clamp(max=0.1), torch.clamp_min(x, 0.2)


@program(torch.arange(16.0).view(4, 4))
@program(torch.arange(16.0).view(2, 8))
class ClampsBySize(nn.Module):
    def forward(self, x):
        upper, lower = x.clamp(None, x.size(0)), x.clamp(x.size(0), None)
        return upper, lower, x.clamp(x.size(0), x.size(1))


@program(floats(2, 3), floats(2, 3), shares(2, 3))
class Mixes(nn.Module):
    def forward(self, x, y, w):
        where = torch.where(w > 0.5, x, y)
        return where, torch.lerp(x, y, 0.3), x.lerp(y, w), torch.maximum(x, y), x.fmin(y)


@program(floats(3, 4), floats(3, 4))
class LargerAndSmaller(nn.Module):
    def forward(self, x, y):
        return torch.max(x, y), torch.min(x, y), x.max(y)


@program(floats(1, 2, 3, 4))
class LargestAndSmallest(nn.Module):
    def forward(self, x):
        values, places = x.max(dim=1)
        low = torch.min(x, dim=-1, keepdim=True)
        return torch.max(x), torch.min(x), values, places, low.values, low[1], x.amax((1, 2))


@program(floats(1, 2, 3, 4))
class Means(nn.Module):
    def forward(self, x):
        pair = torch.mean(x, dim=(2, 3), keepdim=True)
        return torch.mean(x), torch.mean(x, dim=2), pair, x.mean([2, 3]), x.median(), x.mean(-1)


@program(floats(1, 2, 3, 4))
class Sums(nn.Module):
    def forward(self, x):
        some = torch.sum(x, dim=(1, 2)), torch.sum(x, dim=2, keepdim=True), x.sum(-1)
        return torch.sum(x), some, x.sum(0, dtype=torch.float64), x.nansum(), x.logsumexp(1)


@program(floats(1, 2, 3, 4))
class Products(nn.Module):
    def forward(self, x):
        return torch.prod(x), torch.prod(x, dim=2), torch.prod(x, dim=2, keepdim=True)


@program(floats(2, 3, 4))
class Spread(nn.Module):
    def forward(self, x):
        var, mean = torch.var_mean(x, dim=1)
        return torch.std(x, dim=(0, 1), unbiased=True, keepdim=True), x.var(1), x.std(), var, mean


@program(floats(2, 3, 4))
class Cumulative(nn.Module):
    def forward(self, x):
        values, places = torch.cummax(x, dim=2)
        return torch.cumsum(x, dim=1), x.cumprod(0), values, places, torch.diff(x)


@program(floats(2, 3, 4))
class Norms(nn.Module):
    def forward(self, x):
        old = x.norm(p=1, dim=2), x.norm(p=2, dim=2), x.norm()
        return old, torch.linalg.norm(x, dim=-1), torch.linalg.vector_norm(x, 3.0)


@program(floats(2, 3, 4))
class FrobeniusNorm(nn.Module):
    def forward(self, x):
        return torch.norm(x, p="fro", dim=(0, 1), keepdim=True), torch.norm(x, p=2, dim=1)


@program(floats(2, 3, 4, 4))
class Determinants(nn.Module):
    def forward(self, x):
        return torch.det(x), torch.linalg.det(x), x.diagonal(dim1=-2, dim2=-1).sum(-1)


@program(floats(4, 4))
class LinearAlgebra(nn.Module):
    def forward(self, x):
        gram = x @ x.t() + torch.eye(4)
        return torch.inverse(gram), torch.linalg.cholesky(gram), torch.trace(x), x.triu(), x.tril(1)


@program(plain(4, 4))
class PlacesOfExtremes(nn.Module):
    def forward(self, x):
        high = x.argmax(), torch.argmax(x), x.argmax(dim=1), torch.argmax(x, dim=1)
        low = x.argmin(), torch.argmin(x), x.argmin(dim=1), x.argmin(dim=1, keepdim=True)
        return high, low, x.argmax(dim=1, keepdim=True)


@program(plain(4, 4))
class Order(nn.Module):
    def forward(self, x):
        plain = x.argsort(), x.argsort(dim=1)
        values, places = x.sort(dim=0, descending=True)
        falling = x.argsort(dim=1, descending=True), torch.argsort(x, dim=1, descending=True)
        return plain, falling, values, places, torch.sort(x).values


@program(torch.arange(1.0, 6.0, requires_grad=True), 3)
class TopK(nn.Module):
    def forward(self, x, k: int):
        values, places = x.topk(2)
        return torch.topk(x, k), torch.topk(x, k, largest=False, sorted=False), values, places


@program(torch.arange(1.0, 6.0), torch.tensor(3))
class TopKOfTensor(nn.Module):
    def forward(self, x, k):
        return torch.topk(x, int(k)).values, torch.topk(x, k)[1]


@program(ints(8, 5), shares(5).detach())
class Counts(nn.Module):
    def forward(self, x, y):
        plain = x.bincount(), torch.bincount(x)
        return plain, x.bincount(weights=y), x.bincount(weights=y, minlength=2), y.histc(4)


@program(ints(3, 2, 3, 4).float())
class Unique(nn.Module):
    def forward(self, x):
        rows, counts = torch.unique(x, dim=0, sorted=True, return_inverse=False, return_counts=True)
        return rows, counts, torch.unique(x), torch.unique_consecutive(x)


@program(torch.tensor([[[2.0, 2.0], [1.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]]))
class NonZero(nn.Module):
    def forward(self, x):
        return torch.nonzero(x), x.count_nonzero(), torch.where(x > 1)[0], x.nonzero().size(0)


@program(torch.tensor([-1 + 1j, -2 + 2j, 3 - 3j]))
class Complex(nn.Module):
    def forward(self, x):
        parts = x.real, x.imag, torch.view_as_real(x)
        return x.angle(), torch.angle(x), x.abs(), parts, x.conj() * (1 + 2j), x.is_complex()


@program(floats(8))
class Spectrum(nn.Module):
    def forward(self, x):
        y = torch.fft.rfft(x)
        return torch.fft.irfft(y, n=8), y.abs()


@program(floats(3), floats(3))
class Distances(nn.Module):
    def forward(self, x, y):
        pairs = torch.cdist(x[:, None], y[:, None])
        return torch.dist(x, y), torch.dot(x, y), torch.linalg.cross(x, y), pairs


@program(torch.tensor([0.3, 2.5, 0.9]), torch.tensor([0.5, 1.0, 2.0]))
class Buckets(nn.Module):
    def forward(self, x, edges):
        return torch.bucketize(x, edges), torch.searchsorted(edges, x, right=True)
