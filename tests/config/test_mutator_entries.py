"""The short form of mutators: what it stands for, wherever it comes from, and what is none."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from runner.config.check_arguments import check_arguments
from runner.config.mutator_entries import FOLDER, words, written_out
from runner.engines.base import BaseEngine
from runner.errors import ConfigError
from runner.launch import run

DEPTH = "runner.mutators.depth.Depth"
INSERT = "runner.mutators.insert.Insert"
FILES = {
    "__init__": "",
    "_private": "\nclass _Private(Mutator):",
    "selection": "\nclass Selective(Mutator):",
    "spots": "\nclass Spots(Mapping):",
    "depth": "import nothing_there\n\n\nclass Depth(Selective):",
    "insert": "\nclass Insert(Selective):\n",
    "width": "\nclass Width(Selective):\n",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Mutators that are never imported, and what stands beside them."""
    folder = tmp_path_factory.mktemp("mutators")
    for name, text in FILES.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_a_mutator_is_a_file_with_a_class_of_its_name(folder):
    assert [*words(folder)] == ["depth", "insert", "width"]
    assert words(folder)["depth"] == DEPTH


def test_every_mutator_of_ours_has_a_parameter_of_its_name():
    import inspect

    from runner.config.targets import locate

    for word, target in words(FOLDER).items():
        assert {word, "on", "cls"} <= inspect.signature(locate(target)).parameters.keys()


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("{on: layer3, depth: [1, 2]}", {"_target_": DEPTH, "on": "layer3", "depth": [1, 2]}),
        ('{class: Linear, width: [0.5, 1.0], tie: true}',
         {"_target_": "runner.mutators.width.Width", "cls": "Linear", "width": [0.5, 1.0],
          "tie": True}),
        ('{on: "layer*.*", where: output, insert: [null, {_target_: a.B, c: {_target_: a.D}}]}',
         {"_target_": INSERT, "on": "layer*.*", "where": "output", "insert": [
             None, {"_partial_": True, "_target_": "a.B",
                    "c": {"_partial_": True, "_target_": "a.D"}}]}),
        ("{on: '**.x', insert: {_target_: a.B, _partial_: true}}",
         {"_target_": INSERT, "on": "**.x", "insert": {"_target_": "a.B", "_partial_": True}}),
        ("{_target_: my.Mutator, on: a, depth: [{_target_: a.B}]}",
         {"_target_": "my.Mutator", "on": "a", "depth": [{"_target_": "a.B"}]}),
    ],
)  # fmt: skip
def test_the_command_line_and_a_file_say_the_same(text, node, folder):
    [override] = OverridesParser.create().parse_overrides([f"space.mutators=[{text}]"])
    typed = json.loads(json.dumps(override.value(), default=str))
    for entries in (typed, yaml.safe_load(f"[{text}]")):
        assert written_out(entries, folder) == [node]
        assert written_out([node], folder) == [node]


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ("depth", r"space.mutators is 'depth'; it must be a list such as"),
        ([{"depth": 1}, "layer3"], r"space.mutators\[1\] is 'layer3'; it must be an entry such as"),
        ([None], r"space.mutators\[0\] is null"),
        ([{"on": "x", "isnert": [1]}], r"\[0\] names no mutator: {on: 'x', isnert: \[1\]}. Did you "
         r"mean 'insert'\? There are depth, insert, width; a custom mutator needs a _target_."),
        ([{True: "x"}], r"names no mutator: {on: 'x'}. There are"),
        ([{}], r"names no mutator"),
        ([{"on": "x", "depth": 1, "width": 2}], r"several mutators, 'depth' and 'width'; giv"),
    ],
)  # fmt: skip
def test_what_is_no_entry_is_named_with_what_there_is(entries, text, folder):
    with pytest.raises(ConfigError, match=text):
        written_out(entries, folder)


