"""Reinforcement learning of a controller (Zoph and Le 2016, https://arxiv.org/abs/1611.01578)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import final

import torch
from torch import Tensor

from runner.errors import require
from runner.space.choice import Choice, JsonValue
from runner.space.sample import Sample, Walk, generator, lookup
from runner.space.space import Space
from runner.strategies.decisions import decode, encode, sizes
from runner.strategies.strategy import Refusals, Strategy
from runner.strategies.unseen import Unseen
from runner.trial import Trial

_WARMER = 0.5  # by which the temperature rises with each repeated draw
_INITIAL = 0.1  # initial weights are uniform from -0.1 to 0.1
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8  # of Adam


@final
class Reinforce(Strategy):
    """REINFORCE (Williams 1992, https://doi.org/10.1007/BF00992696) with an LSTM as the policy.

    The controller decides the choices in the order they are asked; each is a softmax over its
    values, or over `bins` of a range. Every trial with a score is one step of policy gradient,
    along its advantage over a moving average of the scores, in units of their standard deviation.
    Trials that break constraints get the worst score so far. A sample that was proposed before is
    drawn again, up to `retries` times at rising temperatures, and at last at random; none is
    proposed twice. After several refused trials in a row, samples are random until one is accepted.
    """

    exhausts = True
    varies = True

    def __init__(
        self,
        space: Space,
        seed: int,
        *,
        hidden: int,
        learning_rate: float,
        decay: float,
        entropy: float,
        bins: int,
        retries: int,
    ) -> None:
        super().__init__(space, seed)
        require(hidden >= 1, "strategy.hidden", hidden, "at least 1")
        require(learning_rate > 0, "strategy.learning_rate", learning_rate, "above 0")
        require(0 <= decay < 1, "strategy.decay", decay, "at least 0, and below 1")
        require(entropy >= 0, "strategy.entropy", entropy, "0 or more")
        require(bins >= 2, "strategy.bins", bins, "at least 2")
        require(retries >= 0, "strategy.retries", retries, "0 or more")
        self.bins = bins
        self.retries = retries
        self.entropy = entropy
        self._controller = Controller(seed, hidden, learning_rate)
        self._baseline = Baseline(decay)
        self._unseen = Unseen(space)
        self._refusals = Refusals()

    def propose(self, number: int) -> Sample:
        rng = self.rng(number)
        if self._refusals.lost:
            return self._unseen.draw(rng)
        for i in range(1 + self.retries):
            walk = self._draw(rng, temperature=1 + i * _WARMER)
            if walk.sample in self._unseen:
                return walk.whole()
        return self._unseen.draw(rng)

    def observe(self, trial: Trial) -> None:
        self._refusals.observe(trial)
        if trial.running:
            self._unseen.see(trial.sample)
        elif trial.scored:
            self._learn(trial.sample, self._baseline.advantage(trial))

    def _draw(self, rng: Random, temperature: float) -> Walk:
        episode = self._controller.episode()

        def choose(choice: Choice) -> JsonValue:
            decided = []
            for name, size in self._decisions(choice):
                odds = (episode.logits(name, size) / temperature).softmax(0).tolist()
                [index] = rng.choices(range(size), odds)
                episode.take(name, size, index)
                decided.append(index)
            return decode(choice, decided, self.bins, rng)

        with torch.no_grad():
            return self.space.walk(choose)

    def _learn(self, sample: Sample, advantage: float) -> None:
        episode = self._controller.episode()
        gain = torch.zeros(())
        walk = self.space.walk(lookup(sample))
        for label, choice in walk.choices.items():
            if label not in walk.sample:
                continue
            decided = encode(choice, walk.sample[label], self.bins)
            for (name, size), index in zip(self._decisions(choice), decided, strict=True):
                log_odds = episode.logits(name, size).log_softmax(0)
                entropy = -(log_odds.exp() * log_odds).sum()
                gain = gain + advantage * log_odds[index] + self.entropy * entropy
                episode.take(name, size, index)
        self._controller.ascend(gain)

    def _decisions(self, choice: Choice) -> Iterator[tuple[str, int]]:
        """Yields a name and the number of alternatives of each decision of a choice."""
        for i, size in enumerate(sizes(choice, self.bins)):
            yield f"{choice.label}: {choice} [{i}]", size


@final
class Baseline:
    """A moving average of scores, against which trials are judged."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._mean = self._variance = 0.0
        self._count = 0
        self._worst = math.inf

    def advantage(self, trial: Trial) -> float:
        """Returns how much better than the average a trial is, in standard deviations; then adds
        it."""
        score = trial.scores[0]
        if not trial.feasible:
            score = min(self._worst, score)
        self._worst = min(self._worst, score)
        keep = min(self.decay, self._count / (self._count + 1))  # the first ones count equally
        self._count += 1
        ahead = score - self._mean
        self._mean += (1 - keep) * ahead
        self._variance = keep * (self._variance + (1 - keep) * ahead * ahead)
        if self._count == 1 or self._variance == 0:
            return 0.0
        return ahead / math.sqrt(self._variance)


@final
class Controller:
    """An LSTM with a head and an embedding for each decision, which come up when first needed.

    Initial weights follow from the seed and the name of the decision, so that they do not depend
    on the order in which decisions come up.
    """

    def __init__(self, seed: int, hidden: int, learning_rate: float) -> None:
        self.seed = seed
        self.hidden = hidden
        self.learning_rate = learning_rate
        self._weights: dict[str, Tensor] = {}
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}
        self._steps: dict[str, int] = {}

    def weight(self, name: str, *shape: int) -> Tensor:
        """Returns the weight of a name, which is made when it is first asked for."""
        if name not in self._weights:
            source = torch.Generator().manual_seed(generator(self.seed, name).getrandbits(62))
            uniform = torch.rand(shape, generator=source, dtype=torch.float32)
            self._weights[name] = ((2 * uniform - 1) * _INITIAL).requires_grad_()
        return self._weights[name]

    def episode(self) -> "Episode":
        """Returns the state of the LSTM before the first decision."""
        h = self.hidden
        shapes = ((4 * h, h), (4 * h, h), (4 * h,), (4 * h,))
        cell = [self.weight(f"lstm {i}", *shape) for i, shape in enumerate(shapes)]
        zero = torch.zeros(1, h)
        return Episode(self, cell, self.weight("start", 1, h), (zero, zero))

    def ascend(self, gain: Tensor) -> None:
        """Takes a step of Adam (Kingma and Ba 2014, https://arxiv.org/abs/1412.6980) that raises
        the gain. `torch.optim` would import torch's compiler."""
        if not gain.requires_grad:  # no decision
            return
        gain.backward()  # type: ignore[no-untyped-call]
        for name, weight in self._weights.items():
            if weight.grad is None:
                continue
            gradient, weight.grad = weight.grad, None
            zeros = torch.zeros_like(gradient)
            first, second = self._moments.setdefault(name, (zeros, zeros.clone()))
            step = self._steps[name] = self._steps.get(name, 0) + 1
            first.lerp_(gradient, 1 - _BETA1)
            second.lerp_(gradient.square(), 1 - _BETA2)
            scale = (second / (1 - _BETA2**step)).sqrt_().add_(_EPSILON)
            with torch.no_grad():
                weight.addcdiv_(first, scale, value=self.learning_rate / (1 - _BETA1**step))


@final
@dataclass
class Episode:
    """The decisions of one sample."""

    controller: Controller
    cell: list[Tensor]
    input: Tensor  # (1, hidden): the embedding of the last decision
    state: tuple[Tensor, Tensor]  # (1, hidden) each

    def logits(self, name: str, size: int) -> Tensor:
        """Returns the logits of the next decision, (size,)."""
        self.state = torch.lstm_cell(self.input, self.state, *self.cell)
        head = self.controller.weight(f"head {name}", self.controller.hidden, size)
        bias = self.controller.weight(f"bias {name}", 1, size)
        return torch.addmm(bias, self.state[0], head)[0]

    def take(self, name: str, size: int, index: int) -> None:
        """Goes on from a decision."""
        table = self.controller.weight(f"embedding {name}", size, self.controller.hidden)
        self.input = table[index : index + 1]
