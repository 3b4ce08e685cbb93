"""Processes inside of others by their names: what they stand for, mistakes in them, sweeps over their numbers."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from simplexity.composition import ConfigError, check, compose, config_hash, freeze, load_frozen, refuse_changes

INSTANCE = "training_data_generator.instance"
PROCESSES = "simplexity.generative_processes"
MESS3 = {"_target_": f"{PROCESSES}.mess3", "x": 0.05, "a": 0.85}


def mixture(components, *overrides):
    return compose(
        "experiment",
        [
            "training_data_generator=nonergodic",
            f"{INSTANCE}.components={components}",
            f"{INSTANCE}.weights=[0.5, 0.5]",
            f"{INSTANCE}.vocab_maps=disjoint",
            *overrides,
        ],
    )


def frozen_components(config, folder):
    freeze(config, folder)
    components: Any = OmegaConf.to_container(load_frozen(folder).training_data_generator.instance.components)
    return components


def test_a_frozen_config_has_the_sections_that_names_stand_for(site, tmp_path):
    config = mixture("[{mess3: {x: 0.1}}, site_coin]")
    assert check(config) == []
    coin = {"_target_": f"{PROCESSES}.coin", "p": 0.5}
    assert frozen_components(config, tmp_path) == [MESS3 | {"x": 0.1}, coin]
    spelled = mixture(f"[{{_target_: {PROCESSES}.mess3, x: 0.1, a: 0.85}}, {{_target_: {PROCESSES}.coin, p: 0.5}}]")
    assert config_hash(spelled) == config_hash(config)
    refuse_changes(load_frozen(tmp_path), config)
    Path(site.parent, "site", "generative_process", "site_coin.yaml").unlink()
    assert check(load_frozen(tmp_path)) == []


def test_names_at_any_depth(tmp_path):
    config = mixture("[{noisy: {process: {product: {factors: [coin, coin]}}, epsilon: 0.2}}, mess3]")
    assert check(config) == []
    noisy, mess3 = frozen_components(config, tmp_path)
    coin = {"_target_": f"{PROCESSES}.coin", "p": 0.5}
    product = {"_target_": f"{PROCESSES}.product", "factors": [coin, coin]}
    assert noisy == {"_target_": f"{PROCESSES}.noisy", "process": product, "epsilon": 0.2, "level": "joint"}
    assert mess3 == MESS3


def test_a_number_of_a_part_from_the_command_line(tmp_path):
    config = mixture("[{mess3: {x: 0.1}}, coin]", f"{INSTANCE}.components.0.mess3.x=0.2")
    assert frozen_components(config, tmp_path)[0] == MESS3 | {"x": 0.2}
    with pytest.raises(ConfigError, match=r"`training_data_generator.instance.components`: .* may not become"):
        refuse_changes(load_frozen(tmp_path), mixture("[{mess3: {x: 0.3}}, coin]"))


def test_a_part_with_an_initial_state(tmp_path):
    config = mixture("[{mess3: {initial_state: [1, 0, 0]}}, mess3]")
    assert check(config) == []
    begun, _ = frozen_components(config, tmp_path)
    assert begun == {"_target_": f"{PROCESSES}.with_initial_state", "process": MESS3, "initial_state": [1, 0, 0]}


def test_a_section_may_build_the_whole_list(site, tmp_path, monkeypatch):
    function = "def make_components(n: int):\n    return [coin(0.5)] * n\n"
    (tmp_path / "lab_of_lists.py").write_text(f"from {PROCESSES} import coin\n{function}")
    monkeypatch.syspath_prepend(tmp_path)
    path = Path(site.parent, "site", "generative_process", "of_a_lab.yaml")
    for components, mistakes in (("n: 2", []), ("n: 2, m: 4", [f"{INSTANCE}.components.m"])):
        section = f"{{_target_: lab_of_lists.make_components, {components}}}"
        instance = (
            f"{{_target_: {PROCESSES}.nonergodic, components: {section}, weights: [0.5, 0.5], vocab_maps: disjoint}}"
        )
        path.write_text(f"instance: {instance}\nbos_token: null\neos_token: null\n")
        problems = check(compose("experiment", ["training_data_generator=of_a_lab"]))
        assert [problem.path for problem in problems] == mistakes


@pytest.mark.parametrize(
    ("component", "path", "words"),
    [
        ("mess33", "", "there is no process `mess33`; did you mean `mess3`? valid: bloch_walk, "),
        ("{mess33: {x: 0.1}}", "", "there is no process `mess33`; did you mean `mess3`?"),
        ("{mess3: {x: 0.9}}", ".mess3.x", "must lie in [0, 0.5], got 0.9"),
        ("{mess3: {b: 1}}", ".mess3.b", "unknown key; valid: a, x"),
        ("{mess3: 0.1}", "", "must be a section of parameters, as in {mess3: {PARAMETER: VALUE}}, got 0.1"),
        ("{mess3: {x: 0.1}, coin: {p: 0.1}}", "", "must be the name of a process, its name with parameters"),
        (
            "'mess3(0.1, 0.8)'",
            "",
            "must be the name of a process, its name with parameters as in {mess3: {x: 0.1}}, or",
        ),
        ("3", "", "must be the name of a process, its name with parameters as in {mess3: {x: 0.1}}, or a section"),
        ("{mess3: {x: 0.9, initial_state: [1]}}", ".mess3.x", "must lie in [0, 0.5], got 0.9"),
        ("{mess3: {initial_state: [1]}}", ".mess3.initial_state", "must have 3 entries, one per state"),
        ("{product: {factors: coin}}", ".product.factors", "must be a list of processes, as in [mess3, {mess3: "),
        ("{chain: {variants: coin}}", ".chain.variants", "must be a list of lists of processes, as in [[coin], "),
        ("{chain: {variants: [coin]}}", ".chain.variants.0", "must be a list of processes, as in [mess3, "),
        ("{product: {factors: [coin, mess4]}}", ".product.factors.1", "there is no process `mess4`"),
    ],
)
def test_a_mistake_names_its_part(component, path, words):
    (problem,) = check(mixture(f"[coin, {component}]"))
    assert problem.path == f"{INSTANCE}.components.1{path}"
    assert words in problem.message


def test_a_process_by_its_name_where_its_target_belongs(site):
    path = Path(site.parent, "site", "generative_process", "two_coins.yaml")
    path.write_text("instance: {product: {factors: [coin, coin]}}\nbos_token: null\neos_token: null\n")
    (problem,) = check(compose("experiment", ["training_data_generator=two_coins"]))
    assert problem.path == f"{INSTANCE}._target_"
    assert f"here {PROCESSES}.product, with what stands under `product` beside it" in problem.message


def test_an_initial_state_of_a_file_without_that_key(site):
    path = Path(site.parent, "site", "generative_process", "two_coins.yaml")
    path.write_text(f"instance: {{_target_: {PROCESSES}.coin, p: 0.5}}\nbos_token: null\neos_token: null\n")
    with pytest.raises(
        ConfigError, match=r"is not there yet; to add it, write \+training_data_generator.initial_state="
    ):
        compose("experiment", ["training_data_generator=two_coins", "training_data_generator.initial_state=[1]"])


def test_a_file_that_is_no_process(site):
    Path(site.parent, "site", "generative_process", "empty.yaml").write_text("bos_token: null\n")
    (problem,) = check(mixture("[coin, empty]"))
    assert "empty.yaml, which has no `instance` with a valid `_target_`" in problem.message
