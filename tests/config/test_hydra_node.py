"""The `hydra` node: what names code is Hydra's own, an installed plugin's, or trusted."""

import sys
from types import ModuleType

import pytest
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf

from runner.config.compose import compose_config
from runner.config.hydra_guard import guarded
from runner.config.hydra_node import check_hydra_node
from runner.errors import ConfigError

REFUSED = [
    ("callbacks: {a: {_target_: os.system, command: x}}", "callbacks.a._target_ 'os.system' is"),
    ("callbacks: {a: {_target_: hydra.utils.call}}", "'hydra.utils.call' is not on the allowlist"),
    ("callbacks: {a: {_target_: hydra.experimental.callbacks.Path}}", "is not a hydra.exp"),
    ("callbacks: {a: {_target_: torch.nn.ReLU}}", "is not a hydra.experimental.Callback"),
    ("callbacks: {a: 5}", "hydra.callbacks.a is 5; it must have a _target_"),
    ("callbacks: {a: {x: 1}}", "it must have a _target_"),
    ("callbacks: {a: {_target_: '${job.name}'}}", "an interpolation may not stand there"),
    ("callbacks: ${hydra.job.config}", "hydra.callbacks refers to another node"),
    ("callbacks: {a: '${hydra.job.config}'}", "hydra.callbacks.a refers to another node"),
    ("callbacks: {a: {_target_: hydra.experimental.callbacks.LogJobReturnCallback, "
     "x: {_target_: os.system}}}", "hydra.callbacks.a.x._target_ 'os.system' is not"),
    ("callbacks: {a: {_target_: hydra.experimental.callbacks.LogJobReturnCallback, "
     "x: [[{_target_: os.system}]]}}", "hydra.callbacks.a.x[0][0]._target_ 'os.system' is not"),
    ("launcher: {_target_: os.system}", "hydra.launcher._target_ 'os.system' is not"),
    ("launcher: {_target_: hydra.utils.call}", "is not on the allowlist"),
    ("job: {x: {_target_: os.system}}", "hydra.job.x._target_ 'os.system' is not on"),
    ("sweeper: {_target_: os.system}", "hydra.sweeper._target_ 'os.system' is not"),
    ("sweeper: {custom_search_space: evil.space}", "custom_search_space calls evil.space"),
    ("job_logging: {handlers: {x: {'()': os.system, command: x}}}", "is 'os.system', which is no"),
    ("job_logging: {handlers: {x: {class: os.system}}}", "hydra.job_logging.handlers.x.class is"),
    ("job_logging: {formatters: {x: {'()': evil.f}}}", "add trust=[mine,evil]"),
    ("job_logging: {filters: {x: {'()': evil.f}}}", "hydra.job_logging.filters.x.() is 'evil.f'"),
    ("job_logging: {handlers: {x: {class: logging.handlers.QueueHandler, queue: evil.f}}}", "none"),
    ("job_logging: {handlers: {x: {class: rich.logging.RichHandler, console: 'ext://os.system'}}}",
     "it may be ext://sys.stdout or ext://sys.stderr"),
    ("job_logging: {handlers: {x: {class: logging.StreamHandler, stream: 'cfg://a'}}}", "it may"),
    ("job_logging: {handlers: {x: {class: '${hydra.job.name}'}}}", "may not stand there"),
    ("job_logging: {handlers: {x: {class: logging.FileHandler, filename: /x}}}", "log files lie"),
    ("job_logging: {handlers: {x: {class: logging.FileHandler, filename: "
     "'${hydra.runtime.output_dir}/../x'}}}", "log files lie in the folder of the run"),
    ("hydra_logging: {handlers: {x: {'()': evil.f}}}", "hydra.hydra_logging.handlers.x.() is"),
    ("job_logging: ${hydra.job.config}", "hydra.job_logging refers to another node"),
    ("job: {env_set: {PYTHONPATH: x}}", "hydra.job.env_set.PYTHONPATH could change which code"),
    ("job: {env_set: {LD_PRELOAD: x}}", "could change which code runs; set it in the shell"),
    ("job: {name: ../x}", "hydra.job.name is '../x'; it must be the name of a file"),
    ("job: {chdir: true}", "hydra.job.chdir is true"),
    ("job: {name: '${hydra:job.num}'}", "hydra.job.name is '${hydra:job.num}'"),
    ("job: {env_set: {NCCL_NET_PLUGIN: x}}", "could change which code runs"),
    ("verbose: {a: b}", "hydra.verbose is {'a': 'b'}"),
    ("job_logging: {handlers: {x: '${zz.${hydra:job.name}}'}}", "may not stand there"),
    ("callbacks: '${zz.${hydra:job.name}}'", "interpolation may not stand there"),
    ("launcher: '${zz}'", "interpolation may not stand there"),
    ("job_logging: {handlers: {f: {filename: '${hydra.runtime.output_dir}/x.py'}}}", "log files"),
    ("job_logging: {handlers: {f: {filename: '${hydra.runtime.output_dir}/${z}.log'}}}", "stand"),
    ("job_logging: {handlers: {file: {mode: w}}}", "a log is only appended to"),
    ("output_subdir: ../x", "hydra.output_subdir is '../x'"),
    ("output_subdir: ..", "hydra.output_subdir is '..'"),
    ("output_subdir: '${oc.select:hydra.job.num,a}'", "it must be the name of a file"),
    ("job: {name: '${oc.select:hydra.job.num,..}'}", "hydra.job.name is '..'"),
    ("job_logging: {handlers: {file: {'.': {baseFilename: /x}}}}", "file['.'] may not be set"),
    ("job_logging: {handlers: {file: {x: '${hydra.sweep.dir}'}}}", "may not stand there"),
    ("runtime: {output_dir: /x}", "hydra.runtime.output_dir is '/x'; it is set by Hydra"),
    ("job: {nme: x}", "hydra.job.nme may not be set. Did you mean 'name'"),
    ("nope: 1", "hydra.nope may not be set. hydra has mode, searchpath, run, sweep, help, "),
    ("env: {x: {_target_: os.system}}", "hydra.env.x is {'_target_': 'os.system'}; it must be a"),
    ("run: {dir: null}", "hydra.run.dir is null; it must be a folder, such as outputs/first"),
    ("sweep: {subdir: ''}", "hydra.sweep.subdir is ''; it must be a folder"),
    ("run: 5", "hydra.run is 5; it must be a mapping of keys to values"),
    ("job: {env_copy: [1]}", "hydra.job.env_copy is [1]; it must be a list of texts"),
    ("job: {num: -1}", "hydra.job.num is -1; it must be a whole number from 0"),
    ("job: {id: a b}", "hydra.job.id is 'a b'; it must be a name"),
    ("help: {template: 5}", "hydra.help.template is 5; it must be a text"),
    ("verbose: '${seed}'", "hydra.verbose is '${seed}'; it must be true or loggers"),
    ("launcher: null", "hydra.launcher is null; it must be a mapping"),
    ("launcher: {setup: [touch MARK]}", "hydra.launcher.setup is ['touch MARK']; a file may set"),
    ("launcher: {setup: [mark]}", "give it as an override: hydra.launcher.setup=..."),
    ("launcher: {more: {wrap: touch MARK}}", "hydra.launcher.more.wrap is 'touch MARK'; a file"),
    ("launcher: {more: [[mark]]}", "hydra.launcher.more is [['mark']]; a file may set"),
    ("launcher: {name: '${hydra.job.name}'}", "hydra.launcher.name is '${hydra.job.name}'; an int"),
    ("sweeper: {storage: 'sqlite:///x'}", "hydra.sweeper.storage is 'sqlite:///x'; a file may"),
    ("sweeper: {max_batch_size: 0}", "hydra.sweeper.max_batch_size is 0; it must be a whole"),
]  # fmt: skip
PASSES = [
    "callbacks: {a: {_target_: hydra.experimental.callbacks.LogJobReturnCallback}}",
    "callbacks: {a: {_target_: mine.Mine}}", "callbacks: {a: null}",
    "job_logging: {handlers: {x: {class: mine.handler}}}", "output_subdir: null",
    "job_logging: {handlers: {x: {class: logging.StreamHandler, stream: 'ext://sys.stderr'}}}",
    "job_logging: {formatters: {x: {'()': colorlog.ColoredFormatter, format: '%(message)s'}}}",
    "job: {env_set: {OMP_NUM_THREADS: '2', CUDA_VISIBLE_DEVICES: '0'}}", "job: {chdir: false}",
    "sweeper: {sampler: {_target_: optuna.samplers.TPESampler, seed: 1}}",
    "sweeper: {custom_search_space: mine.space}", "sweeper: {params: {seed: '1,2'}}",
    "sweeper: {max_batch_size: 3, direction: maximize, n_trials: 20}", "job: {id: a-1, num: 3}",
    "launcher: {n_jobs: 2, partition: gpu, nodes: [1, 2], more: {mem: 8, fast: true}}",
    "launcher: {_target_: mine.Mine, setup: [any text]}", "env: {machine: cluster}",
    "run: {dir: 'runs/${seed}/${now:%H}'}", "sweep: {dir: x, subdir: '${hydra.job.num}/a'}",
    "job: {name: 'run-${seed}'}", "job: {config: {override_dirname: {item_sep: /}}}",
    "verbose: [hydra, runner]", "verbose: runner", "help: {footer: '${hydra.job.name} $X'}",
    "job: {env_copy: [HOME]}", "mode: null", "searchpath: ['file://x']",
]  # fmt: skip


