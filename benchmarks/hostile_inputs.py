"""What `hostile.py` tries: attacks by a config, and overrides with a mistake.

Every payload makes a file named MARK, and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from omegaconf import OmegaConf

from runner import launch
from runner.config.compose import compose_config, keys
from runner.config.settings import conf_folder

MARK = "MARK"
EVIL = """\
\"\"\"A module of somebody else: its import, and all that it has, make the marker.\"\"\"

from pathlib import Path

Path("MARK").touch()


def mark(*args, **kwargs):
    Path("MARK").touch()


class Mark:
    def __init__(self, *args, **kwargs):
        mark()
"""
TOUCH = f"open('{MARK}', 'w')"


@final
@dataclass(frozen=True)
class Attempt:
    """One call of the program: its kind, its arguments, and files that lie in its folder."""

    kind: str
    arguments: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()


# Places of a config that hold a node: the arguments before it, and its override.
PLACES = {
    "engine": ((), "engine._target_={}"),
    "space": ((), "space._target_={}"),
    "space.model": (("space=mutate", "engine=base"), "space.model._target_={}"),
    "strategy": ((), "strategy._target_={}"),
    "strategy.sampler": ((), "strategy.sampler._target_={}"),
    "evaluator": ((), "evaluator._target_={}"),
    "evaluator.optimizer": ((), "evaluator.optimizer._target_={}"),
    "evaluator.schedule": ((), "evaluator.schedule._target_={}"),
    "evaluator.augment": ((), "evaluator.augment._target_={}"),
    "evaluator.fn": (("evaluator=function",), "evaluator.fn._target_={}"),
    "data": ((), "data._target_={}"),
    "data.train": (("data=dataset", "data.shape=[1]", "data.classes=2"), "data.train._target_={}"),
    "training": ((), "training._target_={}"),
    "task": ((), "task._target_={}"),
    "space.mutators": (("engine=base",), "space.mutators=[{{_target_: {}}}]"),
    "a candidate": (("engine=base",), "space.mutators=[{{on: x, insert: [{{_target_: {}}}]}}]"),
    "an argument": (("space=mlp",), "space.widths=[{{_target_: {}}}]"),
    "search": ((), "search={{evaluator.optimizer: [{{_target_: {}, _partial_: true}}]}}"),
    "search of data": ((), "search={{data.seed: [{{_target_: {}}}]}}"),
}
# Classes of each kind, and the places that they fit.
CLASSES = {
    "runner.engines.base.BaseEngine": ("engine",),
    "runner.strategies.random.Random": ("strategy",),
    "runner.evaluators.classification.Classification": ("evaluator",),
    "runner.evaluators.schedule.Cosine": ("evaluator.schedule",),
    "runner.data.augment.Augment": ("evaluator.augment",),
    "runner.data.digits.Digits": ("data",),
    "runner.training.inline.Inline": ("training",),
    "runner.tasks.describe.Describe": ("task",),
    "runner.mutators.width.Width": ("space.mutators",),
    "torch.nn.ReLU": ("space", "space.model", "a candidate"),
    "torch.optim.SGD": ("evaluator.optimizer", "search"),
    "torch.utils.data.TensorDataset": ("data.train",),
    "optuna.samplers.RandomSampler": ("strategy.sampler",),
}
NEVER = {
    "a function of Python": (
        "os.system",
        "builtins.eval",
        "builtins.exec",
        "builtins.open",
        "builtins.__import__",
        "subprocess.Popen",
        "subprocess.run",
        "shutil.copyfile",
        "pickle.loads",
        "os.mkdir",
        "pathlib.Path.touch",
        "pathlib.Path",
        "importlib.import_module",
        "code.interact",
        "runpy.run_path",
        "ctypes.CDLL",
        "functools.partial",
        "operator.methodcaller",
    ),
    "a function of a library": (
        "hydra.utils.call",
        "hydra.utils.get_class",
        "hydra.utils.instantiate",
        "torch.load",
        "torch.hub.load",
        "torch.jit.load",
        "torch.utils.cpp_extension.load",
        "numpy.load",
        "torch.package.PackageImporter",
        "torchvision.datasets.utils.download_url",
        "torch.nn.init.zeros_",
        "torch.nn.functional.relu",
        "torch.nn.utils.prune.identity",
        "torch.utils.data.random_split",
        "torch.optim.lr_scheduler.LambdaLR.step",
        "optuna.create_study",
        "joblib.load",
        "sklearn.datasets.load_files",
        "torch.utils.data.datapipes.iter.FileOpener",
        "torchvision.datasets.LSUN",
    ),
    "a method": (
        "runner.engines.base.BaseEngine.build",
        "runner.engines.py.PyEngine.build",
        "torch.nn.Module.load_state_dict",
        "torch.nn.Module.apply",
        "torch.nn.Module.eval",
        "torch.nn.Embedding.from_pretrained",
        "torch.optim.Optimizer.load_state_dict",
        "runner.training.local.Local.poll",
        "runner.tasks.search.Search.run",
        "torch.nn.ModuleDict.update",
        "optuna.samplers.BaseSampler.infer_relative_search_space",
        "runner.data.digits.Digits.search",
        "torch.utils.data.Dataset.__getitem__",
    ),
    "something of runner's own": (
        "runner.launch.run",
        "runner.store.Store",
        "runner.results.load",
        "runner.run",
        "runner.config.instantiate.build",
        "runner.graph.codegen.load.load_source",
        "runner.training.local.WorkerProcess",
        "runner.training.process.main",
        "runner.engines.engine.make",
        "runner.evaluators.seeds.seed_model",
        "runner.nn.refuse",
        "runner.nn.ValueChoice",
        "runner.worker.Worker",
    ),
    "a way through a module": (
        "torch.nn.modules.module.warnings.warn",
        "runner.training.local.subprocess.Popen",
        "runner.tasks.search.shutil.rmtree",
        "spaces.resnet.nn.Module.eval.x",
        "torch.optim.optimizer.torch.load",
        "runner.training.local.os.kill",
        "spaces.cell.nn.torch.load",
        "runner.data.digits.torch.load",
        "torch.nn.Module.__init__",
        "spaces.resnet.__builtins__",
        "torch.nn.Module.forward.__globals__",
    ),
    "code of somebody else": ("evil.mark", "evil.Mark", "evil"),
    "no path": ("5", "null", "''", "'a b'", "torch..nn", "torch.nn.", "[os.system]"),
}
PAYLOADS = {  # arguments that would make the marker, by the name of the target
    "os.system": {"command": f"touch {MARK}"},
    "builtins.eval": {"source": TOUCH},
    "builtins.open": {"file": MARK, "mode": "w"},
    "os.mkdir": {"path": MARK},
    "pathlib.Path.touch": {"self": MARK},
    "subprocess.run": {"args": ["touch", MARK]},
    "evil.mark": {},
    "evil.Mark": {},
    "runner.graph.codegen.load.load_source": {"text": TOUCH, "tensors": {}},
    "torch.utils.cpp_extension.load": {"name": MARK},
}
SOURCES = {  # how a `hydra` node reaches Hydra: arguments, and a file of a config folder
    "an experiment": (("--config-dir", "more", "experiment=x"), "more/experiment/x.yaml"),
    "a global option": (("--config-dir", "more", "space=x"), "more/space/x.yaml"),
    "an option of hydra": (("--config-dir", "more", "+hydra/env=x"), "more/hydra/env/x.yaml"),
}


def at_places() -> Iterator[Attempt]:
    """Every place of the config against every kind of wrong target."""
    for place, (before, override) in PLACES.items():
        for kind, paths in NEVER.items():
            for path in paths:
                more = [f"++{override.partition('._target_')[0]}.{key}={_text(value)}"
                        for key, value in PAYLOADS.get(path, {}).items()
                        if "._target_" in override]  # fmt: skip
                yield Attempt(kind, (*before, override.format(path), *more))
        for path, fits in CLASSES.items():
            if place not in fits:
                yield Attempt("a class of another kind", (*before, override.format(path)))


def _text(value: Any) -> str:
    """A value in Hydra's syntax."""
    if isinstance(value, str):
        return '"' + value.replace('"', '\\"') + '"'
    return f"[{', '.join(map(_text, value))}]" if isinstance(value, list) else str(value or "{}")