plain = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
nodes = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "_target_", "on", "class"]), inner, max_size=3)
    ),
    max_leaves=8,
)
keys = st.sampled_from(["on", True, "class", "cls", "op", "tie", "where"])
entries = st.lists(
    st.builds(
        lambda word, value, rest: {**rest, word: value},
        st.sampled_from(["depth", "insert", "width", "_target_"]),
        nodes,
        st.dictionaries(keys, nodes, max_size=3),
    ),
    max_size=3,
)


@given(entries)
def test_written_out_entries_stay_as_they_are(folder, given):
    before = copy.deepcopy(given)
    found = written_out(given, folder)
    assert given == before
    assert written_out(found, folder) == found
    assert written_out(json.loads(json.dumps(found)), folder) == found
    assert all("_target_" in node and not {True, "class"} & node.keys() for node in found)


@given(nodes)
def test_a_candidate_is_never_built(folder, value):
    [node] = written_out([{"insert": value}], folder)

    def check(item):
        if isinstance(item, dict):
            assert "_target_" not in item or "_partial_" in item
            item = [*item.values()]
        for inner in item if isinstance(item, list) else ():
            check(inner)

    check(node["insert"])


WORDS = ("bypass", "depth", "insert", "kernel", "remove", "replace", "skip", "width")
NO_VALUE = [5.5, "x y", {"a": 1}, [{"a": 1}], [[["x y"]]], []]  # of no mutator
NO_ENTRIES = [
    {}, {"on": "act", "remove": True}, "text", 5, True, [None], [5], ["text"], [[]], [{}],
    [[{"on": "act", "remove": True}]], [{"on": "act"}], [{"on": "act", "remov": True}],
    [{"remove": True}], [{"onn": "act", "remove": True}], [{"on": "a", "remove": True, "more": 1}],
    *([{"on": on, "remove": True}] for on in (5, None, ["act"], {"a": "b"}, True)),
    *([{"on": "a", "class": cls, "remove": True}] for cls in (5, None, ["ReLU"], {})),
    *([{"on": "a", "op": op, "replace": ["gelu"]}] for op in (5, None, ["relu"], {})),
    *([{"on": "a", "tie": tie, "remove": True}] for tie in ("maybe", 3, None, [True])),
    [{"on": "a", "insert": ["ReLU"], "where": "middle"}],
    [{"on": "a", "remove": True, "replace": ["GELU"]}],
    *([{"_target_": target}] for target in (5, None, [], "", "ReLU", "torch.nn.ReLU")),
    [{"_target_": "runner.mutators.remove.Remov", "on": "a"}],
    [{"_target_": "runner.mutators.remove.Remove", "on": "a"}],
    *([{"on": "a", word: value}] for word in WORDS for value in NO_VALUE),
    [{"on": "a", "replace": [{"_target_": "torch.nn.GELU", "aproximate": "tanh"}]}],
    [{"on": "a", "replace": [{"_target_": "os.system", "command": "true"}]}],
    [{"on": "a", "width": [0]}], [{"on": "a", "width": [-1.0]}], [{"on": "a", "depth": [-1]}],
    [{"on": "a", "kernel": [0]}], [{"on": "a", "kernel": [True]}], [{"on": "a", "depth": [True]}],
]  # fmt: skip


@pytest.mark.parametrize("entries", NO_ENTRIES, ids=str)
def test_entries_of_a_wrong_shape_are_one_line_that_names_the_entry(entries):
    with pytest.raises(ConfigError, match=r"^space\.mutators") as error:
        nodes = written_out(entries)
        check_arguments(nodes, [], "space.mutators")
        BaseEngine([1, 8, 8], space={"_target_": "spaces.mutate.existing"}, mutators=nodes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", ["{}", "{on: act, remove: true}", "5", "text"])
def test_mutators_that_are_no_list_are_told_to_be_one(given):
    overrides = ["engine=base", "space=mutate", f"space.mutators={given}"]
    with pytest.raises(ConfigError, match=r"space\.mutators is .*must be a list"):
        run([*overrides, "task=describe"])
