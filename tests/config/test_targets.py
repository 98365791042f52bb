"""The allowlist: what a `_target_` may name, and how anything else is refused."""

import functools
import importlib
import re
import secrets

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from runner.config.allowlist import ALLOWED, BUILDERS, below, check_allowed, check_targets
from runner.config.instantiate import build
from runner.config.targets import check_builder, locate
from runner.errors import ConfigError

REFUSED = [
    "os.system", "builtins.open", "builtins.eval", "builtins.exec", "builtins.__import__",
    "builtins.getattr", "pathlib.Path.unlink", "pathlib.Path", "shutil.copyfile", "shutil.rmtree",
    "pickle.loads", "subprocess.Popen", "subprocess.run", "importlib.import_module",
    "hydra.utils.get_class", "hydra.utils.call", "functools.partial", "operator.attrgetter",
    "torch.load", "torch.save", "torch.hub.load", "torch.hub.load_state_dict_from_url",
    "torch.jit.load", "torch.package.PackageImporter", "torch.utils.cpp_extension.load",
    "torch.serialization.load", "torch.optimal.Thing", "torch.nnx.Thing", "numpy.load",
    "torchvision.datasets.utils.download_url", "torchvision.io.read_file",
    "torch.utils.data.datapipes.iter.FileOpener", "timm.models.load_checkpoint",
    "runner.launch.run", "runner.store.Store", "runner.results.load",
    "runner.config.instantiate.build", "optuna.create_study", "torch", "runner", "os",
]  # fmt: skip
AROUND = [  # through modules that are allowed, to what is not
    "torch.nn.modules.module.warnings.warn", "torch.nn.modules.module.functools.partial",
    "runner.training.local.subprocess.Popen", "runner.training.local.os.kill",
    "runner.tasks.search.shutil.rmtree", "runner.tasks.search.write_model",
    "runner.tasks.search.Store", "runner.data.digits.torch.load", "spaces.resnet.nn.Module.eval.x",
    "spaces.resnet.torch.load", "spaces.cell.nn.torch.load", "torch.optim.optimizer.torch.load",
    "torch.utils.data.dataset.torch.hub.load", "optuna.samplers.importlib.import_module",
    "optuna.samplers.nsgaii.os.system",
]  # fmt: skip
PRIVATE = [
    "torch.nn.Module.__init__", "torch.nn.Linear.__class__", "torch.nn.Module.__subclasses__",
    "torch.nn.Module.forward.__globals__", "spaces.resnet.__builtins__", "spaces._hidden.Net",
    "torch.nn._reduction.get_enum", "torch.nn.modules.module._addindent", "runner.nn.__dict__.get",
]  # fmt: skip
WORDS = ["torch", "nn", "os", "system", "runner", "training", "local", "subprocess", "spaces",
         "resnet", "optuna", "samplers", "builtins", "eval", "sys", "modules", "data", "load",
         "Linear", "timm", "create_model", "torchvision", "datasets", "utils"]  # fmt: skip
NO_PATH = [5, None, "", "a b", "os.system()", "torch.nn..Linear", ".torch.nn", "torch.nn.", "a-b",
           ["os.system"], {"x": 1}, "torch.nn.Linear\n", "torch/nn/Linear"]  # fmt: skip


@pytest.mark.parametrize("path", REFUSED + PRIVATE)
def test_a_target_outside_the_list_is_refused_before_anything_is_imported(path, monkeypatch):
    monkeypatch.setattr(importlib, "import_module", lambda name: pytest.fail(f"imported {name}"))
    for config in (
        {"space": {"_target_": path}},
        {"space": {"deep": [1, {"er": {"_target_": path}}]}},
        {"search": {"evaluator.optimizer": [{"_target_": "torch.optim.SGD"}, {"_target_": path}]}},
    ):
        with pytest.raises(ConfigError, match="is not on the allowlist of a config"):
            check_targets(config, [])
    special = any(part.startswith("__") for part in path.split("."))
    remedy = "is a name of Python's own. Name a class" if special else r"add trust=\["
    with pytest.raises(ConfigError, match=f"not on the allowlist.*{remedy}"):
        locate(path)
    with pytest.raises(ConfigError, match="not on the allowlist"):
        build({"_target_": path})


