import pytest

from simplexity.composition._signature import resolve, signature_of


def test_keys_of_a_settings_class():
    signature = signature_of("simplexity.training.TrainingSettings")
    assert signature.parameters["batch_size"].annotation is int
    assert signature.parameters["batch_size"].required
    assert signature.parameters["gradient_clip_norm"].annotation == float | None
    assert not signature.is_open


@pytest.mark.parametrize("target", ["optax.adam", "optax.adamw", "optax.sgd"])
def test_keys_of_third_parties_even_where_annotations_cannot_be_evaluated(target):
    parameters = signature_of(target).parameters
    assert parameters["learning_rate"].required
    assert not parameters["nesterov"].required
    assert "learningrate" not in parameters


def test_open_signatures_take_further_keys():
    assert signature_of("functools.partial.__call__").is_open


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("optax.adamm", "`optax` has no `adamm`; did you mean `adam`?"),
        ("optax.adam.more", "`optax.adam` has no `more`"),
        (
            "no_such_package.Name",
            "no package `no_such_package`: install it, or set SIMPLEXITY_CONFIGS to the folder of configs that has"
            " no_such_package.py",
        ),
        ("optax", "must be a dotted path"),
        ("optax..adam", "must be a dotted path"),
        ("math.pi", "must name a class or a function"),
    ],
)
def test_targets_that_cannot_be_resolved(target, message):
    with pytest.raises(ValueError, match=r".") as caught:
        resolve(target)
    assert message in str(caught.value)


def test_an_absent_package_names_the_folder_of_configs_and_whether_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIMPLEXITY_CONFIGS", raising=False)
    with pytest.raises(ValueError, match=rf"\(now {tmp_path}/configs, which does not exist\)"):
        resolve("my_models.Model")
    (tmp_path / "configs").mkdir()
    with pytest.raises(ValueError, match=rf"\(now {tmp_path}/configs\)"):
        resolve("my_models.Model")
