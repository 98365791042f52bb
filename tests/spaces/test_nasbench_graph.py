"""The architectures of NAS-Bench-Graph: equal ones are written the same, as in its own code."""

from itertools import product
from random import Random

import pytest

from runner.engines.py import PyEngine
from runner.errors import Refused
from runner.space.sample import DrawError
from spaces.nasbench_graph import OPERATIONS, NASBenchGraph

NODE = {"_target_": "spaces.nasbench_graph.NASBenchGraph"}


def sample(links, operations):
    found = {f"op{node}": operations[node] for node in range(4)}
    return found | {f"lk{node}": links[node] for node in (1, 2, 3)}


def written(links, operations):
    engine = PyEngine(space=NODE)
    return engine.build(
        {"space": NODE, "trust": [], "sample": sample(links, operations)}
    ).architecture


def test_an_architecture_is_written_as_its_equals_are():
    assert written([0, 0, 1, 2], ["gat", "gcn", "gin", "fc"]) == "0012 gat,gcn,gin,fc"
    assert written([0, 0, 2, 1], ["gcn", "gat", "gin", "fc"]) == "0012 gat,gcn,gin,fc"
    assert written([0, 0, 0, 0], ["fc", "gin", "gat", "gcn"]) == "0000 gat,gcn,gin,fc"
    # A skip connection that another node reads is moved to the input.
    assert written([0, 1, 2, 3], ["gat", "skip", "gcn", "fc"]) == "0123 skip,gat,gcn,fc"


def test_equal_architectures_share_a_key_and_other_choices_keep_theirs():
    engine = PyEngine(space=NODE)
    one = sample([0, 0, 1, 2], ["gat", "gcn", "gin", "fc"])
    other = sample([0, 0, 2, 1], ["gcn", "gat", "gin", "fc"])
    assert engine.key(one) == engine.key(other)
    assert engine.key(one) != engine.key(sample([0, 0, 1, 1], ["gat", "gcn", "gin", "fc"]))
    searched = {"evaluator.protocol": "paper"}
    assert engine.key(one | searched) == engine.key(other | searched) != engine.key(one)


def test_what_only_skips_is_refused():
    engine = PyEngine(space=NODE)
    skips = sample([0, 0, 0, 0], ["skip"] * 4)
    with pytest.raises(DrawError, match="four skip connections"):
        engine.space.draw(lambda choice: skips[choice.label])
    with pytest.raises(Refused, match="four skip connections"):
        engine.key(skips)


@pytest.mark.exhaustive
def test_there_are_as_many_as_the_benchmark_has():
    seen = set()
    for links in product((0,), (0, 1), (0, 1, 2), (0, 1, 2, 3)):
        if [*links] != sorted(links):
            continue  # it is written otherwise
        for operations in product(OPERATIONS, repeat=4):
            if set(operations) == {"skip"}:
                continue
            same = NASBenchGraph.canonical_sample(sample(links, operations))
            seen.add(tuple(sorted(same.items())))
    assert len(seen) == 26_206


def test_keys_are_those_of_the_package():
    package = pytest.importorskip("nas_bench_graph", reason="needs the extra `benchmarks`")
    rng = Random(0)
    for _ in range(3000):
        links = [0, *(rng.randint(0, node) for node in (1, 2, 3))]
        operations = [rng.choice(OPERATIONS) for _ in range(4)]
        if {*operations} == {"skip"}:
            continue
        same = NASBenchGraph.canonical_sample(sample(links, operations))
        ours = package.Arch([0, *(same[f"lk{i}"] for i in (1, 2, 3))],
                            [same[f"op{i}"] for i in range(4)])  # fmt: skip
        assert ours.hash_arch() == package.Arch(links, [*operations]).valid_hash()
