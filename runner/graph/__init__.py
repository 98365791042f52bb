"""A small compiler: a model becomes a graph, graphs are changed, and written as source.

with recording():
    model = Net()
graph = convert(model)
graph.replace("act", Unit.of("torch.nn:GELU"))
print(generate(graph))
"""

from runner.graph.check import Report as Report
from runner.graph.check import check_conversion as check_conversion
from runner.graph.conversion import convert as convert
from runner.graph.drawing.picture import svg as svg
from runner.graph.graph import Graph as Graph
from runner.graph.lint import lint as lint
from runner.graph.load import load_file as load_file
from runner.graph.load import load_source as load_source
from runner.graph.load import save_tensors as save_tensors
from runner.graph.mutator import Mutator as Mutator
from runner.graph.node import Block as Block
from runner.graph.node import Function as Function
from runner.graph.node import Node as Node
from runner.graph.node import Parameter as Parameter
from runner.graph.node import Value as Value
from runner.graph.running.shapes import propagate as propagate
from runner.graph.saving.codec import from_json as from_json
from runner.graph.saving.codec import to_json as to_json
from runner.graph.unit import Call as Call
from runner.graph.unit import Ref as Ref
from runner.graph.unit import Unit as Unit
from runner.graph.writing.generate import generate as generate
from runner.nn.record import recording as recording
