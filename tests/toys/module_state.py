"""Finds state of modules in their source: objects that change, and caches, that nothing closes.

    state_in(ast.parse(source), classes_that_change([...]))    # {"CACHE", "Memo.found", "lookup"}

A cache may stay at module level if what it returns can never change: it is bounded, its arguments
are plain values such as names and shapes, its results are not containers, and it imports nothing.
"""

import ast
from collections.abc import Iterable, Iterator

CONTAINERS = {"dict", "list", "set", "OrderedDict", "defaultdict", "Counter", "deque", "bytearray"}
MUTATORS = {"append", "extend", "insert", "pop", "popitem", "clear", "remove", "update", "add",
            "setdefault", "discard", "move_to_end", "appendleft", "sort", "reverse",
            "__setitem__", "__delitem__"}  # fmt: skip
CHANGING = {"WeakKeyDictionary", "WeakValueDictionary", "WeakSet", "OrderedDict", "ContextVar",
            "local", "count", "cycle", "iter", "Random", "Generator", "Lock", "RLock", "Queue",
            "SimpleNamespace", "ExitStack"}  # fmt: skip
CACHES = {"cache", "lru_cache", "cached_property"}
PLAIN = {"str", "int", "bool", "float", "bytes", "None", "torch.Size", "torch.dtype"}
NESTS = {"tuple", "frozenset", "Literal"}  # of plain values, plain too
LOOKUPS = {"locate", "located", "resolve", "import_module", "__import__", "modules"}  # sys.modules
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def classes_that_change(trees: Iterable[ast.Module]) -> set[str]:
    """The classes of modules, and of Python, whose objects change after their construction."""
    classes = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    return CHANGING | {cls.name for cls in classes if _changes(cls)}


def state_in(tree: ast.Module, changing: set[str]) -> set[str]:
    """The names in a module that hold state; `changing` are the classes whose objects change."""
    return {*_Module(tree, changing).state()}


def _changes(cls: ast.ClassDef) -> bool:
    """Whether a method other than the constructor writes into an attribute of its object."""
    methods = [n for n in cls.body if isinstance(n, ast.FunctionDef) and n.name != "__init__"]
    return any(base == "self" and path for method in methods
               for base, path in map(_path, _targets(method, ast.walk)))  # fmt: skip


def _path(node: ast.AST) -> tuple[str, tuple[str, ...]]:
    """The name that an expression such as `a.b[0].c` starts with, and its attributes."""
    names: list[str] = []
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
        node = node.value
    if isinstance(node, ast.Call):
        inner = ast.unparse(node.func)
        return ("cls" if inner == "type" else f"{inner}()"), tuple(names)
    return (node.id if isinstance(node, ast.Name) else ""), tuple(names)


def _targets(node: ast.AST, walk) -> Iterator[ast.expr]:
    """The expressions that code changes in place."""
    for inner in walk(node):
        if isinstance(inner, ast.Subscript | ast.Attribute):
            if isinstance(inner.ctx, ast.Store | ast.Del):
                yield inner.value if isinstance(inner, ast.Subscript) else inner
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            yield from [inner.func.value] if inner.func.attr in MUTATORS else ()


def _here(node: ast.AST) -> Iterator[ast.AST]:
    """Yields what a node contains, without the bodies of functions inside."""
    yield node
    inside = [] if isinstance(node, FUNCTIONS) else ast.iter_child_nodes(node)
    for child in inside:
        yield from _here(child)


def _is_container(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2] in CONTAINERS
    return isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp
                      | ast.SetComp)  # fmt: skip