def by_hydra() -> Iterator[Attempt]:
    """Nodes of Hydra's own that would run code, from the command line and from files."""
    for path, arguments in PAYLOADS.items():
        inner = "".join(f", {key}: {_text(value)}" for key, value in arguments.items())
        for override in (
            f"+hydra.callbacks.a={{_target_: {path}{inner}}}",
            f"hydra.launcher._target_={path}",
            f"hydra.sweeper._target_={path}",
            f"+hydra.job_logging.handlers.x={{class: {path}}}",
        ):
            yield Attempt("hydra, from the command line", (override,))
        for body in _bodies(path, inner):
            for name, (given, file) in SOURCES.items():
                text = f"# @package _global_\nhydra:\n  {body}\n"
                yield Attempt(f"hydra, from {name}", given, ((file, text),))
    for line in ("hydra.searchpath=[pkg://evil]", "hydra.searchpath=[file://more,pkg://evil]"):
        yield Attempt("hydra, a search path", (line,))
    yield Attempt(
        "hydra, a search path", ("--config-dir", "more", "--config-name", "x"),
        (("more/x.yaml", "hydra: {searchpath: ['pkg://evil']}\ndefaults: [config]\n"),),
    )  # fmt: skip
    for name in ("PYTHONPATH", "LD_PRELOAD", "PYTHONSTARTUP", "PATH", "HOME"):
        yield Attempt("hydra, the environment", (f"+hydra.job.env_set.{name}=x",))
    for value in ("../x", "/tmp/x", ".."):
        yield Attempt("hydra, names of files", (f"hydra.output_subdir={value}",))
        yield Attempt("hydra, names of files", (f"hydra.job.name={value}",))
    yield Attempt("hydra, names of files", ("hydra.job_logging.handlers.file.filename=/tmp/x",))
    yield Attempt("hydra, a pickle", ("--experimental-rerun", "config.pickle"))
    yield Attempt("hydra, a pickle", ("--experimental-re=config.pickle",))