@pytest.mark.parametrize("path", AROUND)
def test_a_way_around_the_list_is_refused_before_anything_is_called(path):
    with pytest.raises(ConfigError, match=r"not on the allowlist|has no attribute|is not a class"):
        build({"_target_": path, "command": "touch /tmp/owned"})


@pytest.mark.parametrize("path", NO_PATH)
def test_a_target_must_be_an_import_path(path):
    with pytest.raises(ConfigError, match=r"a\.b\._target_ is .*; it must be an import path"):
        check_targets({"a": {"b": {"_target_": path}}}, ["os"])


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("mypkg.nets.Net", "trust=[other,mypkg]"),  # a user's package, as a whole
        ("hydra.utils.get_class", "trust=[other,hydra]"),
        ("os.system", "trust=[other,os.system]"),  # of anything else only the one name
        ("torch.load", "trust=[other,torch.load]"),
        ("runner.launch.run", "trust=[other,runner.launch.run]"),
    ],
)
def test_a_refusal_says_where_and_how_to_allow_it(path, advice):
    with pytest.raises(ConfigError) as error:
        check_targets({"data": [{"train": {"_target_": path}}]}, ["other"])
    assert str(error.value).startswith(f"data[0].train._target_ {path!r} is not on the allowlist")
    assert str(error.value).endswith(f"add {advice}.")


def test_a_trusted_package_covers_what_is_below_it_and_nothing_beside_it():
    check_allowed("mypkg.a.Net", ["mypkg"], "space")
    check_allowed("mypkg._a.Net", ["mypkg"], "space")
    for path in ("mypkg2.Net", "my.pkg.Net", "mypkg.__builtins__.eval"):
        with pytest.raises(ConfigError, match="not on the allowlist"):
            check_allowed(path, ["mypkg"], "space")


def test_an_exact_name_can_be_trusted_alone():
    assert locate("torch.hub.list", ("torch.hub.list",)) is torch.hub.list
    with pytest.raises(ConfigError, match="not on the allowlist"):
        locate("torch.hub.load", ("torch.hub.list",))