@pytest.fixture
def node(monkeypatch):
    """Hydra's node of the default config, to be changed; and a module that is trusted."""
    from hydra import compose, initialize_config_dir

    from runner.config.settings import conf_folder
    from runner.launch import register_resolvers

    class Mine(Callback):
        __module__ = "mine"

    module = ModuleType("mine")
    module.Mine = Mine
    monkeypatch.setitem(sys.modules, "mine", module)
    register_resolvers()
    with guarded(), initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("config", return_hydra_config=True)
    OmegaConf.set_struct(config, False)
    return config


def changed(config, text):
    plain = OmegaConf.to_container(config)
    return OmegaConf.merge(plain, {"hydra": OmegaConf.create(text)}).hydra


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_what_would_run_code_is_refused_at_its_place(node, text, why):
    with pytest.raises(ConfigError) as error:
        check_hydra_node(changed(node, text), ["mine"])
    assert why in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", PASSES)
def test_hydras_own_and_what_is_trusted_passes(node, text):
    check_hydra_node(changed(node, text), ["mine"])


def test_the_command_line_may_set_what_a_file_may_not(node):
    text = "launcher: {setup: [a b], more: {wrap: a b, size: 1}}"
    given = ["hydra.launcher.setup=[a b]", "+hydra.launcher={more: {wrap: a b}}"]
    check_hydra_node(changed(node, text), [], given)
    check_hydra_node(changed(node, text), [], ["++hydra.launcher.setup=[a]", *given[1:]])
    for wrong, key in ((given[:1], "more.wrap"), (given[1:], "setup"), (["seed=1"], "setup")):
        with pytest.raises(ConfigError, match=rf"hydra\.launcher\.{key} is "):
            check_hydra_node(changed(node, text), [], wrong)


