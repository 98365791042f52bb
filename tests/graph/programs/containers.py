"""Lists, dicts, tuples, named tuples and optional values, as inputs, outputs and between."""

from typing import Dict, List, NamedTuple, Optional, Tuple  # noqa: UP035 (both spellings)

import torch
from torch import Tensor, nn

from programs.case import floats, program


@program([floats(1, 16)])
class AppendsToInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.ops = nn.ModuleList(nn.Linear(16, 16) for _ in range(4))

    def forward(self, x: List[Tensor]):  # noqa: UP006
        state = x
        for op in self.ops:
            state.append(op(state[-1]))
        return state[-1], len(x)


@program([floats(2, 3), floats(2, 3)])
class ListInput(nn.Module):
    def forward(self, xs: list[Tensor]):
        first, second = xs
        return torch.cat(xs), torch.stack(xs, dim=1), first - second, len(xs), xs[-1]


@program(floats(2, 3))
class ListMethods(nn.Module):
    def forward(self, x):
        xs = [x, x * 2]
        xs.insert(0, x - 1)
        xs.extend([x + 1, x + 2])
        last = xs.pop()
        first = xs.pop(0)
        xs[0] = first
        ys = xs.copy()
        ys.clear()
        return xs, last, len(ys), xs[1:], xs + [last]  # noqa: RUF005


@program(floats(2, 3))
class NumberLists(nn.Module):
    def forward(self, x):
        n = [3, 1, 2]
        n.append(x.size(0))
        m = n + [5] * 2
        n[1] = 9
        n.remove(3)
        return n, m, n.index(2), m.count(5), 9 in n, max(m), min(m), n == m, m[::-1]


@program(floats(2, 3))
class SharedList(nn.Module):
    """Two names of one list."""

    def forward(self, x):
        a = [x]
        b = a
        b.append(x * 2)
        c = [a, [x]]
        c[0].append(x * 3)
        return len(a), a[2], c


@program(floats(2, 3))
class ListOfLists(nn.Module):
    def forward(self, x):
        grid = [[1, 2], [3, 4]]
        grid[0][1] = 7
        rows: list[list[Tensor]] = []
        for i in range(2):
            rows.append([x * j for j in grid[i]])  # noqa: PERF401
        return grid, rows[0][1] + rows[1][0]


@program({"test_key_in": floats(1, 2, 3)})
class DictInput(nn.Module):
    def forward(self, x_in: Dict[str, Tensor]):  # noqa: UP006
        x_out = {}
        x_out["test_key_out"] = torch.add(x_in["test_key_in"], 2.0)
        return x_out


@program({torch.tensor(1.0): floats(1, 2, 3)})
class DictOfTensorKeys(nn.Module):
    def forward(self, x_in: dict[Tensor, Tensor]):
        x_out: dict[str, Tensor] = {}
        key = list(x_in.keys())[0]  # noqa: RUF015 (TorchScript has no next)
        x_out["test_key_out"] = torch.add(x_in[key], key)
        return x_out


@program({"a": floats(2), "b": floats(2)}, {1: 0.5, 7: 2.0})
class DictMethods(nn.Module):
    def forward(self, x: dict[str, Tensor], rates: dict[int, float]):
        total = torch.zeros(2)
        for key, value in x.items():
            total = total + value * len(key)
        for key in rates:
            total = total * rates[key] + key
        x["c"] = total
        copied = x.copy()
        removed = copied.pop("a")
        missing = x.get("z")
        found = "b" in x and "q" not in x
        return x, copied, removed, missing is None, found, list(x.keys()), len(x)


@program(floats(2, 3))
class DictOutput(nn.Module):
    def __init__(self):
        super().__init__()
        self.names = ["left", "right"]
        self.weights = {"left": 0.5, "right": 2.0}
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        out: dict[str, Tensor] = {}
        for name in self.names:
            out[name] = self.linear(x) * self.weights[name]
        out["both"] = out["left"] + out["right"]
        out.update({"x": x})
        del out["x"]
        return out, {"n": 1, "m": 2}, dict([("k", 3)])  # noqa: C406


@program(floats(2, 3))
class NestedDicts(nn.Module):
    def forward(self, x):
        tree: dict[str, dict[str, Tensor]] = {"a": {"b": x}}
        tree["a"]["c"] = x * 2
        tree["d"] = {}
        lists: dict[str, list[Tensor]] = {"l": []}
        lists["l"].append(x)
        return tree, lists, {k: v * 2 for k, v in tree["a"].items()}


@program((floats(2), (floats(2), 3)))
class TupleInput(nn.Module):
    def forward(self, x: Tuple[Tensor, Tuple[Tensor, int]]):  # noqa: UP006
        a, (b, n) = x
        return a * n + b, x[1][0] - x[0], (n, (b,)), x


@program(floats(2, 3))
class TupleOutput(nn.Module):
    def parts(self, x) -> tuple[Tensor, tuple[int, list[Tensor]]]:
        return x, (3, [x, x + 1])

    def forward(self, x):
        a, (n, xs) = self.parts(x)
        pair = (a, n)
        rest = (*pair, 2)
        return (a * n, {"l": xs, "m": [a]}), ((xs[0],), ()), rest[2] * pair[1], rest[:2]


@program(floats(2, 3))
class SingleTuple(nn.Module):
    def forward(self, x):
        return (x * 2,)


class Pair(NamedTuple):
    """What two layers give."""

    logits: Tensor
    aux: Optional[Tensor]  # noqa: UP045
    scale: float = 2.0


@program(floats(2, 3), True)
@program(floats(2, 3), False)
class NamedTupleOutput(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x, more: bool):
        pair = Pair(self.linear(x), x if more else None)
        aux = pair.aux
        if aux is not None:
            return Pair(pair.logits * pair.scale, aux + 1, scale=3.0)
        return pair


@program(Pair(floats(2, 3), floats(2, 3), 0.5))
@program(Pair(floats(2, 3), None))
class NamedTupleInput(nn.Module):
    def forward(self, pair: Pair):
        y, aux, scale = pair
        if aux is None:
            return y * scale, y
        return y * pair.scale + aux, pair[0]


@program([("a", floats(2)), ("b", floats(2))])
class PairsInList(nn.Module):
    def forward(self, pairs: list[tuple[str, Tensor]]):
        names: list[str] = []
        total = torch.zeros(2)
        for name, x in pairs:
            names.append(name)
            total = total + x
        return names, total, {name: x for name, x in pairs}  # noqa: C416
