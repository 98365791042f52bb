"""The ensemble: gradients, fits and the spread of its members."""

import numpy
import pytest

from runner.strategies.ensemble import Ensemble


def data(rows, seed=0):
    rng = numpy.random.default_rng(seed)
    x = rng.integers(0, 2, (rows, 6)).astype(float)
    return x, x[:, 0] - 2 * x[:, 1] * x[:, 2]


def test_gradients_are_those_of_the_mean_squared_error():
    ensemble = Ensemble(0, members=2, inputs=6, width=5)
    x, y = data(12)
    for bias in ensemble._biases:
        bias += 0.1
    weights = [*ensemble._weights, *ensemble._biases]
    for weight, gradient in zip(weights, ensemble._gradients(x, y), strict=True):
        place = tuple(n // 2 for n in weight.shape)
        around = []
        for step in (1e-6, -1e-6):
            weight[place] += step
            around.append(((ensemble.predict(x) - y) ** 2).mean(axis=1).sum())
            weight[place] -= step
        assert gradient[place] == pytest.approx((around[0] - around[1]) / 2e-6, abs=1e-6)


def test_it_fits_a_function_with_an_interaction():
    ensemble = Ensemble(0, members=3, inputs=6, width=16)
    x, y = data(60)
    ensemble.fit(x, y, steps=150, rate=0.02)
    new, expected = data(30, seed=1)
    assert abs(ensemble.predict(new).mean(0) - expected).mean() < 0.2


def test_members_agree_where_they_saw_data_and_less_elsewhere():
    ensemble = Ensemble(0, members=5, inputs=6, width=16)
    x, y = data(60)
    seen, unseen = x.copy(), x.copy()
    seen[:, 5], unseen[:, 5] = 0.0, 3.0
    ensemble.fit(seen, y, steps=150, rate=0.02)
    assert ensemble.predict(unseen).std(0).mean() > 2 * ensemble.predict(seen).std(0).mean()


def test_it_follows_from_its_seed():
    x, y = data(20)
    found = []
    for seed in (0, 0, 1):
        ensemble = Ensemble(seed, members=2, inputs=6, width=4)
        ensemble.fit(x, y, steps=5, rate=0.01)
        found.append(ensemble.predict(x))
    assert (found[0] == found[1]).all() and (found[0] != found[2]).any()