REEXPORTS = """
import functools
import operator
from subprocess import Popen
from torch.nn import Linear, ReLU
from torch.nn.functional import relu
from {elsewhere} import Other
from {own}._impl import Net

model = Net.__new__(Net)
number = 5
part = functools.partial(Net, width=3)
part_of_layer = functools.partial(Linear, 4)
part_of_part = functools.partial(part, depth=1)
part_of_other = functools.partial(Other, 3)
part_of_process = functools.partial(Popen, ["true"])
getter = operator.itemgetter(1)

class Maker:
    def __call__(self): ...
    @staticmethod
    def static(): ...
    class Inner(Net): ...

maker = Maker()
static = staticmethod(lambda: Net())
"""
IMPL = "from torch import nn\nclass {}(nn.Module):\n    def __init__(self, width=1, depth=1): ...\n"


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A package that re-exports what others define, and one of those; their names."""
    own, elsewhere = (f"{kind}_{secrets.token_hex(4)}" for kind in ("own", "elsewhere"))
    (tmp_path / own).mkdir()
    (tmp_path / own / "__init__.py").write_text(REEXPORTS.format(own=own, elsewhere=elsewhere))
    (tmp_path / own / "_impl.py").write_text(
        IMPL.format("Net").replace("...", "super().__init__()")
    )
    (tmp_path / f"{elsewhere}.py").write_text(IMPL.format("Other"))
    monkeypatch.syspath_prepend(tmp_path)
    return own, elsewhere


WORKS = ["Net", "ReLU", "Linear", "part", "part_of_part", "part_of_layer", "Maker.Inner", "maker",
         "static"]  # fmt: skip
WHAT_ELSE = {  # what is wrong, and what must be trusted in addition, if that would help
    "Other": ("leads to ELSEWHERE.Other, which is not", "ELSEWHERE"),
    "part_of_other": ("leads to a partial of ELSEWHERE.Other, which is not", "ELSEWHERE"),
    "Popen": ("leads to subprocess.Popen, which is not", "OWN.Popen"),
    "part_of_process": ("leads to a partial of subprocess.Popen", "OWN.part_of_process"),
    "getter": ("leads to operator.itemgetter, which is not", "OWN.getter"),
    "relu": ("which has no such function of torch.nn.functional", "OWN.relu"),
    "functools.partial": ("leads to functools.partial, which is not", "OWN.functools.partial"),
    "model": ("but an object of OWN._impl.Net; name a class, or a function that returns a new", ""),
    "number": ("is not a class or a function, but an object of builtins.int", ""),
    "functools": ("is not a class or a function, but a module", ""),
    "Maker.static": ("is a method; it must be a class, or a function of a module", ""),
    "Maker.__call__": ("'__call__' is a name of Python's own", ""),
}


@pytest.mark.parametrize("name", WORKS)
def test_what_a_trusted_package_defines_or_takes_from_an_allowed_one_works(name, packages):
    assert callable(locate(f"{packages[0]}.{name}", packages[:1]))


@pytest.mark.parametrize("name", WHAT_ELSE)
def test_the_advice_on_what_a_trusted_package_takes_from_elsewhere_works(name, packages):
    own, elsewhere = packages
    wrong, more = (
        text.replace("OWN", own).replace("ELSEWHERE", elsewhere) for text in WHAT_ELSE[name]
    )
    path = f"{own}.{name}"
    with pytest.raises(ConfigError, match=re.escape(wrong)) as error:
        locate(path, [own])
    if more:
        assert str(error.value).endswith(f"If you trust it, add trust=[{own},{more}].")
        assert callable(locate(path, [own, more]))
    else:
        assert "trust" not in str(error.value)


def test_a_partial_of_an_allowed_package_is_not_taken_for_its_class(monkeypatch):
    monkeypatch.setattr(torch.nn, "part", functools.partial(torch.nn.Linear, 4), raising=False)
    with pytest.raises(ConfigError, match=r"not on the allowlist.*add trust=\[torch\.nn\.part\]"):
        locate("torch.nn.part")


@pytest.mark.parametrize("wrap", [functools.cache, functools.lru_cache(maxsize=2)])
def test_a_cached_function_is_called_anew_each_time(wrap, tmp_path, monkeypatch):
    (tmp_path / f"caching{wrap.__name__}.py").write_text(
        "import functools\n"
        "make = functools.lru_cache(maxsize=None)(lambda shape=0: [shape])\n"
        "part = functools.partial(make, shape=3)\n"
        "@functools.cache\nclass Net: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = f"caching{wrap.__name__}"
    for target in ("make", "part", "Net"):
        node = {"_target_": f"{name}.{target}"}
        assert build(node, [name]) is not build(node, [name])
    assert build({"_target_": f"{name}.make", "shape": [1, 8]}, [name]) == [[1, 8]]


def test_a_trusted_package_is_no_way_to_what_it_imports():
    with pytest.raises(
        ConfigError, match=r"leads to subprocess\.Popen, which is not on the allowlist"
    ):
        locate("toy.subprocess.Popen", ("toy",))
    with pytest.raises(ConfigError, match="not on the allowlist"):
        locate("toy.os.system", ("toy",))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("torch.nn.Linaer", "has no attribute 'Linaer'. Did you mean 'Linear'"),
        ("spaces.resnett.ResNet", "has no attribute 'resnett'"),
        ("spaces.resnet", "is not a class or a function"),
        ("torch.nn.Module.dump_patches", "is not a class or a function"),
        ("nopkg.Net", "there is no module 'nopkg'. Is it installed"),
    ],
)
def test_a_target_that_is_not_there_is_named(path, text):
    with pytest.raises(ConfigError, match=text):
        locate(path, ("nopkg",))


IMPORTS = {
    "a missing module": ("x = 1\nimport not_installed_at_all.sub\n", 2,
                         "needs the module 'not_installed_at_all', which is not installed"),
    "a name that is not there": ("from torch import not_there_at_all\n", 1, "ImportError: cannot"),
    "a syntax error": ("x = 1\n\ndef f(:\n", 3, "SyntaxError: invalid syntax"),
    "a tab": ("def f():\n\tx = 1\n        y = 2\n", 3, "TabError: inconsistent use"),
    "an exception": ("raise ValueError('at\\nimport')\n", 1, "ValueError: at import"),
    "one in a function": ("def f():\n    {}['k']\nf()\n", 2, "KeyError: 'k'"),
    "one in a library": ("import json\njson.loads('{')\n", 2, "JSONDecodeError: Expecting"),
    "an exit": ("import sys\nsys.exit('bye')\n", 2, "SystemExit: bye"),
    "another way to end": ("class End(BaseException): ...\nraise End\n", 2, "End"),
    "an own message": ("raise ModuleNotFoundError('by hand')\n", 1, "ModuleNotFoundError: by hand"),
    "a recursion": ("def f(): f()\nf()\n", 1, "RecursionError: maximum recursion depth"),
}  # fmt: skip


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("name", IMPORTS)
def test_a_module_that_cannot_be_imported_says_why_and_where(name, depth, tmp_path, monkeypatch):
    source, line, why = IMPORTS[name]
    module = f"fails_{[*IMPORTS].index(name)}_{depth}"
    (tmp_path / f"{module}.py").write_text(source)
    (tmp_path / f"outer_{module}.py").write_text(f"import {module}\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = f"{'outer_' * depth}{module}"
    with pytest.raises(ConfigError) as error:
        locate(f"{path}.Net", (path,), "space")
    text = str(error.value)
    assert text.startswith(f"space._target_ '{path}.Net': importing {path} ")
    assert why in text and f" ({tmp_path / module}.py:{line}). HYDRA_FULL" in text
    assert "\n" not in text


def test_a_name_with_two_underscores_inside_is_no_name_of_pythons_own(tmp_path, monkeypatch):
    (tmp_path / "oddly_named.py").write_text("def a__b(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert locate("oddly_named.a__b", ["oddly_named"]).__name__ == "a__b"
    for path in ("oddly_named.__dict__", "oddly_named.a__b.__globals__.x"):
        with pytest.raises(ConfigError, match=r"a name of Python's own\. Name a class, or a func"):
            locate(path, ["oddly_named", path])


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6))
def test_no_path_imports_or_gives_anything_outside_the_list(parts):
    path, seen = ".".join(parts), []
    original = importlib.import_module

    def record(name):
        seen.append(name)
        return original(name)

    importlib.import_module = record
    try:
        found = locate(path)
    except ConfigError:
        found = None
    finally:
        importlib.import_module = original
    heads = [head for allowed in (*ALLOWED, *BUILDERS) for head in _heads(allowed)]
    assert all(below(name, (*ALLOWED, *BUILDERS)) or name in heads for name in seen)
    assert found is None or below(found.__module__, (*ALLOWED, "timm"))


def _heads(path):
    parts = path.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def test_a_function_comes_before_the_module_of_its_name(tmp_path, monkeypatch):
    package = tmp_path / "twice_named"
    package.mkdir()
    (package / "__init__.py").write_text("from twice_named.net import net\nside = 3\n")
    (package / "net.py").write_text("def net(): ...\ndef other(): ...\n")
    (package / "side.py").write_text("def other(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    net = locate("twice_named.net", ["twice_named"])
    assert net.__name__ == "net" and net.__module__ == "twice_named.net"
    assert locate("twice_named.net.other", ["twice_named"]).__name__ == "other"
    assert locate("twice_named.side.other", ["twice_named"]).__name__ == "other"
    with pytest.raises(ConfigError, match="is not a class or a function"):
        locate("twice_named.side", ["twice_named"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"checkpoint_path": "x.pth"}, "checkpoint_path reads a file"),
        ({"pretrained_cfg": {"file": "x"}}, "pretrained_cfg reads a file"),
        ({"cache_dir": "x"}, "cache_dir reads a file"),
        ({"model_name": "hf-hub:a/b"}, "reads a model from elsewhere"),
        ({"model_name": "local-dir:a"}, "reads a model from elsewhere"),
        ({"_partial_": True}, "builds a model at once here"),
    ],
)
def test_a_builder_reads_no_files(arguments, why):
    node = {"model_name": "resnet18", **arguments}
    with pytest.raises(ConfigError, match=why):
        check_builder("timm.create_model", node, [], "space.model")
    check_builder("timm.create_model", node, ["timm"], "space.model")
    check_builder("timm.create_model", {"model_name": "resnet18"}, [], "space.model")
