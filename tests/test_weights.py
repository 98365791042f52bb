"""Weights files: what is not a model's own is one clear line that names the difference."""

import json
import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from runner.weights import WeightsError, load_weights, save_weights


def model():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))


def state(**changes):
    """The tensors of the model with others in place; None leaves one out."""
    tensors = {**model().state_dict(), **{k.replace("_", ".", 1): v for k, v in changes.items()}}
    return {name: value.clone() for name, value in tensors.items() if value is not None}


def header(text, data=b""):
    content = text if isinstance(text, bytes) else json.dumps(text).encode()
    return len(content).to_bytes(8, "little") + content + data


F32 = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
# Of the nine tensors, torch forgives a missing `num_batches_tracked`: older files have none.
MISFITS = {
    "lacks one": (state(**{"0_weight": None}), r"it lacks '0\.weight'$"),
    "lacks all": ({}, r"it lacks '0\.bias', '0\.weight', '1\.bias' and 5 more$"),
    "has one more": (state(**{"7_x": torch.ones(1)}), r"it has '7\.x', unlike the model$"),
    "has others": (
        {"x": torch.ones(1)}, r"it lacks .* and 5 more; it has 'x', unlike the model$"),
    "another shape": (
        state(**{"0_weight": torch.ones(3, 4)}), r"'0\.weight' has shape \[3, 4\], not \[3, 2\]$"),
    "a scalar": (state(**{"0_bias": torch.tensor(1.0)}), r"'0\.bias' has shape \[\], not \[3\]$"),
    "other shapes": (
        {name: torch.ones(9) for name in state()}, r"'0\.bias' has shape .*; and \d more$"),
    "another type": (
        state(**{"0_bias": torch.ones(3, dtype=torch.int32)}), r"'0\.bias' is int32, not float32$"),
    "half the precision": (
        state(**{"0_bias": torch.ones(3).half()}), r"'0\.bias' is float16, not float32$"),
}  # fmt: skip
NO_WEIGHTS = {
    "nothing": (b"", "is empty"),
    "one byte": (b"x", "not a safetensors file"),
    "a text": (b"these are no weights at all", "not a safetensors file"),
    "a pickle": (b"\x80\x04\x95" + bytes(100), "not a safetensors file"),
    "a header longer than the file": ((2**40).to_bytes(8, "little") + b"{}", "not a safetensors"),
    "a header longer than memory": (b"\xff" * 64, "not a safetensors file"),
    "a header of nothing": (bytes(8), "not a safetensors file"),
    "a header that is no JSON": (header(b"{{{{"), "not a safetensors file"),
    "a header that is a list": (header([1]), "not a safetensors file"),
    "a header of no text": (header(b"\xff\xfe{}"), "not a safetensors file"),
    "a tensor of no type": (header({"x": {}}), "not a safetensors file"),
    "a tensor beyond the end": (header({"x": F32}), "not a safetensors file"),
    "a tensor of another size": (header({"x": F32 | {"shape": [2**60]}}, bytes(4)), "safetensors"),
    "a negative size": (header({"x": F32 | {"shape": [-1]}}, bytes(4)), "not a safetensors file"),
    "metadata of numbers": (header({"__metadata__": {"a": 1}}), "not a safetensors file"),
}  # fmt: skip


def refused(path, text):
    with pytest.raises(WeightsError, match=text) as caught:
        load_weights(model(), path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 400


@pytest.mark.parametrize("name", MISFITS)
def test_weights_of_another_model_are_named(name, tmp_path):
    tensors, text = MISFITS[name]
    save_file(tensors, tmp_path / "w")
    refused(tmp_path / "w", f"does not fit the model: .*{text}")


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_what_is_no_weights_file_is_said_to_be_none(name, tmp_path):
    content, text = NO_WEIGHTS[name]
    (tmp_path / "w").write_bytes(content)
    refused(tmp_path / "w", text)


def test_what_is_no_file_is_said_to_be_none(tmp_path):
    refused(tmp_path / "missing", "does not exist")
    refused(tmp_path, "is not a file")
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "is not a file")
    (tmp_path / "ring").symlink_to("ring")
    refused(tmp_path / "ring", r"cannot be read: .*links")


def test_what_was_saved_is_loaded_shared_parameters_too(tmp_path):
    first, second = model(), model()
    for each in (first, second):
        each.append(each[2])
    save_weights(first, tmp_path / "w")
    load_weights(second, tmp_path / "w")
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
