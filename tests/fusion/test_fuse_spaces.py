"""Random samples of every shipped space, trained as one, get what each gets alone.

FUSED_GROUPS=20 tries as many groups of each space.
"""

import copy
import os
import random

import pytest
import torch
from fusing import Together, adamw, assert_equal, batches_of, loss_of

from runner.engines.compiler import Compiler
from runner.fusion.tracing.trace import programs_of
from runner.graph.codegen.load import load_source
from runner.space.sample import generator

SPACES = {
    "resnet.ResNet": (1, 8, 8),
    "mlp.MLP": (64,),
    "mobilenet.MobileNet": (1, 8, 8),
    "cell.CellNet": (1, 8, 8),
    "transformer.Transformer": (1, 8, 8),
}
GROUPS = int(os.environ.get("FUSED_GROUPS", "3"))
STEPS = 20


def group(name, number):
    """2 to 8 models of random samples, and their programs."""
    shape = SPACES[name]
    compiler = Compiler({"_target_": f"spaces.{name}"}, (), (), shape)
    size = random.Random(number).randint(2, 8)
    return zip(*(member(compiler, shape, number, i) for i in range(size)), strict=True)


def member(compiler, shape, number, i):
    decided = compiler.compile(compiler.space.random(generator(number, i)))
    torch.manual_seed(i)
    model = load_source(decided.source.text, decided.graph.tensors).build()
    return model, programs_of(decided.graph, shape)


@pytest.mark.sampled(5 * GROUPS)
@pytest.mark.parametrize("number", range(GROUPS))
@pytest.mark.parametrize("name", SPACES)
def test_a_group_of_a_space_is_trained_as_each_model_alone(name, number):
    models, programs = group(name, number)
    fused = assert_equal(models, programs, SPACES[name], sizes=[8] * STEPS)
    # Of two or three transformers, each of another width, nothing is equal; there are such groups.
    assert fused.launches < fused.operations or (name.startswith("transformer") and number)


@pytest.mark.sampled(5)
@pytest.mark.parametrize("name", SPACES)
def test_the_first_step_in_single_precision(name):
    models, programs = group(name, 99)
    alone = [copy.deepcopy(model).train() for model in models]
    [(x, y)] = batches_of(SPACES[name], [8], torch.float32)
    optimizers = [adamw(model, i) for i, model in enumerate(models)]
    losses = Together(models, programs, optimizers).step(x, y)
    for i, (model, loss) in enumerate(zip(alone, losses, strict=True)):
        torch.manual_seed(i)
        torch.testing.assert_close(loss, loss_of(model(x), y).detach(), rtol=1e-5, atol=0)
