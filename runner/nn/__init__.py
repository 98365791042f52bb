"""Building blocks of model spaces: all of `torch.nn`, and primitives that declare choices.

Must import nothing of `runner` but `errors`, `nested`, `operators`, `python_operators`, `space`,
`unregistered`.
"""

from typing import Any

from torch.nn import *  # noqa: F403

from runner.errors import SpaceError as SpaceError
from runner.nn.auto_activation import AutoActivation as AutoActivation
from runner.nn.bounds import AnyRepeats as AnyRepeats
from runner.nn.bounds import Fraction as Fraction
from runner.nn.bounds import ImageShape as ImageShape
from runner.nn.bounds import InputShape as InputShape
from runner.nn.bounds import OddSize as OddSize
from runner.nn.bounds import Positive as Positive
from runner.nn.bounds import Repeats as Repeats
from runner.nn.cell import Cell as Cell
from runner.nn.layer import ChosenInputs as ChosenInputs
from runner.nn.layer import InputChoice as InputChoice
from runner.nn.layer import LayerChoice as LayerChoice
from runner.nn.layer import Placeholder as Placeholder
from runner.nn.layer import Repeat as Repeat
from runner.nn.nni_names import ChoiceOf as ChoiceOf
from runner.nn.nni_names import MaybeChoice as MaybeChoice
from runner.nn.nni_names import ModelParameterChoice as ModelParameterChoice
from runner.nn.nni_names import ModelSpace as ModelSpace
from runner.nn.nni_names import MutationAnchor as MutationAnchor
from runner.nn.nni_names import ReductionType as ReductionType
from runner.nn.nni_names import choice as choice
from runner.nn.nni_names import found_name as _found_name
from runner.nn.nni_names import loguniform as loguniform
from runner.nn.nni_names import uniform as uniform
from runner.nn.refuse import refuse as refuse
from runner.nn.symbolic import symbolic as symbolic
from runner.nn.values.build import basic_unit as basic_unit
from runner.nn.values.build import draw as draw
from runner.nn.values.build import is_basic_unit as is_basic_unit
from runner.nn.values.build import label_scope as label_scope
from runner.nn.values.build import model_wrapper as model_wrapper
from runner.nn.values.build import sample as sample
from runner.nn.values.value import Expression as Expression
from runner.nn.values.value import FloatChoice as FloatChoice
from runner.nn.values.value import IntChoice as IntChoice
from runner.nn.values.value import ValueChoice as ValueChoice
from runner.nn.values.value import decided as decided


def __getattr__(name: str) -> Any:
    return _found_name(name)
