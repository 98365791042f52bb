"""Weights carried over: which values go where, and that outputs stay as they were."""

import pytest
import torch
from torch import nn

from runner.graph import Graph, Unit, convert, generate, load_source, recording
from runner.graph.channels.tracks import Track
from runner.graph.weight_transfer.apply import start_identities, take_over
from runner.graph.weight_transfer.channel_selection import choose
from runner.graph.weight_transfer.plan import ChannelGroup, ChannelMember, inheritance, mark
from runner.graph.weight_transfer.report import Gift, report, share

IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two convolutions and a head that sees every pixel: what is narrow is set by `width`."""

    def __init__(self, width: int = 6, kernel: int = 3) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, width, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(width)
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.two = nn.ConvTranspose2d(width, 5, 3, padding=1)
        self.head = nn.Linear(5 * 64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.deep(torch.relu(self.norm(self.one(x))))
        return self.head(self.two(x).flatten(1))


def net_tracks(width):
    makes, uses = (Track("width", tuple(range(width)), m) for m in (True, False))
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {
        "one.weight": {0: makes}, "one.bias": {0: makes},
        **{f"norm.{name}": {0: uses} for name in vectors},
        "deep.weight": {0: uses}, "deep.bias": {0: uses}, "two.weight": {0: uses},
    }  # fmt: skip


class Pair(nn.Module):
    """Its widths a and b meet in a cat; those of c are two halves of a chunk, read apart; and the
    head behind a flattening has 4 places for each channel."""

    def __init__(self, a: int = 4, b: int = 3, c: int = 4) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, a, 1), nn.Conv2d(3, b, 1)
        self.c = nn.Conv2d(a + b, 2 * c, 1)
        self.left, self.right = nn.Conv2d(c, 2, 1), nn.Conv2d(c, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.head = nn.Linear(4 * c, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.c(torch.cat([self.a(x), self.b(x)], 1))
        left, right = x.chunk(2, 1)
        y = self.left(left) + self.right(right)
        return self.head(self.pool(left).flatten(1)) + y.mean((2, 3))


def pair_tracks(a, b, c):
    def track(group, channels, makes=False):
        return Track(group, tuple(channels), makes)

    return {
        "a.weight": {0: track("ab", range(a), True)},
        "a.bias": {0: track("ab", range(a), True)},
        "b.weight": {0: track("ab", range(a, a + b), True)},
        "b.bias": {0: track("ab", range(a, a + b), True)},
        "c.weight": {0: track("c", range(2 * c), True), 1: track("ab", range(a + b))},
        "c.bias": {0: track("c", range(2 * c), True)},
        "left.weight": {1: track("c", range(c))},
        "right.weight": {1: track("c", range(c, 2 * c))},
        "head.weight": {1: track("c", (i // 4 for i in range(4 * c)))},
    }


def graph_of(module) -> Graph:
    with recording():
        return mark(convert(module()))


def built(graph: Graph) -> nn.Module:
    return load_source(generate(graph), graph.tensors).build()


def trained(model: nn.Module) -> nn.Module:
    """A model with values as after training, running statistics too."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            low = 0.5 if name.endswith("running_var") else -0.25
            tensor.copy_(torch.rand(tensor.shape, generator=generator) / 2 + low)
    return model.eval()


def child_of(base, old_graph, new_graph, old_tracks=None, new_tracks=None):
    """The model of the new graph with what it inherits, and what that was."""
    plan = inheritance(old_graph, old_tracks or {}, new_graph, new_tracks or {})
    model = built(new_graph).eval()
    taken = take_over(model, plan, base.state_dict())
    identities = start_identities(model, plan)
    return model, Gift("the base", taken), identities


def assert_same_outputs(one, other):
    for training in (False, True):
        with torch.no_grad():
            torch.testing.assert_close(
                one.train(training)(IMAGES), other.train(training)(IMAGES), rtol=0, atol=1e-5
            )


def narrow(width, graph):
    new = graph.copy()
    new.unit("one").set_argument("out_channels", width)
    new.unit("norm").set_argument("num_features", width)
    for name in ("in_channels", "out_channels", "groups"):
        new.unit("deep").set_argument(name, width)
    new.unit("two").set_argument("in_channels", width)
    return new


