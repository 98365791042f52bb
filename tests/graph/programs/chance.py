"""Programs that draw random numbers: with the same seed, the same ones."""

import torch
import torch.nn.functional as F
from torch import nn

from programs.case import floats, plain, program, shares


@program(floats(1, 2, 3, 4))
class Randn(nn.Module):
    def forward(self, x):
        return torch.randn(1, 2, 3, 4) + x


@program(floats(1, 2, 3, 4))
class Rand(nn.Module):
    def forward(self, x):
        return torch.rand(1, 2, 3, 4) + x, torch.rand(x.shape) * x


@program(plain(3, 3))
class RandomLikes(nn.Module):
    def forward(self, x):
        noise = torch.randn_like(x)
        return torch.rand_like(x), noise * 2, torch.randint_like(x, 5)


@program(torch.ones(3, 3))
@program(shares(3, 3).detach())
class Bernoulli(nn.Module):
    def forward(self, x):
        return x.bernoulli(), torch.bernoulli(x), torch.zeros(4).bernoulli_(0.5)


@program(plain(2))
class RandomWhole(nn.Module):
    def forward(self, x):
        low = torch.randint(3, 9, (2, 3))
        return torch.randint(5, (4,)), low, torch.randperm(5), torch.randperm(x.size(0) * 2)


@program(shares(2, 4).detach())
class Multinomial(nn.Module):
    def forward(self, x):
        return torch.multinomial(x, 2), torch.multinomial(x, 6, replacement=True)


@program(plain(4))
class FilledAtRandom(nn.Module):
    def forward(self, x):
        y = torch.zeros(3).normal_(1.0, 2.0)
        z = torch.empty(4).uniform_(-1.0, 1.0)
        w = torch.zeros_like(x).exponential_()
        return y, z, w, torch.zeros(3).cauchy_(), torch.empty(2).random_(0, 9)


@program(plain(3), shares(3).detach())
class Normal(nn.Module):
    def forward(self, mean, std):
        return torch.normal(mean, std), torch.normal(0.0, 1.0, [2, 2]), torch.poisson(std)


@program(floats(3, 4))
class DropoutOff(nn.Module):
    def forward(self, x):
        return torch.max(F.dropout(x, training=False))


@program(floats(3, 4))
class DropoutOn(nn.Module):
    def forward(self, x):
        return torch.max(F.dropout(x)), F.dropout(x, 0.1, True)


@program(floats(3, 4))
class DropoutInTraining(nn.Module):
    def forward(self, x):
        return F.dropout(x, training=self.training), F.dropout(x, p=0.2, training=self.training)


@program(floats(2, 3, 4, 4))
class OtherDropouts(nn.Module):
    def forward(self, x):
        a = F.dropout2d(x, 0.5, self.training)
        b = F.alpha_dropout(x, training=self.training)
        return a, b, F.feature_alpha_dropout(x, 0.3, self.training), torch.dropout(x, 0.4, True)


@program(floats(2, 3))
class Gumbel(nn.Module):
    def forward(self, x):
        return F.gumbel_softmax(x, tau=0.7), F.gumbel_softmax(x, hard=True, dim=0)


@program(floats(2, 3))
class RandomizedRelu(nn.Module):
    def forward(self, x):
        return F.rrelu(x, 0.1, 0.3, self.training)


@program(floats(4, 3))
class StochasticDepth(nn.Module):
    def forward(self, x):
        keep = 0.8
        if self.training:
            mask = x.new_empty((x.shape[0], 1)).bernoulli_(keep)
            mask.div_(keep)
            x = x * mask
        return x


@program(plain(4, 3))
class NoiseOnlyInTraining(nn.Module):
    def forward(self, x):
        if self.training and x.size(0) > 2:
            noise = torch.randn(x.size(), dtype=x.dtype, device=x.device)
            return x + 0.1 * noise
        return x


@program(plain(6))
class DrawnInLoop(nn.Module):
    def forward(self, x):
        kept: list[int] = []
        for i in range(x.size(0)):
            if float(torch.rand(1)) < 0.5:
                kept.append(i)  # noqa: PERF401
        return kept, x[torch.randperm(6)]
