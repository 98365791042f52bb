"""Code that may import or run anything is found, in whatever form, and nothing else is."""

import ast
import builtins
import importlib

import pytest

from runner.graph.codegen.carried_source.run_time_imports import any_code, run_time_imports

NAMES = {"importlib": importlib, "load": importlib.import_module, "b": builtins}
FOUND = [
    "importlib.import_module('unwritable')",
    "load('unwritable')",
    "load(name)",
    "load(f'torch.{name}')",
    "load('.x', __name__)",
    "load(name='unwritable')",
    "load(package='torch', name=name)",
    "load(*names)",
    "__import__('unwritable')",
    "b.__import__(name)",
    "exec(text)",
    "eval('unwritable.local')",
    "eval('torch.relu')",
    "exec('import torch')",
    "eval('eval(x)')",
    "eval('(')",
    "importlib.reload(torch)",
    "runpy.run_path('x.py')",
    "pkgutil.resolve_name('unwritable:local')",
    "importlib.util.spec_from_file_location('torch', 'x.py')",
]
HARMLESS = [
    "load('torch.nn.functional')",
    "importlib.import_module('json')",
    "__import__('numpy')",
    "load(name='json')",
    "load('no_such_package_here.x')",  # it raises here, too
    "pkgutil.resolve_name('json:loads')",
    "eval('1 + 2')",
    "eval('[x * 2 for x in range(3)]')",
    "model.eval()",
    "self.exec(text)",
    "importlib.metadata.version('torch')",
    "re.compile(text)",
]


def found(text, without=frozenset()):
    tree = ast.parse(f"import pkgutil, runpy, re\n\n\ndef f(self, name, names, x):\n    {text}\n")
    return [ast.unparse(call) for call in run_time_imports(tree, NAMES, without)]


@pytest.mark.parametrize("text", FOUND)
def test_what_may_be_any_code_is_found(text):
    [call] = found(text)
    assert call == ast.unparse(ast.parse(text))


@pytest.mark.parametrize("text", HARMLESS)
def test_what_says_which_code_it_is_passes(text):
    assert found(text) == []


def test_other_uses_and_other_names_of_the_functions_are_found():
    assert found("g = load; return map(g, names)") == ["load"]
    assert found("import importlib as i; return i.import_module(x)") == ["i.import_module(x)"]
    assert found("from importlib import import_module as m; m(x)") == ["m(x)"]
    assert found("return map(eval, names)") == ["eval"]


def test_variables_of_these_names_are_something_else():
    assert found("exec = self.run; return exec(x)") == []
    assert found("return [load(x) for load in names]") == []
    assert found("return (lambda eval: eval(x))(self.f)") == []
    assert found("def exec(x): return x\n    return exec(x)") == []
    methods = ast.parse("class A:\n    def eval(self):\n        return eval(self.text)\n")
    assert len([*run_time_imports(methods, {})]) == 1  # a method is no variable of others


def test_parts_that_are_left_out_are_not_read():
    tree = ast.parse(
        "class A:\n    def f(self):\n        exec(x)\n    def g(self):\n        eval(y)\n"
    )
    [cls] = tree.body
    left = run_time_imports(tree, {}, frozenset([cls.body[0]]))
    assert [ast.unparse(call) for call in left] == ["eval(y)"]


def test_a_long_call_is_shortened_to_one_line():
    [call] = run_time_imports(ast.parse(f"exec({'a' * 300!r} '''\n''')"), {})
    assert len(any_code(call)) < 200 and "\n" not in any_code(call)
