"""Training on several devices: the numbers of one device, to 1e-6 in double precision."""

import pytest
import torch
from several_devices import AUGMENT, Devices, job_of, run_here, setup_for

from runner.trial import WEIGHTS, trial_folder
from runner.weights import load_tensors

NEAR = {"rel": 0, "abs": 1e-6}
CASES = {
    "plain": {},
    "batch norm": {"net": {"kind": "norm"}},
    "batch norm as a function": {"net": {"kind": "functional"}},
    "batch norm as an operator": {"net": {"kind": "operator"}},
    "batch norm with a cumulative mean": {"net": {"kind": "cumulative"}},
    "batch norm without running statistics": {"net": {"kind": "without statistics"}},
    "instance norm with running statistics": {"net": {"kind": "instance"}},
    "a branch that every other step leaves out": {"net": {"kind": "unused"}},
    "a layer used twice": {"net": {"kind": "twice"}},
    "a frozen layer": {"net": {"kind": "frozen"}},
    "a layer computed again in the backward pass": {"net": {"kind": "recomputed_plain"}},
    "a last batch of three": {"batch_size": 8},
    "one batch": {"batch_size": 64},
    "augmented": {"augment": AUGMENT, "net": {"kind": "norm"}},
    "clipped": {"clip_norm": 0.05},
    "smoothed": {"label_smoothing": 0.2},
    "fp16": {"precision": "fp16"},
    "all at once": {"net": {"kind": "norm"}, "augment": AUGMENT, "clip_norm": 0.05, "epochs": 3,
                    "label_smoothing": 0.1, "batch_size": 11, "checkpoint": {"every": 1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    devices = Devices(setup_for(tmp_path_factory.mktemp("two")), 2)
    yield devices
    devices.service.close()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """With a last batch of two examples, fewer than devices."""
    devices = Devices(setup_for(tmp_path_factory.mktemp("three"), "regression", train=42), 3)
    yield devices
    devices.service.close()


def weights(folder, number=0):
    return load_tensors(trial_folder(folder, number) / WEIGHTS)[0]


def assert_equal_training(devices, job, folder, tolerance):
    ours, expected = devices.run(job), run_here(setup_like(devices.setup, folder), job)
    assert [report.kind for report in ours] == [report.kind for report in expected]
    assert ours[-1].kind == "finished"
    for one, other in zip(ours, expected, strict=True):
        assert one.metrics == pytest.approx(other.metrics, **tolerance)
    found, wanted = weights(devices.setup.folder), weights(folder)
    assert found.keys() == wanted.keys() and not any("module." in name for name in found)
    for name, values in wanted.items():
        assert torch.allclose(found[name], values, rtol=0, atol=tolerance["abs"]), name


def setup_like(setup, folder):
    return type(setup)(**{**vars(setup), "folder": folder})


@pytest.mark.parametrize("case", CASES)
def test_two_devices_give_the_numbers_of_one(two, case, tmp_path):
    assert_equal_training(two, job_of(**CASES[case]), tmp_path, NEAR)


@pytest.mark.parametrize("kind", ["plain", "norm", "instance"])
def test_so_do_three_in_a_regression_whose_last_batch_is_too_small(three, kind, tmp_path):
    assert_equal_training(three, job_of(net={"kind": kind, "outputs": 1}), tmp_path, NEAR)


def test_half_precision_is_near(two, tmp_path):
    job = job_of(precision="bf16", net={"kind": "norm"})
    assert_equal_training(two, job, tmp_path, {"rel": 0.05, "abs": 0.05})


def test_the_weights_of_all_devices_are_equal(two, three, tmp_path):
    for devices, outputs in ((two, 3), (three, 1)):
        folder = tmp_path / str(outputs)
        folder.mkdir()
        net = {"kind": "norm", "outputs": outputs, "folder": str(folder)}
        assert devices.run(job_of(cls="Witness", net=net))[-1].kind == "finished"
        files = sorted(folder.iterdir())
        assert [path.name for path in files] == ["0.txt", "1.txt", "2.txt"][: len(files)]
        assert len(files) == (2 if devices is two else 3)
        [lines] = {tuple(path.read_text().split()) for path in files}
        assert len({*lines}) == 2  # of two epochs


def test_random_numbers_are_reproducible_and_differ_from_device_to_device(two, tmp_path):
    def losses(seed):
        job = job_of(cls="Random", seed=seed)
        return [report.metrics for report in two.run(job)]

    assert losses(1) == losses(1) != losses(2)
    alone = run_here(setup_like(two.setup, tmp_path), job_of(cls="Random", seed=1))
    assert [report.metrics for report in alone] != losses(1)


def test_a_loss_that_is_not_finite_on_one_device_ends_all_at_the_same_step(two, tmp_path):
    job = job_of(net={"kind": "not_finite"})
    [*_, ours], [*_, expected] = two.run(job), run_here(setup_like(two.setup, tmp_path), job)
    assert ours == expected and ours.failure.reason == "not finite"
    assert two.run(job_of())[-1].kind == "finished"


def test_a_trial_that_is_stopped_early_stops_on_all_devices(two):
    def stop(report):
        if report.kind == "metrics":
            two.service.stop(report.trial)

    reports = two.run(job_of(3, epochs=500, net={"kind": "slow"}), stop)
    assert reports[-1].kind == "stopped" and len(reports) < 400
    assert two.run(job_of(4))[-1].kind == "finished"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("native", "native_batch_norm sees only a part of each batch on several devices"),
        ("embedded", "An embedding with max_norm changes the rows"),
        ("legit", "_native_batch_norm_legit_functional sees only a part of each batch"),
        ("scripted", "The module layer (RecursiveScriptModule) is compiled"),
        ("observed", "The module layer (MovingAverageMinMaxObserver) observes a part"),
        ("skipped", "calls other normalization layers on one device than on another"),
        ("chosen", "calls other normalization layers on one device than on another"),
        *(
            (kind, "computes normalization again in its backward pass, as with activation check")
            for kind in ("recomputed", "recomputed_instance", "reentered", "reentered_free")
        ),
        ("reentered_plain", "call checkpoint with use_reentrant=False, or train it with"),
        ("wide", "calls other normalization layers on one device than on another"),
    ],
)
def test_layers_whose_batch_cannot_be_seen_whole_are_refused(two, kind, text):
    [*_, end] = two.run(job_of(net={"kind": kind}))
    assert end.failure.reason == "error" and text in end.failure.text
    assert "training.devices_per_trial=1" in end.failure.text


@pytest.mark.exhaustive
def test_all_devices_score_with_what_the_first_keeps_outside_of_buffers(two, tmp_path):
    """Outputs that a module keeps are of other shapes on other devices, and stay as they are."""
    net = {"kind": "attribute", "folder": str(tmp_path)}
    assert two.run(job_of(net=net, epochs=3, batch_size=11))[-1].kind == "finished"
    first, second = ({*(tmp_path / f"{i}.txt").read_text().split()} for i in range(2))
    assert first == second and len(first) == 3  # of three epochs
