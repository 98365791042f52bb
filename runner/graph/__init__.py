"""A small compiler: a model becomes a graph, graphs are changed, and written as source.

with recording():
    model = Net()
graph = convert(model)
graph.replace("act", Unit.of("torch.nn:GELU"))
print(generate(graph))

Must not import `config`, `trial`, `fusion`, `engines`, `mutators`, `evaluators`.
"""

from runner.graph.codegen.generate import generate as generate
from runner.graph.codegen.load import load_file as load_file
from runner.graph.codegen.load import load_source as load_source
from runner.graph.codegen.load import save_tensors as save_tensors
from runner.graph.drawing.picture import svg as svg
from runner.graph.interpreter.shape_propagation import propagate as propagate
from runner.graph.ir.function import Function as Function
from runner.graph.ir.graph import Graph as Graph
from runner.graph.ir.lint import lint as lint
from runner.graph.ir.node import Block as Block
from runner.graph.ir.node import Node as Node
from runner.graph.ir.node import Parameter as Parameter
from runner.graph.ir.node import Value as Value
from runner.graph.ir.unit import Call as Call
from runner.graph.ir.unit import Ref as Ref
from runner.graph.ir.unit import Unit as Unit
from runner.graph.transforms.mutator import Mutator as Mutator
from runner.graph.validation.conversion_check import Report as Report
from runner.graph.validation.conversion_check import check_conversion as check_conversion
from runner.graph.validation.validated_conversion import convert as convert
from runner.nn.recording.construction_record import recording as recording
