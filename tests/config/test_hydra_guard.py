"""What a config says to Hydra itself is checked before Hydra acts on it."""

from pathlib import Path

import pytest
from command_line import assert_refused, assert_starts, attempt
from hydra._internal import hydra as hydras
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import OmegaConf

from runner import launch
from runner.config.hydra_guard import GuardedConfigLoader, given_trust, guarded
from runner.config.settings import conf_folder
from runner.errors import ConfigError
from runner.masking import masker

EVIL = "from pathlib import Path\nPath(__file__).with_name('MARK').touch()\n"


@pytest.fixture
def more(tmp_path: Path, monkeypatch) -> Path:
    """A folder of somebody else's options, beside a module that tells when it is imported."""
    (tmp_path / "evil.py").write_text(EVIL)
    (tmp_path / "evil_package").mkdir()
    (tmp_path / "evil_package" / "__init__.py").write_text(EVIL)
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    launch.register_resolvers()
    return tmp_path / "more"


def compose(more: Path, *overrides: str, name: str = "config", mode: RunMode = RunMode.RUN):
    return loader_of(more).load_configuration(name, [*overrides], mode)


def loader_of(more: Path) -> GuardedConfigLoader:
    path = create_config_search_path(str(conf_folder()))
    path.prepend("test", f"file://{more}", SearchPathQuery(provider="schema"))
    return GuardedConfigLoader(path)


def refused(more: Path, *overrides: str, **kwargs) -> str:
    with pytest.raises(ConfigError) as error:
        compose(more, *overrides, **kwargs)
    assert not [*more.parent.rglob("MARK")]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_config_of_the_package_passes_with_every_option(more):
    for path in conf_folder().glob("*/*.yaml"):
        group = path.parent.name
        compose(more, f"{'+' * (group == 'hydra')}{group}={path.stem}")
    for option in ("default", "disabled", "none", "stdout", "rich"):
        compose(more, f"hydra/job_logging={option}")
    compose(more, "hydra.run.dir=a", "hydra.verbose=true", "hydra.job.chdir=false")


def test_the_guard_stands_where_hydra_composes_and_leaves_it_afterwards():
    with guarded():
        assert hydras.ConfigLoaderImpl is GuardedConfigLoader
    assert hydras.ConfigLoaderImpl is ConfigLoaderImpl


@pytest.mark.parametrize(
    ("given", "mode", "added"),
    [
        (["space=mlp", "+new=1", "hydra.run.dir=a"], None, ["hydra.mode=RUN"]),
        (["hydra.mode=RUN", "seed=3"], RunMode.RUN, []),
        (["seed=1,2"], None, ["hydra.mode=MULTIRUN"]),
        (["experiment=swept"], RunMode.MULTIRUN, []),
        (["experiment=unknown"], None, ["hydra.mode=RUN"]),
    ],
)
def test_what_is_composed_to_know_the_mode_is_what_the_run_would_compose(more, given, mode, added):
    (more / "experiment" / "swept.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN}\n"
    )
    told = (loader := loader_of(more)), loader_of(more)
    assert hydras.Hydra("test", loader).get_mode("config", given) == mode
    is_sweep = mode == RunMode.MULTIRUN or added == ["hydra.mode=MULTIRUN"]
    last = RunMode.MULTIRUN if is_sweep else RunMode.RUN
    found = [outcome(one, [*given, *added], last) for one in told]
    assert found[0] == found[1]
    assert outcome(loader, [*given, "seed=7"], last) == outcome(told[1], [*given, "seed=7"], last)


def outcome(loader: GuardedConfigLoader, overrides: list[str], mode: RunMode) -> object:
    """What a loader composes, or says."""
    try:
        return OmegaConf.to_container(loader.load_configuration("config", overrides, mode))
    except Exception as error:
        return str(error)


def test_values_to_sweep_over_are_refused_in_a_run_that_was_composed_ahead(more):
    loader = loader_of(more)
    hydras.Hydra("test", loader).get_mode("config", ["seed=1,2"])
    with pytest.raises(ConfigCompositionException, match="Ambiguous value for argument"):
        loader.load_configuration("config", ["seed=1,2", "hydra.mode=RUN"], RunMode.RUN)


