"""The launchers' quick ways of composing, checking and writing give what Hydra, `check` and OmegaConf give."""

import warnings
from copy import deepcopy

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write

from hydra_plugins.simplexity_launcher._composer import RunComposer
from hydra_plugins.simplexity_launcher._preparation import prepare, typed
from hydra_plugins.simplexity_launcher._run_check import RunCheck
from hydra_plugins.simplexity_launcher._yaml_text import list_text, yaml_text
from simplexity.composition import CONFIG_MODULE, ConfigError, check, config_hash, ignore_equal_names

RATE = "training.optimizer.instance.learning_rate"
HOSTILE = "'a b \"c\" $HOME `id` ü;&#'"


@pytest.fixture(scope="module")
def composed_once():
    setup_globals()
    with warnings.catch_warnings(), hydra.initialize_config_module(CONFIG_MODULE, version_base="1.3"):
        ignore_equal_names()
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration(
            "train_model",
            # With a variable that differs from run to run, each has a Hydra section of its own.
            ["hydra.sweep.dir=/a/b", "hydra.mode=MULTIRUN", "+hydra.job.env_set.NUMBER='${hydra.job.num}'"],
            run_mode=RunMode.MULTIRUN,
        )
        OmegaConf.set_readonly(config.hydra, False)
        yield loader, config


@pytest.fixture
def master(composed_once):
    """Hydra's loader, and the config of a sweep, as Hydra has them when it calls a launcher."""
    loader, config = composed_once
    return loader, deepcopy(config)


def unresolved(text):
    return OmegaConf.to_container(OmegaConf.create(text), resolve=False)


def expected(loader, config, overrides, index):
    """What Hydra's basic launcher would run."""
    composed = loader.load_sweep_config(config, list(overrides))
    composed.hydra.job.id, composed.hydra.job.num = str(index), index
    HydraConfig.instance().set_config(composed)
    with read_write(composed.hydra):
        composed.hydra.runtime.output_dir = f"/a/b/{composed.hydra.sweep.subdir}"
    hydra = OmegaConf.masked_copy(composed, ["hydra"])
    task = OmegaConf.masked_copy(composed, [key for key in composed if key != "hydra"])
    return task, hydra


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["seed=7", f"{RATE}=1e-05"],
        ["seed=-3", "training=default", "training.batch_size=2", "training/optimizer=sgd"],
        ["generative_process@training_data_generator=rrxor", "seed=1"],
        ["~generative_process@validation_data_generator"],
        ["training={batch_size: 3}", "seed=1"],
        ["+training.optimizer.instance.eps=0.5", "training.gradient_clip_norm=null"],
        ["training.batch_size=${training.log_every}", "seed=2"],
        ["seed=${hydra:job.num}"],
        [f"predictive_model.load_checkpoint_from={HOSTILE}"],
        ["predictive_model.load_checkpoint_from='1e5'", "seed=1"],
    ],
)
def test_a_run_is_composed_as_hydra_composes_it(master, overrides):
    loader, config = master
    composer = RunComposer(loader, config)
    for index in (0, 12):
        composed = composer.compose(overrides, index)
        values = composed.config
        if isinstance(values, DictConfig):
            values = OmegaConf.to_container(values, resolve=True)
        task, hydra = expected(loader, config, overrides, index)
        assert values == OmegaConf.to_container(task, resolve=True)
        assert composed.directory == str(index)
        # As it stands: `${now:...}` may be another second on each side.
        assert unresolved(composed.hydra_text) == unresolved(OmegaConf.to_yaml(hydra))
        assert config_hash(values) == config_hash(task)


@pytest.mark.parametrize("override", ["no.such=3", "training.batchsize=3", "+seed=3", "training/optimizer=nope"])
def test_what_hydra_refuses_is_refused(master, override):
    with pytest.raises(HydraException):
        RunComposer(*master).compose(["seed=1", override], 0)


def test_a_subdirectory_of_ones_own(master):
    loader, config = master
    config.hydra.sweep.subdir = "${hydra.job.override_dirname}"
    loader = type("Loader", (), {"__getattr__": lambda self, name: getattr(master[0], name)})()
    loader.load_sweep_config = lambda config_, overrides: _with_subdir(master[0].load_sweep_config(config_, overrides))
    assert RunComposer(loader, config).compose(["seed=3"], 0).directory == "seed=3"


def _with_subdir(config):
    config.hydra.sweep.subdir = "${hydra.job.override_dirname}"
    return config


@pytest.mark.parametrize(
    "values",
    [
        {"a": 1, "b": 1.0, "c": True, "d": None, "e": "1", "f": "01", "g": "null", "h": "Yes", "i": ""},
        {"a": {"b": {"c": [1, "x", None], "d": {}}}, "e": [], "f": ["k=v", "a,b"], "g": {"h": 1e-05}},
        {"a": "two words " * 20, "b": "line\nbreak", "c": "${x}", "d": "- a", "e": "a: b", "f": "ü", "g": "0x1F"},
        {"a": {"long": "word " * 40}, "b": "inf", "c": "/p/q", "d": "@x", "e": "1e5", "f": "12e03", "g": "~"},
    ],
)
def test_yaml_is_that_of_omegaconf(values):
    text = yaml_text(values)
    assert OmegaConf.create(text) == OmegaConf.create(OmegaConf.to_yaml(OmegaConf.create(values)))
    assert OmegaConf.to_container(OmegaConf.create(text)) == values
    assert list_text(list(values)) == OmegaConf.to_yaml(OmegaConf.create(list(values)))


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.batch_size=0", f"{RATE}=-1"],
        ["predictive_model.instance.hidden_size=x"],
        ["+unknown=3"],
        ["seed=${nowhere}"],
    ],
)
def test_every_run_is_checked_as_alone(master, overrides):
    composer, checked = RunComposer(*master), RunCheck()
    assert checked(composer.compose(["seed=1"], 0).config)[1] == []
    config = composer.compose(overrides, 1).config
    whole = config if isinstance(config, DictConfig) else OmegaConf.create(config)
    problems = checked(config)[1]
    assert problems == check(whole)
    assert problems
    assert checked(composer.compose(["seed=2"], 2).config)[1] == []


def test_what_only_sections_together_get_wrong(master):
    overrides = ["predictive_model=transformer", "predictive_model.instance.num_heads=3"]
    _, (problem,) = RunCheck()(RunComposer(*master).compose(overrides, 0).config)
    assert problem.path.startswith("predictive_model.instance")


def test_all_mistakes_of_all_runs_at_once(master):
    batch = [["seed=0"], ["training.batch_size=0", "seed=1"], ["training.batch_size=0", "seed=2"], [f"{RATE}=-1"]]
    with pytest.raises(ConfigError) as caught:
        prepare(*master, batch, 0, lambda: False)
    first, second = map(str, caught.value.problems)
    assert first.startswith("`training.batch_size`: ")
    assert first.endswith("(run #1 training.batch_size=0 seed=1 and 1 more run)")
    assert second.endswith(f"(run #3 {RATE}=-1)")


def test_somebody_who_leaves_meanwhile(master):
    with pytest.raises(SystemExit):
        prepare(*master, [["seed=0"]], 0, lambda: True)


def test_overrides_are_shown_as_typed():
    overrides = ["generative_process@training_data_generator=mess3", "cluster@hydra.launcher.cluster=dev", "+a=1"]
    assert typed(overrides) == ["training_data_generator=mess3", "+a=1"]
