from pathlib import Path

import pytest
from omegaconf import OmegaConf

from simplexity.composition import (
    ConfigError,
    check,
    compose,
    config_hash,
    freeze,
    load_frozen,
    refuse_changes,
)
from simplexity.composition._frozen import differences, may_change
from simplexity.composition._sections import ADDED_KEYS, Section
from simplexity.running import check_by_building


def config(**changes):
    base = OmegaConf.create(
        {
            "seed": 0,
            "rate": 1e-05,
            "schedule": {"steps": "${training.num_train_steps}"},
            "training": {"num_train_steps": 100, "batch_size": 8},
            "logging": {"instance": None},
            "persistence": {"instance": {"max_to_keep": 3}},
            "weights": [0.5, 0.5],
            **ADDED_KEYS,
        }
    )
    for key, value in changes.items():
        OmegaConf.update(base, key.replace("__", "."), value, force_add=True)
    return base


def test_a_frozen_config_is_resolved_whole_and_the_same(tmp_path):
    path = freeze(config(hydra={"job": 1}), tmp_path)
    frozen = load_frozen(tmp_path)
    assert "hydra" not in frozen
    assert "${" not in path.read_text()
    assert frozen.rate == 1e-05
    assert differences(config(), frozen) == []
    assert config_hash(frozen) == config_hash(config())
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.yaml"]


def test_the_hash_tells_configs_apart():
    assert config_hash(config()) != config_hash(config(seed=1))


@pytest.mark.parametrize(
    ("changes", "path", "allowed"),
    [
        ({"seed": 1}, "seed", False),
        ({"training__batch_size": 16}, "training.batch_size", False),
        ({"training__carry_state": True}, "training.carry_state", False),
        ({"weights": [0.25, 0.75]}, "weights", False),
        ({"logging__instance": {"a": 1}}, "logging.instance", True),
        ({"persistence__instance__max_to_keep": 9}, "persistence.instance.max_to_keep", True),
        ({"figures": True}, "figures", True),
        ({"training__num_train_steps": 200, "schedule__steps": 100}, "training.num_train_steps", True),
        ({"training__num_train_steps": 50, "schedule__steps": 100}, "training.num_train_steps", False),
    ],
)
def test_what_may_change_when_a_run_goes_on(changes, path, allowed):
    found = differences(config(), config(**changes))
    assert path in [difference.path for difference in found]
    assert all(may_change(difference) == allowed for difference in found)


def test_refusal_shows_every_difference_that_matters():
    with pytest.raises(ConfigError) as caught:
        refuse_changes(config(), config(seed=1, training__batch_size=16, persistence__instance=None))
    assert [problem.path for problem in caught.value.problems] == ["seed", "training.batch_size"]
    assert "was 0 when this run started and may not become 1" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"), [(None, "not a run directory"), ("a: [", "cannot be read"), ("- 1", "got a list")]
)
def test_a_config_that_cannot_be_loaded(tmp_path, text, words):
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_frozen(tmp_path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "frozen").iterdir()), ids=lambda path: path.stem)
def test_a_config_frozen_by_an_earlier_commit_goes_on_as_the_same_command_of_today(path, tmp_path):
    (tmp_path / "config.yaml").write_bytes(path.read_bytes())
    frozen = load_frozen(tmp_path)
    assert check(frozen) == []
    refuse_changes(frozen, compose("experiment"))
    assert check_by_building(frozen) == []


class Process:
    """A process to which the parameter `later` was added after the run began."""

    def __init__(self, p: float, later: float = 0.5):
        pass


@pytest.mark.parametrize(("later", "refused"), [(0.5, False), (0.25, True)])
def test_a_parameter_that_was_added_since_is_no_change_at_its_default(later, refused):
    before = {"_target_": f"{__name__}.Process", "p": 0.1}
    frozen, new = config(instance=before), config(instance=before | {"later": later})
    if refused:
        with pytest.raises(ConfigError, match=r"`instance\.later`"):
            refuse_changes(frozen, new)
    else:
        refuse_changes(frozen, new)


def test_a_setting_that_was_added_since_is_no_change_at_its_default(monkeypatch):
    settings = f"{__name__}.Process"
    monkeypatch.setattr(
        "simplexity.composition._frozen.CONFIG", Section(keys={"training": Section(constructor=settings)})
    )
    refuse_changes(config(), config(training__later=0.5))
    with pytest.raises(ConfigError, match=r"`training\.later`"):
        refuse_changes(config(), config(training__later=0.6))