def _bodies(path: str, inner: str) -> Iterator[str]:
    """Nodes below `hydra` that would call a target."""
    node, factory = f"{{_target_: {path}{inner}}}", f"{{'()': {path}{inner}}}"
    harmless = "_target_: hydra.experimental.callbacks.LogJobReturnCallback"
    yield f"callbacks: {{a: {node}}}"
    yield f"callbacks: {{a: {{{harmless}, x: {node}}}}}"
    yield f"launcher: {node}"
    yield f"sweeper: {node}"
    for room in ("handlers", "formatters", "filters"):
        yield f"job_logging: {{{room}: {{x: {factory}}}}}"
    yield f"hydra_logging: {{handlers: {{x: {factory}}}}}"
    yield f"job_logging: {{handlers: {{x: {{class: {path}}}}}}}"
    stream = f"class: logging.StreamHandler, stream: 'ext://{path}'"
    yield f"job_logging: {{handlers: {{x: {{{stream}}}}}}}"


def by_trust() -> Iterator[Attempt]:
    """Files of a config that bring their own trust, and nodes that hide."""
    body = "# @package _global_\ntrust: [evil]\nspace: {_target_: evil.Mark}\n"
    for name, (given, file) in SOURCES.items():
        yield Attempt(f"trust, from {name}", given, ((file, body),))
    forged = "# @package _global_\ntrust: [evil]\nhydra: {overrides: {task: ['trust=[evil]']}}\n"
    yield Attempt("trust, forged", SOURCES["an experiment"][0],
                  (("more/experiment/x.yaml", forged),))  # fmt: skip
    yield Attempt("hidden", ("space._target_=torch.nn.ParameterDict",
                             "space.parameters=[[_target_, os.getcwd]]"))  # fmt: skip
    for key in ("_args_", "_recursive_", "_convert_"):
        yield Attempt("hidden", (f"+evaluator.optimizer.{key}=[1]",))
    timm = ("engine=base", "space=mutate", "space.model._target_=timm.create_model")
    yield Attempt("a model's file", (*timm, "space.model.checkpoint_path=x.pth"))
    for name in ("hf-hub:evil/model", "local-dir:more"):
        yield Attempt("a model's file", (*timm, f"space.model.model_name='{name}'"))
    yield Attempt("source", ("task._target_=runner.engines.base.BaseEngine.build",
                             f'task.recipe={{source: "{TOUCH}", constants: null}}'))  # fmt: skip


