"""Questions about modules: `hasattr(self.conv, "bias")`, `isinstance(op, Skip)`, `len(self.ops)`.

TorchScript answers them from its types of modules, which say less than there is. Here the live
modules are asked, and Python's answer replaces the question. A question about a choice that is not
resolved is refused: its answer depends on the sample.
"""

import ast
import functools
from types import BuiltinFunctionType
from typing import Any, final

from torch import nn

from runner.graph.class_source.bytecode_names import stored_names
from runner.graph.frontend.reading.opaque import is_choice
from runner.graph.frontend.torchscript.source import UNKNOWN, FunctionSource, at, copied
from runner.graph.frontend.torchscript.stubs import original

_ASKED = (hasattr, isinstance, len, getattr, callable, issubclass, type)
_PLAIN = (bool, int, float, str, type(None))
_RUN = ("forward", "training")  # the same for all candidates of a choice
_DEEP = ("modules", "named_modules", "parameters", "named_parameters", "buffers", "named_buffers",
         "state_dict", "get_submodule", "get_parameter", "get_buffer")  # fmt: skip
_VALUES = ("children", "modules", "values")
_PAIRS = ("named_children", "named_modules", "items")


def answer_about_modules(source: FunctionSource) -> None:
    """Replaces questions about modules by their answers."""
    if source.module is not None and source.answers:
        asking = _ModuleAnswers(source)
        source.definition.body = [asking.visit(node) for node in source.definition.body]


