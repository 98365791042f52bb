"""Where mutators work: globs as in a shell, and what is said where nothing is found."""

import pytest
from residual import converted, mutated
from torch import Tensor, nn
from torch.nn import functional as F

from runner.errors import ConfigError, Refused
from runner.mutators.depth import Depth
from runner.mutators.remove import Remove
from runner.mutators.selection import _pattern


@pytest.mark.parametrize(
    ("glob", "path", "fits"),
    [
        ("layer[!2-4]", "layer1", True),
        ("layer[!2-4]", "layer3", False),
        ("a[!b]c", "a.c", False),
        ("[!x]", "!", True),
        ("[!]", "!", True),
        ("[^x]", "x", True),
        ("[^x]", "y", False),
        ("[ab]", "b", True),
        ("**.b[!1]", "layer.b2", True),
        ("**.b[!1]", "b1", False),
    ],
)
def test_sets_of_characters_are_those_of_a_shell(glob, path, fits):
    assert bool(_pattern(glob).fullmatch(path)) == fits


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({"on": "fc", "op": "relu"}, "no code of 'fc' calls 'relu'; it is called in the model's "
                                     "forward, 'layer1.0', "),
        ({"cls": "MaxPool2d", "op": "relu"}, "no code of class 'MaxPool2d' calls 'relu'"),
        ({"on": "fc", "cls": "Dropout"},
         "nothing that matches 'fc' is a 'Dropout'; there is Linear"),
        ({"cls": "Relu"}, "the model has no 'Relu'. Did you mean 'ReLU'?"),
        ({"on": "fc", "cls": "torch.nn.Dropout"}, "nothing that matches 'fc' is a"),
        ({"op": "gelu"}, "no code there calls 'gelu'. Did you mean 'relu'"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(graph, where, text):
    with pytest.raises(ConfigError) as error:
        mutated(graph, Remove(**where, remove=True))
    assert text in str(error.value)


@pytest.mark.parametrize("tie", ["no", 1, None])
def test_tie_is_true_or_false(tie):
    with pytest.raises(ConfigError, match=r"remove: tie is .* it must be true or false"):
        Remove(on="fc", remove=True, tie=tie)


def test_a_call_in_the_model_itself_is_named():
    class Cat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            a, b, c = F.relu(self.fc(x)).unbind(1)
            return a + b + c

    with pytest.raises(Refused, match="in the model's forward it takes"):
        mutated(converted(Cat), Remove(op="unbind", remove=True))


class Hooked(nn.Module):
    """Does more than its forward, so that it is kept whole."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.register_forward_hook(lambda module, inputs, output: None)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.act(x))


class Holds(nn.Module):
    """Holds modules that are kept whole."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)
        self.first = Hooked()
        self.second = Hooked()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(self.fc(x)))


MISSES = {
    "class": {"cls": "ReLU"},
    "path": {"on": "first.act"},
    "class at a path": {"on": "first", "cls": "ReLU"},
    "operation": {"op": "gelu"},
    "operation at a path": {"on": "first", "op": "gelu"},
}


@pytest.mark.parametrize("where", MISSES.values(), ids=MISSES)
def test_what_is_missing_may_be_inside_of_what_was_kept_whole(where):
    with pytest.raises(ConfigError) as error:
        mutated(converted(Holds), Remove(**where, remove=True))
    text = str(error.value)
    assert "first, second (Hooked) was kept whole: " in text
    assert "its constructor adds the hook '<lambda>' to it" in text


@pytest.mark.parametrize("where", MISSES.values(), ids=MISSES)
def test_a_model_that_was_kept_whole_has_nothing_and_that_is_explained(where):
    with pytest.raises(ConfigError) as error:
        mutated(converted(Hooked), Remove(**where, remove=True))
    text = str(error.value)
    assert "The model (Hooked) was kept whole: " in text and "adds the hook" in text
    assert "has ." not in text and "are ." not in text


def test_a_change_inside_of_what_was_kept_whole_says_why_it_was():
    with pytest.raises(Refused, match=r"not a container.*first \(Hooked\) was kept whole: .*hook"):
        mutated(converted(Holds), Depth(on="first", depth=[2]))
    with pytest.raises(Refused) as error:
        mutated(converted(Holds), Depth(on="fc", depth=[2]))
    assert "kept whole" not in str(error.value)
