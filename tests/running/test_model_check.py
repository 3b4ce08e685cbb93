"""Models of the user's own, which the config check traces with shapes alone."""

import sys

import pytest

from simplexity.composition import ConfigError, check, compose
from simplexity.running._build import build

_FILE = """
import equinox as eqx
import jax
import jax.numpy as jnp


class Model(eqx.Module):
    weight: jax.Array
    how: str = eqx.field(static=True)

    def __init__(self, how: str, *, vocab_size: int, sequence_len: int, key):
        if how == "broken init":
            self.nothing.weight
        self.how = how
        self.weight = jnp.zeros((vocab_size, 4 if how == "wrong vocab" else vocab_size))

    def forward(self, tokens):
        logits = self.weight[tokens]
        if self.how == "broken forward":
            return self.weight @ logits
        return {
            "right": (logits, {}),
            "wrong vocab": (logits, {}),
            "no activations": logits,
            "one sequence": (logits[0], {}),
            "integers": (logits.astype(int), {}),
            "a list": (logits, []),
        }[self.how]


class Plain:
    def __init__(self, how: str, *, vocab_size: int, key):
        pass
"""


@pytest.fixture
def problem_of(tmp_path, monkeypatch):
    """What is wrong with a model beside the site's configs; None if nothing is."""
    (tmp_path / "models_of_a_user.py").write_text(_FILE)
    monkeypatch.setenv("SIMPLEXITY_CONFIGS", str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "predictive_model").mkdir()

    def _problem_of(how, name="Model"):
        (tmp_path / "predictive_model/own.yaml").write_text(
            f"instance: {{_target_: models_of_a_user.{name}, how: {how}}}\n"
            "load_checkpoint_step: null\nload_checkpoint_from: null\n"
        )
        config = compose("experiment", ["predictive_model=own", "training.sequence_len=8"])
        assert check(config) == []
        try:
            build(config)
        except ConfigError as error:
            return str(error)
        return None

    yield _problem_of
    sys.modules.pop("models_of_a_user", None)


def test_a_model_of_the_right_form_has_no_problem(problem_of):
    assert problem_of("right") is None


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("wrong vocab", "for tokens of shape (2, 8) that is float32[2, 8, 3], got float32[2, 8, 4]"),
        ("one sequence", "float32[2, 8, 3], got float32[8, 3]"),
        ("integers", "float32[2, 8, 3], got int32[2, 8, 3]"),
        ("no activations", "a dict of activations, got float32[2, 8, 3]"),
        ("a list", "a dict of activations, got (float32[2, 8, 3], a list)"),
        ("broken forward", "fails on tokens of shape (2, 8): TypeError: dot_general requires"),
        ("broken forward", "models_of_a_user.py, line 20)"),
        ("broken init", "cannot be made: AttributeError: "),
    ],
)
def test_a_model_of_wrong_form_is_one_line_with_both_shapes(problem_of, how, says):
    said = problem_of(how)
    assert said.startswith("`predictive_model.instance`: ")
    assert says in said
    assert "\n" not in said


def test_a_class_that_is_no_module(problem_of):
    assert "must make an equinox Module with a method `forward`, got a Plain" in problem_of("right", "Plain")