@final
class _ModuleAnswers(ast.NodeTransformer):
    """A transformer that replaces questions with one plain answer."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source
        self.modules = Modules(source)
        self._stored_names = functools.cache(stored_names)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = self.source.value_of(node.func)
        if node.args and not node.keywords and any(function is asked for asked in _ASKED):
            return self._answered(node, node.args[0])
        if isinstance(function, type | BuiltinFunctionType):  # list(module), enumerate(module)
            for argument in node.args:
                self._refuse_symbolic(node, argument)
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        left = node.left
        if isinstance(left, ast.Call) and left.args and self.source.value_of(left.func) is type:
            return self._answered(node, left.args[0])
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr not in _RUN:
            self._refuse_symbolic(node, node.value, deep=node.attr in _DEEP)
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self._refuse_symbolic(node, node.value)
        return self.generic_visit(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        self._refuse_symbolic(node.iter, node.iter)
        return self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        self._refuse_symbolic(node.iter, node.iter)
        return self.generic_visit(node)

    def _refuse_symbolic(self, node: ast.expr, subject: ast.expr, *, deep: bool = False) -> None:
        """Refuses to look into a choice that is not resolved: its candidates have other parts."""
        asked = self.modules.of(subject, self.source.module) or []
        looked = [inner for module in asked for inner in module.modules()] if deep else asked
        if any(is_choice(original(module)) for module in looked):
            self.source.refuse(node, f"{ast.unparse(node)} depends on a choice")

    def _answered(self, node: ast.expr, subject: ast.expr) -> ast.AST:
        root = self.source.module
        asked = self.modules.of(subject, root)
        if root is None or asked is None:
            return self.generic_visit(node)
        self._refuse_symbolic(node, subject)
        self._refuse_stored(node, asked)
        question = _ModuleQuery(self.source, node, subject)
        answers = question(root)
        if len(answers) == 1 and type(answers[0]) in _PLAIN:
            self.source.rely_on(question)
            return at(ast.Constant(answers[0]), node)
        if len(answers) > 1:
            self.source.refuse(node, f"{ast.unparse(node)} differs between iterations of the loop")
        return node

    def _refuse_stored(self, node: ast.expr, asked: list[nn.Module]) -> None:
        """Refuses a question about an attribute that may be set while the model runs."""
        named = node.args[1:2] if isinstance(node, ast.Call) else []
        for name in named:
            text = name.value if isinstance(name, ast.Constant) else None
            classes: list[Any] = [*map(original, asked)]
            if any(text in self._stored_names(cls) for cls in classes):
                self.source.refuse(node, f"{ast.unparse(node)} depends on earlier calls")


@final
class _ModuleQuery:
    """An expression about modules, those that its part `subject` refers to."""

    def __init__(self, source: FunctionSource, node: ast.expr, subject: ast.expr) -> None:
        self.source = source
        self.subject = subject
        self.modules = Modules(source)
        replaced = _Replaced(source, subject)
        whole = ast.fix_missing_locations(ast.Expression(replaced.visit(copied(node))))
        self._code = compile(whole, "<question>", "eval")
        self._names = replaced.names

    def __call__(self, root: nn.Module) -> list[Any]:
        """Returns the distinct answers in the method of a module; none if it fails."""
        answers: list[Any] = []
        for module in self.modules.of(self.subject, root) or ():
            known = {**self._names, "_subject": module, "_class": original(module)}
            try:
                answer = eval(self._code, {}, known)
            except Exception:  # a name that is bound by the function, or a question that fails
                return []
            if not any(type(answer) is type(other) and answer == other for other in answers):
                answers.append(answer)
        return answers


@final
class _Replaced(ast.NodeTransformer):
    """A transformer that replaces the subject and its class by names, and records the globals."""

    def __init__(self, source: FunctionSource, subject: ast.expr) -> None:
        self.source = source
        self.subject = ast.dump(subject)
        self.names: dict[str, Any] = {}

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Call) and self._asks_class(node):
            return ast.Name("_class", ast.Load())
        if isinstance(node, ast.expr) and ast.dump(node) == self.subject:
            return ast.Name("_subject", ast.Load())
        if isinstance(node, ast.Name) and (value := self.source.value_of(node)) is not UNKNOWN:
            self.names[node.id] = value
        return self.generic_visit(node)

    def _asks_class(self, node: ast.Call) -> bool:
        """Returns whether a call is `type(subject)`."""
        is_type = self.source.value_of(node.func) is type
        return is_type and [*map(ast.dump, node.args)] == [self.subject]


@final
class Modules:
    """The live modules that expressions of a method refer to."""

    def __init__(self, source: FunctionSource) -> None:
        self.source = source
        self._bound = dict[str, list[tuple[str, ast.expr]]]()
        for node in ast.walk(source.definition):
            if isinstance(node, ast.For | ast.comprehension):
                self._bind_elements(node.target, node.iter)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    self._bind(target, "", node.value)
        self._asked: set[str] = set()

    def of(self, node: ast.expr, root: nn.Module | None) -> list[nn.Module] | None:
        """Returns all modules that an expression may refer to in the method of a module; None if
        it may be something else than a module."""
        if isinstance(node, ast.Name):
            return self._named(node.id, root)
        if isinstance(node, ast.Attribute):
            return _each(self.of(node.value, root), lambda m: [m._modules.get(node.attr)])
        if isinstance(node, ast.Subscript):
            if isinstance(node.slice, ast.Constant):
                key = node.slice.value
                return _each(self.of(node.value, root), lambda m: [_item(m, key)])
            return self._elements(node.value, root) if isinstance(node.slice, ast.Name) else None
        return None

    def _named(self, name: str, root: nn.Module | None) -> list[nn.Module] | None:
        if name == self.source.itself and root is not None:
            return [root]
        if name not in self._bound or name in self._asked:
            return None
        self._asked.add(name)
        found: list[nn.Module] = []
        for way, node in self._bound[name]:
            known = self._elements(node, root) if way else self.of(node, root)
            if known is None:
                break
            found += known
        else:
            self._asked.discard(name)
            return found
        self._asked.discard(name)
        return None

    def _elements(self, node: ast.expr, root: nn.Module | None) -> list[nn.Module] | None:
        """Returns the modules in a container, also for a slice of it."""
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
            node = node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owners = self.of(node.func.value, root)
            deep = node.func.attr in ("modules", "named_modules")
            return _each(owners, lambda m: [*(m.modules() if deep else m.children())])
        return _each(self.of(node, root), lambda m: [*m.children()] if _is_list(m) else [None])

    def _bind_elements(self, target: ast.expr, iterated: ast.expr) -> None:
        """Records the module elements that a loop binds to its variables."""
        method = ""
        if isinstance(iterated, ast.Call):
            if isinstance(iterated.func, ast.Name):
                self._bind_called(target, iterated.func.id, iterated.args)
                return
            method = iterated.func.attr if isinstance(iterated.func, ast.Attribute) else ""
        if method in _PAIRS and isinstance(target, ast.Tuple) and len(target.elts) == 2:
            target = target.elts[1]
        elif method and method not in _VALUES:
            return
        self._bind(target, "element", iterated)

    def _bind_called(self, target: ast.expr, function: str, args: list[ast.expr]) -> None:
        parts = target.elts if isinstance(target, ast.Tuple) else []
        if function == "reversed" and len(args) == 1:
            self._bind_elements(target, args[0])
        elif function == "enumerate" and len(parts) == 2:
            self._bind_elements(parts[1], args[0])
        elif function == "zip" and len(parts) == len(args):
            for part, iterated in zip(parts, args, strict=True):
                self._bind_elements(part, iterated)

    def _bind(self, target: ast.expr, way: str, node: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._bound.setdefault(target.id, []).append((way, node))


def _each(owners: list[nn.Module] | None, parts: Any) -> list[nn.Module] | None:
    """Returns the parts of all owners; None if one is no module."""
    if owners is None:
        return None
    found = [part for owner in owners for part in parts(owner)]
    return found if all(isinstance(part, nn.Module) for part in found) else None


def _item(owner: Any, key: Any) -> Any:
    """Returns an item of a container of modules; None if there is none."""
    try:
        return owner[key] if _is_list(owner) or isinstance(owner, nn.ModuleDict) else None
    except (IndexError, KeyError, TypeError):
        return None


def _is_list(owner: nn.Module) -> bool:
    return isinstance(owner, nn.ModuleList | nn.Sequential)