def attempts() -> list[Attempt]:
    """All attacks."""
    return [*at_places(), *by_hydra(), *by_trust()]


def mistakes() -> list[Attempt]:
    """Overrides with a mistake: misspelt keys, values of wrong types, and others."""
    launch.register_resolvers()
    found = []
    options = sorted(p for p in conf_folder().glob("*/*.yaml") if p.parent.name != "experiment")
    for path in options:
        group, choice = path.parent.name, path.stem
        config: Any = OmegaConf.to_container(compose_config([f"{group}={choice}"]))
        for key in keys(config[group], group):
            name = key.rpartition(".")[2]
            if key == group or name.startswith("_"):
                continue
            wrong = f"{name}_" if len(name) < 4 else name[:1] + name[2:]
            near = f"{key.removesuffix(name)}{wrong}=1"
            with_it = (f"{group}={choice}", *(["space=mlp"] if choice == "diabetes" else []))
            found.append(Attempt("a misspelt key", (*with_it, near)))
            if name not in ("mutators", "input") and not isinstance(_at(config, key), dict):
                given = f"{key}={{a: [1]}}"
                found.append(Attempt("a wrong type", (*with_it, given)))
    found += [Attempt("a missing option", (f"{p.parent.name}={p.stem}x",)) for p in options]
    return [*found, *(Attempt("others", tuple(line)) for line in OTHERS)]


def _at(config: Any, key: str) -> Any:
    for part in key.split("."):
        config = config[part]
    return config


OTHERS = [
    ["budget={trails: 3}"], ["evaluator.augment={mixup: 0.2}"], ["budget=5"], ["budget=null"],
    ["search={evaluator.lr: [1, 2]}", "search={evaluator.epochs: [1, 2]}"], ["search=5"],
    ["search={evaluator: [1, 2]}"], ["search={evaluator.lr: []}"], ["search={nope.x: [1, 2]}"],
    ["search={evaluator.lr: {low: 1, high: 0}}"], ["search={evaluator.lr: {lo: 1, high: 2}}"],
    ["resume=5"], ["resume=[a]"], ["resume={a: b}"], ["resume=nowhere"], ["hydra.run.dir=null"],
    ["hydra.run.dir=[a]"], ["space.mutators={}"], ["trust={a: b}"], ["trust=5"], ["trust=[5]"],
    ['trust=[""]'], ["trust=['a b']"], ["task._target_=torch.nn.ReLU"], ["seed=-1"], ["seed=1.5"],
    ["training.threads=100000", "training=inline"], ["training.workers=100000"],
    ["training.workers=0"], ["training.trial_timeout=nan"], ["training.stall_timeout=-1"],
    ["strategy.sampler.n_startup_trials=-1"], ["space=mlp", "space.widths=[0]"],
    ["space=mlp", "space.depths=[-1]"], ["space=mlp", "space.widths=[]"], ["budget.minutes=nan"],
    ["objective.metric=val/accurcy"], ["objective.mode=most"], ["evaluator.lr=-1"],
    ["evaluator.optimizer.weight_decay=-1"], ["evaluator.optimizer._target_=torch.optim.LBFGS"],
    ["evaluator.optimizer._target_=torch.optim.Adamm"], ["evaluator=regression"],
    ["data=diabetes", "space=mlp"], ["data.classes=5"], ["data.validation=0.0001"],
    ["space=mlp", "space.classes=3"], ["engine=base", "space.mutators=[{on: x, depht: [1]}]"],
    ["+nope=1"], ["~budget"], ["~evaluator.lr"], ["seed=[1"], ["seed"], ["data.shape=[1,8]"],
    ["export.top=-1"], ["export.keep_weights=1", "export.top=3"], ["dedup=5"], ["budget.trials=0"],
]  # fmt: skip


def write(files: tuple[tuple[str, str], ...], folder: Path) -> None:
    """Writes the files of an attempt into a folder."""
    for name, text in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