def test_the_arguments_that_a_plugin_is_packaged_with_pass(node, monkeypatch):
    packaged = {"_target_": "hydra_plugins.x.X", "folder": "${hydra.sweep.dir}/.x/%j", "more": None}
    monkeypatch.setitem(ConfigStore.instance().repo["hydra"]["launcher"], "x.yaml",
                        ConfigNode("x", OmegaConf.create(packaged), None, None, "x"))  # fmt: skip
    chosen = OmegaConf.create({"runtime": {"choices": {"hydra/launcher": "x"}}})
    given = changed(node, "{}")
    del given.launcher
    check_hydra_node(OmegaConf.merge(given, {"launcher": packaged}, chosen), [])
    other = {"launcher": {**packaged, "folder": "/x"}}
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.folder is '/x'"):
        check_hydra_node(OmegaConf.merge(given, other, chosen), [])


def test_the_name_of_a_job_does_not_change_after_the_check(node):
    config = changed(node, "job: {name: 'run-${oc.select:hydra.job.num,a}'}")
    check_hydra_node(config, [])
    config.job.num = 3
    assert config.job.name == "run-a"


def test_a_variable_that_is_copied_from_the_shell_passes(node, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "here")
    check_hydra_node(changed(node, "job: {env_set: {PYTHONPATH: here}}"), [])


def test_the_default_config_passes(node):
    check_hydra_node(node.hydra, [])
    assert compose_config([]).seed == 0