def test_a_run_is_composed_once(here, monkeypatch):
    composed = []
    compose_all = GuardedConfigLoader._compose_config_from_defaults_list
    monkeypatch.setattr(GuardedConfigLoader, "_compose_config_from_defaults_list",
                        lambda *a, **k: composed.append(1) or compose_all(*a, **k))  # fmt: skip
    assert_starts(attempt("space=mlp seed=5", monkeypatch))
    assert len(composed) == 1


def test_each_member_of_a_sweep_is_checked(more):
    (more / "experiment" / "x.yaml").write_text(
        "# @package _global_\nhydra: {callbacks: {a: {_target_: evil.f}}}\n"
    )
    (more / "experiment" / "y.yaml").write_text("# @package _global_\nseed: 1\n")
    loader = loader_of(more)
    master = loader.load_configuration("config", ["experiment=x,y"], RunMode.MULTIRUN)
    loader.load_sweep_config(master, ["experiment=y"])
    with pytest.raises(ConfigError, match=r"hydra\.callbacks\.a\._target_ 'evil\.f'"):
        loader.load_sweep_config(master, ["experiment=x"])


def test_only_an_override_may_trust(more):
    recipe = more / "experiment" / "x.yaml"
    recipe.write_text("# @package _global_\ntrust: [evil]\n")
    text = refused(more, "experiment=x")
    assert text.startswith("A file of the config sets trust to [evil]")
    assert text.endswith("add trust=[evil].")
    assert [*compose(more, "experiment=x", "trust=[evil]").trust] == ["evil"]
    assert [*compose(more, "trust=[a,b]").trust] == ["a", "b"]
    recipe.write_text("# @package _global_\nhydra: {overrides: {task: ['trust=[evil]']}}\n")
    assert "hydra.overrides is set by Hydra" in refused(more, "experiment=x")
    for text in ("${objective.metric}", '"${oc.select:hydra.searchpath,[evil]}"', "['${seed}']"):
        recipe.write_text(f"# @package _global_\ntrust: {text}\n")
        assert "trust" in refused(more, "experiment=x")


def test_a_file_brings_no_trust_by_the_parameters_of_a_sweep(more):
    (more / "experiment" / "x.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {trust: '[evil]'}}}\n"
    )
    loader = loader_of(more)
    master = loader.load_configuration("config", ["experiment=x"], RunMode.MULTIRUN)
    with pytest.raises(ConfigError, match="trust may not be swept"):
        loader.load_sweep_config(master, ["experiment=x", "trust=[evil]"])
    trusted = loader.load_configuration("config", ["trust=[mine]"], RunMode.MULTIRUN)
    member = loader.load_sweep_config(trusted, ["trust=[mine]", "seed=1"])
    assert [*member.trust] == ["mine"]


@pytest.mark.parametrize("override", ["seed=range(0)", "space=glob(nope*)", "seed=range(3,3)"])
def test_a_sweep_over_nothing_is_refused(more, override):
    assert "sweeps over nothing" in refused(more, override, mode=RunMode.MULTIRUN)
    compose(more, "seed=1,2", "space=glob(m*)", "budget.trials=range(1,3)", mode=RunMode.MULTIRUN)


def test_a_sweep_over_what_has_a_secret_in_it_is_refused(more, monkeypatch):
    monkeypatch.setattr(masker, "_patterns", frozenset())
    monkeypatch.setattr(masker, "_pattern", None)
    token = "+data.token=sesame-4711"
    told = refused(more, token, "+data.user=a-sesame-4711,b", mode=RunMode.MULTIRUN)
    assert told.startswith(
        "+data.user=a-***,b has a secret of this config in it, and a sweep would"
    )
    compose(more, token, "+data.user='${data.token}',b", mode=RunMode.MULTIRUN)
    compose(more, "+data.token=digits", "data=digits,fake", mode=RunMode.MULTIRUN)


@pytest.mark.parametrize("name", ["evil_package", "evil_package/inner", "antigravity"])
def test_a_package_on_the_search_path_is_not_imported(more, name):
    assert "imports that package" in refused(more, f"hydra.searchpath=[pkg://{name}]")
    (more / "primary.yaml").write_text(
        f"defaults: [config]\nhydra: {{searchpath: ['pkg://{name}']}}\n"
    )
    assert "imports that package" in refused(more, name="primary")
    with pytest.raises(ConfigError, match="imports that package"):
        compose(more, f"hydra.searchpath=[file://{more},pkg://{name}]", "trust=[other]")