@pytest.fixture
def net():
    torch.manual_seed(0)
    graph = graph_of(Net)
    return trained(built(graph)), graph


def test_a_model_that_is_unchanged_is_taken_over_whole(net):
    base, graph = net
    model, gift, _ = child_of(base, graph, graph.copy())
    assert share(model, [gift]) == 1
    assert {taken.how for taken in gift.taken.values()} == {"whole"}
    assert_same_outputs(base, model)


def test_a_unit_that_stands_in_its_own_place_again_keeps_its_weights(net):
    base, graph = net
    new = graph.copy()
    new.replace("two", new.unit("two"))
    new.replace("one", Unit.of("torch.nn:Sequential", new.unit("one")))
    model, gift, _ = child_of(base, graph, new)
    assert share(model, [gift]) == 1
    assert_same_outputs(base, model)


@pytest.mark.parametrize("kernel", [5, 7])
def test_a_larger_kernel_changes_nothing_at_first(net, kernel):
    base, graph = net
    new = graph.copy()
    new.unit("one").set_argument("kernel_size", kernel)
    new.unit("one").set_argument("padding", kernel // 2)
    model, gift, _ = child_of(base, graph, new)
    assert_same_outputs(base, model)
    assert gift.taken["one.weight"].how == f"kernel of 3x3 brought to {kernel}x{kernel}"
    assert gift.taken["one.weight"].elements == base.one.weight.numel()


def test_a_smaller_kernel_is_the_centre_of_the_old_one(net):
    base, graph = net
    new = graph.copy()
    new.unit("one").set_argument("kernel_size", 1)
    new.unit("one").set_argument("padding", 0)
    model, _, _ = child_of(base, graph, new)
    assert torch.equal(model.one.weight, base.one.weight[:, :, 1:2, 1:2])


@pytest.mark.parametrize("width", [7, 9, 20])
def test_more_channels_change_nothing_at_first(net, width):
    base, graph = net
    model, gift, _ = child_of(base, graph, narrow(width, graph), net_tracks(6), net_tracks(width))
    assert share(model, [gift]) == 1
    assert gift.taken["one.weight"].how == f"6 widened to {width} in dimension 0"
    assert_same_outputs(base, model)


def test_copies_of_a_channel_learn_different_things(net):
    base, graph = net
    model, _, _ = child_of(base, graph, narrow(7, graph), net_tracks(6), net_tracks(7))
    [twin] = [i for i in range(6) if torch.equal(model.one.weight[i], model.one.weight[6])]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        model(IMAGES).square().sum().backward()
        optimizer.step()
    assert not torch.allclose(model.one.weight[twin], model.one.weight[6], atol=1e-4)


def test_the_most_important_channels_are_kept_in_their_order(net):
    base, graph = net
    with torch.no_grad():
        for channel in (1, 4):
            base.norm.weight[channel] *= 0.01
    model, gift, _ = child_of(base, graph, narrow(4, graph), net_tracks(6), net_tracks(4))
    kept = [0, 2, 3, 5]
    for name in net_tracks(6):
        assert torch.equal(model.state_dict()[name], base.state_dict()[name][kept]), name
    assert torch.equal(model.head.weight, base.head.weight)
    assert gift.taken["norm.running_var"].how == "4 of 6 in dimension 0"


MEMBERS = [
    ("conv.weight", 0, True), ("conv.bias", 0, True), ("norm.weight", 0, False),
    ("norm.bias", 0, False), ("next.weight", 1, False), ("other.weight", 1, False),
]  # fmt: skip
STATE = {
    "conv.weight": torch.tensor([[3.0, 4.0], [6.0, 8.0], [0.0, 1.0]]),
    "conv.bias": torch.tensor([0.0, 0.0, 12.0]),
    "norm.weight": torch.tensor([-4.0, 1.0, 2.0]),
    "norm.bias": torch.tensor([0.0, 99.0, 99.0]),
    "next.weight": torch.tensor([[1.0, 1.0, 1.0]]),
    "other.weight": torch.tensor([[1.0, 20.0, 3.0], [0.0, 0.0, 4.0]]),
}


@pytest.mark.parametrize(
    ("there", "order"),
    [
        ({"conv.weight"}, [1, 0, 2]),  # 5, 10, 1
        ({"conv.weight", "conv.bias"}, [2, 1, 0]),  # 5, 10, 13
        ({"conv.weight", "norm.weight", "norm.bias"}, [0, 2, 1]),  # 4, 1, 2
        ({"conv.weight", "norm.weight", "next.weight", "other.weight"}, [1, 2, 0]),  # 8, 21, 12
    ],
)
def test_a_channel_counts_as_much_as_it_is_large_and_used(there, order):
    members = [
        ChannelMember(name=name, dim=dim, channels=[[0, 3, 1]], makes=makes, mixes=None)
        for name, dim, makes in MEMBERS
        if name in there
    ]
    for count in (1, 2, 3):
        group = ChannelGroup(members=members, classes=[([[0, 3, 1]], [[0, count, 1]])])
        assert [*choose(group, STATE).values()] == sorted(order[:count])


@pytest.fixture
def pair():
    torch.manual_seed(0)
    graph = graph_of(Pair)
    return trained(built(graph)), graph


def sized(graph, a, b, c):
    new = graph.copy()
    new.unit("a").set_argument("out_channels", a)
    new.unit("b").set_argument("out_channels", b)
    new.unit("c").set_argument("in_channels", a + b)
    new.unit("c").set_argument("out_channels", 2 * c)
    for name in ("left", "right"):
        new.unit(name).set_argument("in_channels", c)
    new.unit("head").set_argument("in_features", 4 * c)
    return new


def test_what_meets_in_a_cat_is_chosen_apart(pair):
    base, graph = pair
    with torch.no_grad():
        base.a.weight[[0, 2]] *= 0.001  # all of a is less than all of b
        base.a.weight *= 0.1
        base.a.bias.zero_()
    model, _, _ = child_of(
        base, graph, sized(graph, 2, 3, 4), pair_tracks(4, 3, 4), pair_tracks(2, 3, 4)
    )
    assert torch.equal(model.a.weight, base.a.weight[[1, 3]])
    assert torch.equal(model.b.weight, base.b.weight)
    assert torch.equal(model.c.weight, base.c.weight[:, [1, 3, 4, 5, 6]])


def test_the_halves_of_a_chunk_are_not_mixed_and_a_flattening_follows(pair):
    base, graph = pair
    with torch.no_grad():
        base.c.weight[[0, 3, 5]] *= 0.01
        base.c.weight[4:] *= 10  # the second half is more, but stands elsewhere
        base.c.bias.zero_()
        base.c.weight[6] *= 0.01
    model, _, _ = child_of(
        base, graph, sized(graph, 4, 3, 2), pair_tracks(4, 3, 4), pair_tracks(4, 3, 2)
    )
    assert torch.equal(model.c.weight, base.c.weight[[1, 2, 4, 7]])
    assert torch.equal(model.left.weight, base.left.weight[:, [1, 2]])
    assert torch.equal(model.right.weight, base.right.weight[:, [0, 3]])
    assert torch.equal(model.head.weight, base.head.weight[:, 4:12])


@pytest.mark.parametrize("sizes", [(6, 3, 4), (4, 8, 4), (4, 3, 6), (7, 5, 9)])
def test_widths_that_meet_in_a_cat_or_leave_a_chunk_may_grow(pair, sizes):
    base, graph = pair
    model, gift, _ = child_of(
        base, graph, sized(graph, *sizes), pair_tracks(4, 3, 4), pair_tracks(*sizes)
    )
    assert share(model, [gift]) == 1
    assert_same_outputs(base, model)


def test_without_tracks_only_what_has_one_size_is_taken_over(pair):
    base, graph = pair
    model, gift, _ = child_of(base, graph, sized(graph, 4, 3, 2))
    assert {*gift.taken} == {
        "a.weight", "a.bias", "b.weight", "b.bias", "left.bias", "right.bias", "head.bias",
    }  # fmt: skip
    assert 0 < share(model, [gift]) < 1


def test_channels_that_nothing_stands_for_start_from_their_own_values(net):
    base, graph = net
    tracks = net_tracks(8)
    tracks["one.weight"] = {0: Track("width", (*range(6), -1, -1), True)}
    model, gift, _ = child_of(base, graph, narrow(8, graph), net_tracks(6), tracks)
    assert "one.weight" not in gift.taken  # two places are none of the group, none was before
    assert gift.taken["one.bias"].elements == 6  # the others have another signature
    assert torch.equal(model.one.bias[:6], base.one.bias)


def inserted(graph, path, *units):
    new = graph.copy()
    for unit in units:
        unit.mark(inserted=True)
    new.replace(path, Unit.of("torch.nn:Sequential", new.unit(path), *units))
    return new


@pytest.mark.parametrize(("arguments", "settings"), [
    ((6, 6, 1), {}), ((6, 6, 3), {"padding": 1}), ((6, 6, 3), {"padding": 1, "groups": 3}),
    ((6, 6, 5), {"padding": "same", "groups": 6}),
    ((6, 6, 3), {"padding": 2, "dilation": 2, "bias": False}),
])  # fmt: skip
def test_an_inserted_convolution_changes_nothing_at_first(net, arguments, settings):
    base, graph = net
    conv = Unit.of("torch.nn:Conv2d", *arguments, **settings)
    model, gift, identities = child_of(base, graph, inserted(graph, "one", conv))
    assert identities == {"one.1": "identity at first"}
    assert 0 < share(model, [gift]) < 1
    assert_same_outputs(base, model)


def test_an_inserted_linear_layer_changes_nothing_at_first(net):
    base, graph = net
    block = Unit.of(
        "torch.nn:Sequential", Unit.of("torch.nn:Linear", 4, 4), Unit.of("torch.nn:Dropout", 0.5)
    )
    model, _, identities = child_of(base, graph, inserted(graph, "head", block))
    assert identities == {"head.1": "identity at first, when evaluated"}
    torch.testing.assert_close(model.eval()(IMAGES), base.eval()(IMAGES), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("target", "arguments"), [
    ("ReLU", ()), ("Conv2d", (6, 6, 3)), ("Conv2d", (6, 6, 2, 1, "same")), ("LayerNorm", (8,)),
])  # fmt: skip
def test_what_cannot_be_an_identity_is_said(net, target, arguments):
    base, graph = net
    layer = Unit.of(f"torch.nn:{target}", *arguments)
    model, gift, identities = child_of(base, graph, inserted(graph, "one", layer))
    assert identities == {"one.1": "not identity-like"}
    assert "one.1  inserted: not identity-like\n" in report(model, [gift], identities, [])


class Tied(nn.Module):
    """One tensor under two names, one in double precision, one buffer of whole numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, 4)
        self.exact = nn.Linear(4, 4).double()
        self.head = nn.Linear(4, 16, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("index", torch.arange(16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.embed(self.index[x])
        return self.head(self.exact(y.double()).float())


def test_tied_tensors_stay_tied_and_dtypes_stay_as_they_are():
    graph = graph_of(Tied)
    base = trained(built(graph))
    model, gift, _ = child_of(base, graph, graph.copy())
    assert model.head.weight is model.embed.weight
    assert model.exact.weight.dtype == torch.float64
    assert share(model, [gift]) == 1
    for name, value in model.state_dict().items():
        assert torch.equal(value, base.state_dict()[name]), name


def test_the_report_says_of_each_module_what_it_has_of_whom(net):
    base, graph = net
    new = narrow(4, graph)
    new.replace("head", Unit.of("torch.nn:Linear", 320, 4))
    model, gift, identities = child_of(base, graph, new, net_tracks(6), net_tracks(4))
    assert report(model, [gift], identities, ["A note."]) == REPORT


REPORT = """\
21.2% of 1,629 parameters are inherited.
A note.

one         4 of 6 in dimension 0, from the base
norm        4 of 6 in dimension 0, from the base
deep        4 of 6 in dimension 0, from the base
two.weight  4 of 6 in dimension 0, from the base
two.bias    whole, from the base
head        first values of its own
"""
