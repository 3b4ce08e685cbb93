import pytest

from simplexity.composition import check, compose

PROCESSES = "simplexity.generative_processes"
INSTANCE = "training_data_generator.instance"
CONSOLE = "logging.instance.loggers.console"


def problems_of(*overrides):
    return [str(problem) for problem in check(compose("experiment", overrides))]


def mixture(*components):
    listed = ", ".join(f"{{_target_: {PROCESSES}.coin, {component}}}" for component in components)
    return f"++{INSTANCE}={{_target_: {PROCESSES}.nonergodic, components: [{listed}], weights: [0.5, 0.5]}}"


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["validation=null"],
        ["training_data_generator=site_coin", "training_data_generator.bos_token=auto"],
        ["validation_data_generator=site_coin"],
        ["training/optimizer=adamw", "training/schedule=cosine"],
        ["training/optimizer=sgd", "training/schedule=warmup_cosine"],
        ["training.optimizer.instance.learning_rate=1", "training.gradient_clip_norm=null"],
        ["logging=none", "persistence=none"],
        ["persistence.snapshots={every: 10, steps: [0, 5], per_decade: 3}"],
        ["persistence.snapshots=null"],
        ["~persistence.snapshots"],  # as in a site's own file of before
        ["logging=file"],
    ],
)
def test_good_configs_have_no_problems(site, overrides):
    assert problems_of(*overrides) == []


def test_the_remedy_for_a_missing_package_is_said_once():
    targets = [
        f"++{section}.instance._target_=absent.Own" for section in ("predictive_model", "persistence", "logging")
    ]
    (problem,) = problems_of(*targets)
    assert problem.count("install it") == 1
    assert all(
        f"`{section}.instance._target_`" in problem for section in ("predictive_model", "persistence", "logging")
    )


@pytest.mark.parametrize(
    ("override", "path", "words"),
    [
        ("+foo=3", "foo", "unknown key"),
        ("+training.batchsize=3", "training.batchsize", "did you mean `batch_size`?"),
        ("+training.optimizer.instance.learningrate=3", "training.optimizer.instance.learningrate", "`learning_rate`"),
        ("~seed", "seed", "is missing"),
        ("~training.batch_size", "training.batch_size", "is missing"),
        ("~training_data_generator.instance", "training_data_generator.instance", "is missing"),
        ("~predictive_model.instance", "predictive_model.instance", "is missing"),
        ("training.batch_size='???'", "training.batch_size", "add training.batch_size=VALUE"),
        ("training.batch_size=0", "training.batch_size", "must be at least 1, got 0"),
        ("training.batch_size=1.5", "training.batch_size", "must be an integer, got 1.5"),
        ("training.batch_size=true", "training.batch_size", "must be an integer, got true"),
        ("training.carry_state=1", "training.carry_state", "must be true or false, got 1"),
        ("predictive_model.instance.hidden_size=0", "predictive_model.instance.hidden_size", "at least 1, got 0"),
        ("seed=-1", "seed", "must lie in [0, 4294967295], got -1"),
        ("seed=${nope}", "seed", "'nope' not found"),
        ("training.optimizer.instance.learning_rate=-0.1", "training.optimizer.instance.learning_rate", "positive"),
        ("training.optimizer.instance.learning_rate=.inf", "training.optimizer.instance.learning_rate", "number"),
        ("training.optimizer.instance.learning_rate='1e-3'", "training.optimizer.instance.learning_rate", "'1e-3'"),
        ("training.optimizer.instance.b1=1", "training.optimizer.instance.b1", "must lie in [0, 1), got 1"),
        ("training.optimizer.instance._target_=optax.adm", "training.optimizer.instance._target_", "`adam`"),
        ("training.optimizer.instance=adam", "training.optimizer.instance", "must be a section"),
        ("training.schedule=cosine", "training.schedule", "training/schedule=cosine"),
        ("training_data_generator=null", "training_data_generator", "training_data_generator=NAME"),
        (f"{INSTANCE}.x=1.3", f"{INSTANCE}.x", "must lie in [0, 0.5], got 1.3"),
        ("training_data_generator.bos_token=0", "training_data_generator.bos_token", "process's tokens"),
        ("training_data_generator.bos_token=atuo", "training_data_generator.bos_token", "an integer or auto or null"),
        ("predictive_model.instance.hidden_size=null", "predictive_model.instance.hidden_size", "an integer"),
        ("+predictive_model.instance.vocab_size=3", "predictive_model.instance.vocab_size", "supplied by the program"),
        ("predictive_model.load_checkpoint_step=-1", "predictive_model.load_checkpoint_step", "at least 0"),
        ("validation.every=0", "validation.every", "must be at least 1, got 0"),
        ("validation=3", "validation", "must name a member"),
        ("persistence.resume=maybe", "persistence.resume", "one of auto, never, required"),
        ("persistence.instance.max_to_keep=1", "persistence.instance.max_to_keep", "must be at least 2, got 1"),
        ("persistence.instance.save_every_minutes=0", "persistence.instance.save_every_minutes", "must be positive"),
        ("persistence.snapshots.every=0", "persistence.snapshots.every", "must be at least 1, or null for none, got 0"),
        ("persistence.snapshots.steps=[1,a]", "persistence.snapshots.steps", "a list of integers"),
        ("persistence.snapshots=100", "persistence.snapshots", "must be a section, got 100"),
        ("+persistence.snapshots.evry=1", "persistence.snapshots.evry", "`every`"),
        (f"{CONSOLE}.seconds_between_lines=-1", f"{CONSOLE}.seconds_between_lines", "must be at least 0"),
        ("+training_data_generator.x=0.1", "training_data_generator.x", f"belongs under `{INSTANCE}`"),
        (f"{INSTANCE}={{p: 0.2}}", INSTANCE, f"write ~{INSTANCE} +{INSTANCE}="),
    ],
)
def test_bad_values_are_named_with_rule_and_remedy(site, override, path, words):
    from simplexity.composition import ConfigError

    try:
        problems = problems_of(override)
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
    assert len(problems) == 1
    assert problems[0].startswith(f"`{path}`: ")
    assert words in problems[0]
    assert "\n" not in problems[0]


