import re
import shlex
from pathlib import Path

import pytest

from simplexity.composition import ConfigError, check, compose
from simplexity.composition._compose import compose_leniently

ROOT = Path(__file__).parents[2]
README = re.findall(r"^    python simplexity/\w+\.py(.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)


def problems_of(*overrides):
    with pytest.raises(ConfigError) as caught:
        compose("experiment", overrides)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("key", ["training_data_generator", "generative_process@training_data_generator"])
def test_both_forms_choose_a_process_whose_parameters_can_be_set(site, key):
    config = compose("experiment", [f"{key}=site_coin", "training_data_generator.instance.p=0.1"])
    assert config.training_data_generator.instance.p == 0.1
    assert config.validation_data_generator is None


def test_a_validation_generator_of_its_own_and_back(site):
    overrides = ["validation_data_generator=site_coin", "validation_data_generator.instance.p=0.1"]
    assert compose("experiment", overrides).validation_data_generator.instance.p == 0.1
    assert compose("experiment", ["validation_data_generator=null"]).validation_data_generator is None


def test_a_section_that_is_null_stays_so_with_a_study_that_sets_its_keys(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = compose("experiment", ["validation=null", "analysis=null", "+study=factored"])
    assert (config.validation, config.analysis) == (None, None)


@pytest.mark.parametrize(
    ("override", "path", "words"),
    [
        (
            "training_data_generator=site_con",
            "training_data_generator",
            "did you mean `site_coin`?",
        ),
        ("validation_data_generator=nope", "validation_data_generator", "mess3"),
        ("training/optimizer=adm", "training/optimizer", "valid: adam, adamw, muon, sgd"),
        ("training/optimiser=adam", "training/optimiser", "did you mean `training/optimizer`?"),
        ("training=3", "training", "must name a member of its group, got 3"),
        ("training=NaN", "training", "must name a member of its group, got NaN"),
        ("training.batchsize=3", "training.batchsize", "did you mean `training.batch_size`?"),
        ("trainin.batch_size=3", "trainin.batch_size", "did you mean `training.batch_size`? valid: all_devices,"),
        ("trainin.batchsize=3", "trainin.batchsize", "did you mean `training.batch_size`?"),
        ("trainin.nothing_like_it=3", "trainin.nothing_like_it", "did you mean `training`?"),
        ("seed.x=3", "seed.x", "`seed` is 0"),
        ("validation_data_generator.instance.x=3", "validation_data_generator.instance.x", "add validation_data_gen"),
        ("training.batch_size=1,2", "training.batch_size", "add --multirun"),
        ("training.batch_size=range(1,3)", "training.batch_size", "add --multirun"),
        ("training.batch_size", "training.batch_size", "has no value; write training.batch_size=VALUE"),
        ("x=ü", "x=ü", """quote the value, for the shell too: "x='ü'\""""),
        ("training_data_generator.x=0.1", "training_data_generator.x", "training_data_generator.instance.x=VALUE"),
        ("generative_process=mess3", "generative_process", "choose from it with training_data_generator=NAME"),
        (
            "training.optimizer.instance.eps=1e-5",
            "training.optimizer.instance.eps",
            "write +training.optimizer.instance.eps=VALUE",
        ),
        ("seed=[1", "seed=[1", "KEY=VALUE"),
        ("'seed=1", "'seed=1", "KEY=VALUE"),
        ("seed=[1,ü]", "seed=[1,ü]", "KEY=VALUE; quote what has special characters"),
        ("+seed=3", "seed", "without the +"),
        ("~training.foo", "training.foo", "does not exist"),
        ("hydra.run.dirr=x", "hydra.run.dirr", "valid: dir"),
    ],
)
def test_overrides_that_cannot_be_applied(site, override, path, words):
    (problem,) = problems_of(override)
    assert problem.startswith(f"`{path}`: ")
    assert words in problem
    assert "\n" not in problem


@pytest.mark.parametrize("choice", ["{}", "[{},small]", "[small, '{}']"])
@pytest.mark.parametrize("name", ["beleif", "belief", "Belief_geometri"])
def test_a_study_is_suggested_as_other_members_of_groups_are(monkeypatch, choice, name):
    monkeypatch.chdir(ROOT)
    (problem,) = problems_of(f"+study={choice.format(name)}")
    assert problem.startswith(f"`study`: there is no '{name}'; did you mean `belief_geometry`? valid: ")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("validation.every=3", "`validation` is null: choose a member of its group first, validation=default"),
        ("analysis.every=3", "`analysis` is null: choose a member of its group first, analysis=default"),
        ("predictive_model.load_checkpoint_step.x=3", "`predictive_model.load_checkpoint_step` is null"),
    ],
)
def test_a_key_of_a_section_that_is_null_names_what_to_choose(override, says):
    with pytest.raises(ConfigError) as caught:
        compose("train_model", [override])
    assert str(caught.value) == f"`{override.partition('=')[0]}`: cannot be set, {says}"


def test_all_of_them_are_reported_but_not_their_consequences(site):
    problems = problems_of("training_data_generator=cion", "training_data_generator.instance.p=0.1", "sede=1", "seed=[")
    assert len(problems) == 3
    assert not any("instance.p" in problem for problem in problems)


def test_a_site_that_does_not_exist(site, monkeypatch):
    from simplexity.composition import site_folder

    monkeypatch.setenv("SIMPLEXITY_CONFIGS", "nowhere")
    with pytest.raises(ConfigError, match="must name a folder of configs, got 'nowhere'"):
        site_folder()


def test_no_site_at_all_is_no_warning(site, monkeypatch):
    # Warnings are errors in the tests; the message is about what only the site has.
    monkeypatch.delenv("SIMPLEXITY_CONFIGS")
    with pytest.raises(ConfigError, match=r"there is no 'site_coin'.*/configs, which does not exist"):
        compose("experiment", ["training_data_generator=site_coin"])


@pytest.mark.parametrize("choice", ["quantum", "[quantum,small]"])
def test_a_study_outside_of_the_checkout_is_told_where_the_studies_are(tmp_path, monkeypatch, choice):
    monkeypatch.chdir(tmp_path)
    (problem,) = check(compose("experiment", [f"+study={choice}"]))
    assert problem.path == "study"
    assert f"it would be the folder {tmp_path}/configs/study, which does not exist" in problem.message
    assert "SIMPLEXITY_CONFIGS to the folder of configs (that of the studies is CHECKOUT/configs)" in problem.message


@pytest.mark.parametrize("key", ["training_data_generator", "predictive_model"])
def test_a_path_is_no_name_and_the_message_is_about_what_was_typed(key):
    (problem,) = problems_of(f"{key}=../mess3")
    assert problem.startswith(f"`{key}`: there is no '../mess3'; ")


@pytest.mark.parametrize("program", ["experiment", "train_model"])
@pytest.mark.parametrize("arguments", README)
def test_commands_of_the_readme_have_no_mistake(program, arguments, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(arguments, comments=True)
    overrides = [word for word in words if not word.startswith("--")]
    config, problems = compose_leniently(program, overrides, sweeping="--multirun" in words)
    assert problems + check(config) == []
