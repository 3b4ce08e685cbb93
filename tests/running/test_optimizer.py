"""Sections that name something else than an optimizer or a schedule."""

import pytest

from simplexity.composition import ConfigError, check, compose
from simplexity.running._optimizer import build_optimizer

INSTANCE = "training.optimizer.instance"
NO_SCHEDULE = "must make a function from the step to a number, as optax.cosine_decay_schedule does, got Gradient"
PLATEAU = "{_target_: optax.contrib.reduce_on_plateau}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([f"training.schedule={PLATEAU}"], f"`training.schedule`: {NO_SCHEDULE}"),
        (["training.schedule={_target_: optax.identity}"], f"`training.schedule`: {NO_SCHEDULE}"),
        ([f"{INSTANCE}.learning_rate={PLATEAU}"], f"`{INSTANCE}.learning_rate`: {NO_SCHEDULE}"),
        ([f"~{INSTANCE}", f"+{INSTANCE}={PLATEAU}"], f"`{INSTANCE}`: must make an optimizer that needs no more than "),
        ([f"~{INSTANCE}", f"+{INSTANCE}={{_target_: optax.lbfgs}}"], f"`{INSTANCE}`: must make an optimizer "),
        (
            [f"~{INSTANCE}", f"+{INSTANCE}={{_target_: optax.linear_schedule, init_value: 1.0, end_value: 0.0, "
             "transition_steps: 3}"],
            f"`{INSTANCE}`: must make an optimizer ",
        ),
    ],
)  # fmt: skip
def test_what_is_something_else_gets_one_line(overrides, message):
    config = compose("experiment", overrides)
    assert check(config) == []
    with pytest.raises(ConfigError) as raised:
        build_optimizer(config)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