def _assigned(body: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    """Yields the names and values of assignments, those of tuples one by one."""
    for node in body:
        if isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            pairs = [(node.target, node.value)]
        elif isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        else:
            continue
        for target, value in pairs:
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs += zip(target.elts, value.elts, strict=False)
            elif isinstance(target, ast.Name):
                yield target.id, value


class _Module:
    """One module, and what its names stand for."""

    def __init__(self, tree: ast.Module, changing: set[str]) -> None:
        self.tree = tree
        self.changing = changing
        self.top = [*_here(tree)]
        self.changed = [*map(_path, _targets(tree, ast.walk))]
        self.classes = {n.name: n for n in self.top if isinstance(n, ast.ClassDef)}
        inner = {n for cls in self.classes.values() for part in cls.body for n in _here(part)}
        own = [node for node in self.top if node not in inner]
        self.functions = {n.name: n for n in own if isinstance(n, ast.FunctionDef)}
        self.held = dict(_assigned(own))
        self.aliases = {a.asname or a.name: a.name for n in ast.walk(tree)
                        if isinstance(n, ast.ImportFrom | ast.Import) for a in n.names}  # fmt: skip
        self.ours = {a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom)
                     if (n.module or "").startswith("runner") for a in n.names}  # fmt: skip

    def state(self) -> Iterator[str]:
        yield from self._caches()
        yield from self._defaults()
        for name, value in self.held.items():
            if self._changes_by_itself(value):
                yield name
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Global):
                yield from node.names
        yield from self._written(self.tree, {}, inside=False)
        for cls in self.classes.values():
            yield from self._memos(cls)

    def _meaning(self, node: ast.expr) -> str:
        """The last name of what an expression refers to, through aliases: "cache"."""
        name = ast.unparse(node).rpartition(".")[2]
        for _ in range(9):
            held = self.held.get(name)
            if isinstance(held, ast.Name | ast.Attribute):
                name = ast.unparse(held).rpartition(".")[2]
            name = self.aliases.get(name, name).rpartition(".")[2]
        return name

    def _changes_by_itself(self, value: ast.expr) -> bool:
        """Whether the object of an assignment changes, by its class."""
        if isinstance(value, ast.GeneratorExp):
            return True
        return isinstance(value, ast.Call) and self._meaning(value.func) in self.changing

    # Caches

    def _caches(self) -> Iterator[str]:
        """Yields functions whose cache may change or keep what it says, and caches made by call."""
        used: set[ast.AST] = set()
        for node in self.top:
            for decorator in getattr(node, "decorator_list", ()):
                used |= {*ast.walk(decorator)}
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                meaning = self._meaning(called)
                if meaning in CACHES - {"cached_property"} and not self._may_stay(node, decorator):
                    yield node.name
        for node in self.top:
            if not isinstance(node, ast.Call) or node in used:
                continue
            if self._meaning(node.func) in CACHES:
                names = [n for n, value in _assigned(self.top) if node in ast.walk(value)]
                yield from names or [ast.unparse(node)]

    def _may_stay(self, function: ast.FunctionDef, decorator: ast.expr) -> bool:
        arguments = [a for a in ast.walk(function.args) if isinstance(a, ast.arg)]
        plain = all(a.annotation is not None and _is_plain(a.annotation) for a in arguments)
        result = function.returns and ast.unparse(function.returns).partition("[")[0]
        fixed = result and result not in CONTAINERS | {"Any", "Mapping", "Sequence"}
        return bool(arguments and plain and fixed and self._is_bounded(decorator)
                    and not self._looks_up(function, set()))  # fmt: skip

    def _is_bounded(self, decorator: ast.expr) -> bool:
        if not isinstance(decorator, ast.Call):
            return False
        sizes = [*decorator.args[:1], *(k.value for k in decorator.keywords if k.arg == "maxsize")]
        sizes = [self.held.get(s.id, s) if isinstance(s, ast.Name) else s for s in sizes]
        return any(isinstance(s, ast.Constant) and type(s.value) is int for s in sizes)

    def _looks_up(self, function: ast.FunctionDef, seen: set[str]) -> bool:
        """Whether a function, or one of the module that it calls, looks at imported objects."""
        seen.add(function.name)
        for node in ast.walk(function):
            if isinstance(node, ast.Name | ast.Attribute) and self._meaning(node) in LOOKUPS:
                return True
            called = self.functions.get(node.id) if isinstance(node, ast.Name) else None
            if called and called.name not in seen and self._looks_up(called, seen):
                return True
        return False

    # Writes

    def _defaults(self) -> Iterator[str]:
        """Yields functions with a default argument that can change."""
        for node in ast.walk(self.tree):
            if isinstance(node, FUNCTIONS):
                defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)]
                if any(_is_container(d) or self._changes_by_itself(d) for d in defaults):
                    yield getattr(node, "name", "lambda")

    def _written(self, node: ast.AST, local: dict[str, str], *, inside: bool) -> Iterator[str]:
        """Yields the module's names that functions change; `local` maps the names of the functions
        around to those of the module that they stand for, "" for none."""
        if isinstance(node, FUNCTIONS):
            inside, local = True, {**local, **self._locals(node, local)}
        for target in _targets(node, lambda one: [one]):
            base, path = _path(target)
            base = local.get(base, base)
            if base == "globals()" or (inside and base in self.held and self._is_kept(base)):
                yield base
            elif base in self.functions or base in self.classes or (inside and base in self.ours):
                yield ".".join((base, *path))
        for child in ast.iter_child_nodes(node):
            yield from self._written(child, local, inside=inside)

    def _is_kept(self, name: str) -> bool:
        """Whether a name of the module stands for an object that was made there."""
        value: ast.expr = self.held[name]
        while isinstance(value, ast.Name) and value.id in self.held:
            value = self.held[value.id]
        return _is_container(value) or isinstance(value, ast.Call)

    def _locals(self, function: ast.AST, around: dict[str, str]) -> dict[str, str]:
        """The local names of a function, with the name of the module that each stands for."""
        names = {a.arg: "" for a in ast.walk(function.args) if isinstance(a, ast.arg)}
        names |= {n.id: "" for n in ast.walk(function)
                  if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}  # fmt: skip
        for name, value in _assigned(ast.walk(function)):
            base, path = _path(value)
            known = {**around, **names}.get(base, base)
            if known and (known in self.held or known in self.ours) and not path:
                names[name] = known
        return names

    def _memos(self, cls: ast.ClassDef) -> Iterator[str]:
        """Yields the containers in the body of a class that code changes through the class or its
        objects."""
        body = [n for n in _here(cls) if isinstance(n, ast.stmt)]
        shared = dict(_assigned(body))
        own = {n.attr for n in ast.walk(cls)
               if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
               and _path(n.value)[0] == "self"}  # fmt: skip
        for name, value in shared.items():
            if self._changes_by_itself(value):
                yield f"{cls.name}.{name}"
        containers = {name for name, value in shared.items() if _is_container(value)}
        for base, path in self.changed:
            if base in ("self", "cls", cls.name) and path and path[0] in containers - own:
                yield f"{cls.name}.{path[0]}"


def _is_plain(annotation: ast.expr) -> bool:
    """Whether an annotation is of values that never change and hold nothing else."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _is_plain(ast.parse(annotation.value, mode="eval").body)
    if isinstance(annotation, ast.BinOp):
        return _is_plain(annotation.left) and _is_plain(annotation.right)
    if isinstance(annotation, ast.Subscript):
        inner = annotation.slice
        items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        name = ast.unparse(annotation.value)
        return name in NESTS and (name == "Literal" or all(map(_is_plain_or_dots, items)))
    return ast.unparse(annotation) in PLAIN


def _is_plain_or_dots(annotation: ast.expr) -> bool:
    return ast.unparse(annotation) == "..." or _is_plain(annotation)