def test_a_trusted_package_and_a_folder_may_be_on_the_search_path(more):
    compose(more, "hydra.searchpath=[pkg://evil_package]", "trust=[evil_package]")
    assert (more.parent / "evil_package" / "MARK").exists()
    compose(more, f"hydra.searchpath=[file://{more}]")


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        ([], []), (["trust=[a]"], ["a"]), (["trust=[a]", "trust=[b,c]"], ["b", "c"]),
        (["++trust=[a]"], ["a"]), (["trust=a"], []), (["trust=[]"], []), (["nottrust=[a]"], []),
        (["x.trust=[a]"], []), (["trust=[a],[b]"], []), (["~trust"], []),
    ],
)  # fmt: skip
def test_trust_is_read_from_the_overrides(overrides, found):
    assert given_trust(overrides) == found


@pytest.mark.parametrize("name", ["multirun.yaml", "0", "0/runner.log"])
def test_a_sweep_is_not_written_through_links(name, here, monkeypatch):
    (here / "outside").mkdir()
    (here / "outside" / "precious").write_text("mine")
    link = here / "all" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(here / "outside" / ("" if name == "0" else "precious"))
    done = attempt("-m hydra.sweep.dir=all seed=-1,-2", monkeypatch)
    assert done.code == 2 and len(done.err.splitlines()) == 1
    assert f"all contains the symbolic link '{name}', which leads out of it" in done.err
    assert (here / "outside" / "precious").read_text() == "mine" and link.is_symlink()


@pytest.mark.parametrize(
    "line",
    [
        "hydra.output_subdir=x seed=-1", "hydra.job.name=x hydra/job_logging=default seed=-1",
        "seed=-1 +hydra.job_logging.root.level=NOPE", "-m seed=0,-1 +hydra.launcher.nope=1",
        "-m seed=-1 hydra.sweeper.max_batch_size=0", "-m space.nope=1 seed=0,1",
        "-m +hydra.sweeper.params.seed=0", "-m hydra.sweeper.params={seed: 0}",
        "-m seed=-1 hydra.sweep.dir=a/b/c hydra.sweep.subdir=../x",
    ],
)  # fmt: skip
def test_a_mistake_leaves_nothing_of_a_run_or_a_sweep(line, here, monkeypatch):
    done = attempt(line, monkeypatch)
    assert done.code == 2 and "Traceback" not in done.err, done.err
    assert all(told.startswith("error: ") for told in done.err.splitlines())
    assert [*here.rglob("*")] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("null: 1", "The config 'experiment/x'"), ("evaluator: {~: 1}", "in evaluator is null"),
        ("hydra: null", "hydra is null"), ("hydra: 5", "hydra is 5; it must be a mapping"),
        ("hydra: {run: null}", "hydra.run is null; it must have a value"),
        ("hydra: {job: {foo: 1}}", "hydra.job.foo is not a key of Hydra's"),
        ("hydra: {job: {env_copy: [NOT_SET_AT_ALL]}}", "names 'NOT_SET_AT_ALL', which is not set"),
        ("1: 1", "There is no key 1 in the config."), ("true: 1", "There is no key true in the"),
        ("hydra: {mode: MULTIRUN, sweeper: {params: {dedup: range(0)}}}", "sweeps over nothing"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_file_is_told_in_one_line(text, why, here, monkeypatch):
    (here / "more" / "experiment").mkdir(parents=True)
    (here / "more" / "experiment" / "x.yaml").write_text(f"# @package _global_\n{text}\n")
    done = attempt("--config-dir=more experiment=x seed=-1", monkeypatch)
    [line] = done.err.splitlines()
    assert done.code == 2 and why in line
    assert [path.name for path in here.iterdir()] == ["more"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("seed=-1 -m space=mlp,resnet", "Flags such as -m stand before or after all of KEY=VALUE"),
        ("--nope seed=-1", "Unrecognized arguments: --nope; --hydra-help lists the flags."),
        ("--resolve seed=-1", "add --cfg job"), ("--cfg job -m seed=-1", "Only one of the flags"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together_are_told(line, why, here, monkeypatch):
    assert_refused(attempt(line, monkeypatch), why, here)
