"""Operators between tensors and numbers: arithmetic, comparison, bits."""

import torch
from torch import nn

from programs.case import floats, ints, plain, program, shares


@program(floats(1), floats(1))
@program(floats(2, 2), floats(2, 2))
class Composed(nn.Module):
    def forward(self, x, y):
        return -torch.sigmoid(torch.tanh(x * (x + y)))


@program(floats(2, 3, dtype=torch.float64))
@program(ints(9, 2, 3))
class AddNumber(nn.Module):
    def forward(self, x):
        return x + 1


@program(floats(2, 3), floats(2, 3))
@program(floats(2, 3, dtype=torch.float64), floats(3, dtype=torch.float64))
@program(floats(3, dtype=torch.float64), floats(2, 3, dtype=torch.float64))
@program(floats(2, 3, dtype=torch.float64), floats(2, 1, dtype=torch.float64))
@program(floats(2, 3, dtype=torch.float64), floats(1, 3, dtype=torch.float64))
class AddBroadcast(nn.Module):
    def forward(self, x, y):
        return x + y


@program(floats(2, 3))
class SubtractFromNumber(nn.Module):
    def forward(self, x):
        return 1 - x, 2.5 - x


@program(floats(2, 3, 4))
@program(ints(9, 2, 3))
class NumberByNumber(nn.Module):
    def forward(self, x):
        x = x + 2
        x = x - 4
        x = x * 6
        x = x / 8
        return x  # noqa: RET504


@program(floats(2, 3))
class TransposedNumberByNumber(nn.Module):
    def forward(self, x):
        x = x.t()
        x = 2 + x
        x = 4 - x
        x = 6 * x
        return 8 / x


@program(floats(3), shares(3))
class AddScaled(nn.Module):
    def forward(self, x, y):
        steps = torch.tensor([-1.0, -0.5, 0.2])
        a = x.add(steps)
        b = x.add(y, alpha=2)
        c = torch.sub(x, y, alpha=3)
        d = torch.rsub(x, y)
        e = x * 1
        e.add_(y, alpha=0.5)
        return a, b, c, d, e


@program(plain(3), plain(3))
class AddInPlace(nn.Module):
    def forward(self, x, y):
        z = x * 2
        z += y
        z -= 1
        z *= y
        z /= 4.0
        x.add_(1)
        return z + x, x.mul_(2)


@program(plain(2, 3, 4), plain(2, 3, 4).abs() + 1)
class FloorDivide(nn.Module):
    def forward(self, x, y):
        return x // 3, x // 2.0, x // y, torch.floor_divide(x, y)


