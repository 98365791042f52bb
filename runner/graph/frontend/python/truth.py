"""Truth values: of conditions, as flags that decide exits, and of patterns."""

import ast
import operator

from runner.graph.frontend.python.abstract import (
    FALSE,
    TRUE,
    Abstract,
    Closure,
    Items,
    Known,
    Named,
    is_laid_out,
    is_open,
    thing_of,
)
from runner.graph.frontend.python.evaluation import Evaluation
from runner.graph.frontend.python.special_methods import special
from runner.graph.ir.node import Argument, Value
from runner.nn.values.expression import Expression, compute


def known_truth(ev: Evaluation, value: Abstract) -> bool | None:
    """Returns the truth of a value, if it is known."""
    if isinstance(value, Value) and value in ev.lists:
        return bool(ev.lists[value])
    if isinstance(value, Value | Named):
        return bool(ev.dicts[value]) if value in ev.dicts else None
    if type(value) is Items:
        return bool(value.items)
    if type(value) is Closure:
        return True
    if type(value) is Known and is_open(value.thing):
        raise ev.error("it asks for the truth of a choice; compare it with None")
    if not is_laid_out(value):
        return None
    for name in ("__bool__", "__len__"):
        if (own := special(ev, name, value)) is not None:
            known = known_truth(ev, own)
            if known is None:
                raise ev.error(f"it asks for the truth of a module, of which {name}() decides")
            return known
    return bool(ev.evaluated(bool, thing_of(value)))


def negated(ev: Evaluation, value: Abstract) -> Abstract:
    """Returns `not value`."""
    known = known_truth(ev, value)
    if known is not None:
        return FALSE if known else TRUE
    if type(value) is Known and isinstance(value.thing, Expression):
        return Known(compute(operator.not_, value.thing))
    return ev.operator("not_", value)


def as_flag(ev: Evaluation, value: Abstract) -> Argument:
    """Returns a value as the condition of a loop: True or False if that is known."""
    known = known_truth(ev, value)
    return ev.argument(value) if known is None else known


def negated_flag(ev: Evaluation, flag: Abstract) -> Abstract:
    """Returns a flag that is False where another one is True, as constants at the ends of
    blocks."""
    node = ev.create("if", "", (ev.argument(flag),))
    for result in (False, True):
        node.add_block().results = (result,)
    return node.output


# Patterns


def as_branches(ev: Evaluation, node: ast.Match) -> ast.If:
    """Returns a `match` on values as a chain of branches. Raises Unreadable for other patterns."""
    name = f"$subject{node.lineno}"
    ev.frame.env[name] = ev.evaluate(node.subject)
    subject = ast.Name(name, ast.Load())
    chain: list[ast.If] = []
    for case in reversed(node.cases):
        test = _test(ev, case.pattern, subject)
        body = [*_captures(case.pattern, subject), *case.body]
        if case.guard is not None:
            if len(body) != len(case.body):
                raise ev.error("a `case` with both a name and a guard has no form in a graph")
            test = ast.BoolOp(ast.And(), [test, case.guard])
        chain = [ast.If(test, body, [*chain])]
    for made in ast.walk(chain[0]):
        if "lineno" in made._attributes and not hasattr(made, "lineno"):
            ast.copy_location(made, node)
    return chain[0]


def _test(ev: Evaluation, pattern: ast.pattern, subject: ast.expr) -> ast.expr:
    match pattern:
        case ast.MatchValue(value):
            return ast.Compare(subject, [ast.Eq()], [value])
        case ast.MatchSingleton(value):
            return ast.Compare(subject, [ast.Is()], [ast.Constant(value)])
        case ast.MatchOr(patterns):
            return ast.BoolOp(ast.Or(), [_test(ev, each, subject) for each in patterns])
        case ast.MatchAs(None, _):
            return ast.Constant(value=True)
        case ast.MatchAs(inner, _) if inner is not None:
            return _test(ev, inner, subject)
        case ast.MatchClass(cls, [], []):
            return ast.Call(ast.Name("isinstance", ast.Load()), [subject, cls], [])
    ev.node = pattern
    raise ev.error("this pattern has no form in a graph; compare with values, or use `if`")


def _captures(pattern: ast.pattern, subject: ast.expr) -> list[ast.stmt]:
    if isinstance(pattern, ast.MatchAs) and pattern.name is not None:
        return [ast.Assign([ast.Name(pattern.name, ast.Store())], subject)]
    return []