@pytest.mark.parametrize(
    ("name", "parameters", "methods", "words"),
    [
        ("Mute", "directory", "open", "must take the parameter `on_commit`"),
        ("Short", "directory, on_commit", "open save wait steps restore close", "has no next_due_step, due"),
    ],
)
def test_a_checkpointer_of_the_sites_own_has_what_the_program_calls(site, name, parameters, methods, words):
    module = site.parent / "site/site_models.py"
    lines = [
        f"    def __init__(self, {parameters}): pass",
        *(f"    def {method}(self): pass" for method in methods.split()),
    ]
    module.write_text(module.read_text() + "\n".join([f"class {name}:", *lines, ""]))
    (problem,) = problems_of("~persistence.instance", f"+persistence.instance={{_target_: site_models.{name}}}")
    assert problem.startswith("`persistence.instance._target_`: ")
    assert words in problem


@pytest.mark.parametrize(
    ("schedule", "key", "value"),
    [("warmup_cosine", "warmup_steps", -1), ("warmup_cosine", "peak_value", -0.1), ("cosine", "decay_steps", 0)],
)
def test_a_schedule_is_a_factor_over_steps_to_come(site, schedule, key, value):
    (problem,) = problems_of(f"training/schedule={schedule}", f"training.schedule.{key}={value}")
    assert problem.startswith(f"`training.schedule.{key}`: must be ")


def test_all_problems_are_reported_at_once(site):
    problems = problems_of(
        "seed=x", "training.batch_size=0", f"{INSTANCE}.x=2.5", "training.optimizer.instance.learning_rate=-1", "+a=1"
    )
    assert sorted(problem.split(":")[0] for problem in problems) == [
        "`a`",
        "`seed`",
        "`training.batch_size`",
        "`training.optimizer.instance.learning_rate`",
        f"`{INSTANCE}.x`",
    ]


def test_nested_targets_are_checked_by_their_own_signatures(site):
    problems = problems_of("~training_data_generator.instance", f"{mixture('p: 1.3', 'q: 0.5')}")
    paths = [problem.split(":")[0] for problem in problems]
    assert f"`{INSTANCE}.components.0.p`" in paths
    assert f"`{INSTANCE}.components.1.q`" in paths
    assert f"`{INSTANCE}.vocab_maps`" in paths


def test_matrices_that_are_no_process(site):
    matrices = f"+{INSTANCE}={{_target_: {PROCESSES}.from_matrices, transition_matrices: [[[0.5, 0.6]]]}}"
    (problem,) = problems_of("~training_data_generator.instance", matrices)
    assert problem.startswith(f"`{INSTANCE}.transition_matrices`: ")


def test_matrices_that_stand_outside_instance(site):
    (site.parent / "site/generative_process/flat.yaml").write_text(
        f"_target_: {PROCESSES}.from_matrices\ntransition_matrices: [[[1.0]]]\ninitial_state: null\nbos_token: null\n"
    )
    (problem,) = problems_of("training_data_generator=flat")
    assert problem.startswith("`training_data_generator`: needs an `instance`: _target_, transition_matrices")


def test_one_section_alone(site):
    config = compose("experiment", ["seed=-1", "training.batch_size=0"])
    assert [problem.path for problem in check(config, only="seed")] == ["seed"]


def test_optax_is_given_functions_of_parameters_and_not_their_names():
    # optax takes a string for a mask, as one that is true of every parameter.
    adamw = ("training/optimizer=adamw", "training.optimizer.instance.mask=weights_only")
    (problem,) = check(compose("experiment", adamw))
    assert str(problem) == (
        "`training.optimizer.instance.mask`: must be null, or a section as "
        "{_target_: simplexity.training.weights_only}, got the string 'weights_only'"
    )