@program(plain(2, 3, 4), torch.arange(1, 25).reshape(2, 3, 4))
class FloorDivideTypes(nn.Module):
    def forward(self, x, y):
        wide, whole = x.to(dtype=torch.float64), x.to(dtype=torch.int64)
        return (
            (x // 3, x // 2.0, wide // 3, wide // 2.0, whole // 3, whole // 2.0),
            (x // (y + 1.0).to(dtype=torch.int64), x // y, whole // y),
            (wide // y.to(dtype=torch.int64), wide // y.to(dtype=torch.float64)),
        )


@program(plain(2, 3, 4))
class FloorDivideSizes(nn.Module):
    def forward(self, x):
        return x.new_zeros(x.size(2) // x.size(1)), x.size(2) % x.size(1), x.size(2) / x.size(1)


@program(ints(9, 2, 3), ints(9, 2, 3) + 1)
@program(floats(2, 3), shares(2, 3))
@program(ints(9, 2, 3), shares(2, 3, dtype=torch.float64))
class TrueDivide(nn.Module):
    def forward(self, x, y):
        return torch.true_divide(x, y), x.div(y), torch.div(x, y, rounding_mode="floor")


@program(ints(9, 2, 3, 4), ints(9, 2, 3, 4) + 1)
@program(ints(9, 2, 3, 4), shares(2, 3, 4, dtype=torch.float64))
class TransposedDivide(nn.Module):
    def forward(self, x, y):
        return torch.true_divide(x.transpose(1, 2), y.transpose(1, 2))


@program(floats(2, 3, 4), shares(2, 1, 4))
class Remainders(nn.Module):
    def forward(self, x, y):
        return torch.remainder(x, y), x % y, torch.fmod(x, y), x % 2, x.fmod(1.5)


@program(shares(2, 3), floats(2, 3))
class Powers(nn.Module):
    def forward(self, x, y):
        return x.pow(y), x**y, x**2, 2**y, torch.pow(x, 0.5), torch.square(y)


@program(ints(3, 1, 2, 3, 1), ints(3, 1, 4))
@program(plain(3, 4), plain(3, 4))
class Comparisons(nn.Module):
    def forward(self, x, y):
        return x == y, x < y, x > y, x <= y, x >= y, x != y


@program(ints(3, 1, 3), ints(3, 4, 1))
class ComparisonMethods(nn.Module):
    def forward(self, x, y):
        return torch.ne(x, y), x.eq(y), x.lt(1), torch.ge(x, 2), x.gt(y), x.le(y)


@program(ints(3, 4), ints(3, 4))
class ComparisonsWithNumbers(nn.Module):
    def forward(self, x, y):
        return x == 1, x < 2, y > 0, y != 2, (x >= 1) & (y <= 1), (x == 0) | ~(y == 0)


@program(plain(3), plain(3) + 1e-9)
class EqualAsWhole(nn.Module):
    def forward(self, x, y):
        a = x.allclose(y, rtol=1e-05, atol=1e-08, equal_nan=False)
        b = torch.allclose(x, x, rtol=1e-3)
        return a, b, torch.equal(x, y), torch.isclose(x, y)


@program(ints(9, 3, dtype=torch.int8), ints(9, 3, dtype=torch.int8))
class BitMethods(nn.Module):
    def forward(self, x, y):
        return x.bitwise_not(), x.bitwise_and(y), x.bitwise_or(y), x.bitwise_xor(y)


@program(ints(9, 3), ints(9, 3))
class BitOperators(nn.Module):
    def forward(self, x, y):
        return ~x, x & y, x | y, x ^ y, x & 3, y | 1


@program(ints(9, 3))
class NumberOrTensor(nn.Module):
    """TorchScript takes the tensor for one number here, and fails when it runs."""

    def forward(self, x):
        return 1 | x, 6 & x


@program(torch.arange(24).reshape(3, 4, 2), torch.arange(24, dtype=torch.uint8))
class Shifts(nn.Module):
    def forward(self, x, y):
        return x >> 1, y >> 2, x << 3, y << 1, torch.bitwise_left_shift(x, 2)


@program(ints(2, 4) > 0, ints(2, 4) > 0)
class Logic(nn.Module):
    def forward(self, x, y):
        both = torch.logical_and(x, y)
        return both, x.logical_or(y), x.logical_xor(y), torch.logical_not(x), x.any(), y.all()


@program(floats(2, 3), floats(3, 4))
class MatrixProduct(nn.Module):
    def forward(self, x, y):
        return torch.mm(x, y), x @ y, x.matmul(y), torch.mm(x, y) + 1


@program(floats(3, 3))
class ProductPlusItself(nn.Module):
    def forward(self, x):
        return torch.mm(x, x) + x


@program(floats(2, 3), floats(3, 4), floats(4))
class AddmmTwice(nn.Module):
    def forward(self, x, y, z):
        inner = torch.addmm(z, x, y)
        return torch.addmm(inner, x, y)


@program(floats(2, 3), floats(2, 3), floats(3, 3))
class AddmmScaled(nn.Module):
    def forward(self, x, y, z):
        w = x * 1
        w.addmm_(y, z)
        return x.addmm(y, z, beta=0.1, alpha=0.2), torch.addmm(x, y, z, beta=0.1, alpha=0.2), w


@program(floats(3, 5), floats(4, 3, 2), floats(4, 2, 5), floats(4, 3, 5))
class BatchedProducts(nn.Module):
    def forward(self, x, y, z, m):
        a = x.addbmm(y, z, beta=2, alpha=3)
        b = torch.addbmm(x, y, z, beta=2, alpha=3)
        c = m.baddbmm(y, z, beta=2, alpha=3)
        d = torch.baddbmm(m, y, z)
        e = (x * 1).addbmm_(y, z, beta=2)
        return a, b, c, d, torch.bmm(y, z), e


@program(floats(1, 3), floats(3, 1), shares(1, 3))
class AddQuotient(nn.Module):
    def forward(self, x, y, z):
        w = x.expand(3, 3).clone()
        w.addcdiv_(y, z, value=0.3)
        return x.addcdiv(y, z, value=2), torch.addcdiv(x, y, z, value=2), w


@program(floats(1, 3), floats(3, 1), floats(1, 3))
class AddProduct(nn.Module):
    def forward(self, x, y, z):
        w = x.expand(3, 3).clone()
        w.addcmul_(y, z)
        return x.addcmul(y, z, value=0.1), torch.addcmul(x, y, z, value=0.1), w


@program(floats(2), floats(2, 3), floats(3))
class MatrixTimesVector(nn.Module):
    def forward(self, x, y, z):
        return x.addmv(y, z, beta=0.1, alpha=0.2), torch.addmv(x, y, z, alpha=0.2), torch.mv(y, z)


@program(floats(3, 2), floats(3), floats(2))
class OuterProducts(nn.Module):
    def forward(self, x, y, z):
        return x.addr(y, z, beta=2, alpha=3), torch.addr(x, y, z, beta=2), torch.outer(y, z)


@program(floats(2, 3, 4), floats(2, 4, 5))
class Einsum(nn.Module):
    def forward(self, x, y):
        return torch.einsum("bij,bjk->bik", x, y), torch.einsum("bij->bji", x)


@program(floats(3), ints(5, 3))
class Promotion(nn.Module):
    def forward(self, x, y):
        return x + y, y * 1.5, y / 2, y + True, x.double() + x, torch.result_type(x, y) == x.dtype
