"""The optimizer that a config names: a factor that follows the losses, and sections that name something else."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.composition import ConfigError, check, compose
from simplexity.generative_processes import DataGenerator, coin
from simplexity.predictive_models import GRU, Transformer
from simplexity.running._optimizer import build_optimizer
from simplexity.training import TrainingSettings, initial_train_state, run_keys

INSTANCE = "training.optimizer.instance"
NO_SCHEDULE = "must make a function from the step to a number, as optax.cosine_decay_schedule does"
PLATEAU = "{_target_: optax.contrib.reduce_on_plateau}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.schedule={_target_: optax.identity}"], f"`training.schedule`: {NO_SCHEDULE}, or be optax.contrib"),
        ([f"{INSTANCE}.learning_rate={PLATEAU}"], f"`{INSTANCE}.learning_rate`: {NO_SCHEDULE}, got Gradient"),
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


def test_the_learning_rate_falls_where_the_loss_no_longer_does():
    plateau = ("training/schedule=reduce_on_plateau", "training.schedule.patience=2", "training.schedule.cooldown=1")
    config = compose("experiment", [*plateau, "training.schedule.accumulation_size=3", f"{INSTANCE}.learning_rate=0.1"])
    assert check(config) == []
    built = build_optimizer(config)
    optimizer = built.make(built.hyperparameters)
    parameters = {"weight": jnp.ones(2)}
    update = jax.jit(optimizer.update)
    state, rates = optimizer.init(parameters), []
    # Windows of three losses. The second one is better; two that are not halve the rate; the next does not count.
    for window, loss in enumerate([2.0, 1.0, 1.0, 1.5, 1.0, 1.0, 1.0]):
        for error in (-0.25, 0.5, -0.25):
            _, state = update(parameters, state, parameters, value=jnp.asarray(loss + error))
        rates.append(built.learning_rate(3 * window + 2, lambda state=state: state))
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "muon"])
def test_the_packaged_optimizers_update_a_model(name):
    config = compose("experiment", [f"training/optimizer={name}", f"{INSTANCE}.learning_rate=0.5"])
    assert check(config) == []
    built = build_optimizer(config)
    assert "learning_rate" in built.hyperparameters.optimizer
    optimizer = built.make(built.hyperparameters)
    parameters = {"matrix": np.eye(2, dtype=np.float32), "vector": np.ones(2, np.float32)}
    update, state = first_update(optimizer, parameters, parameters)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(update))
    assert built.learning_rate(0, lambda: state) == 0.5


def first_update(optimizer, gradient, parameters):
    """The update, and the state before it, from one program."""

    @jax.jit
    def compute(gradient, parameters):
        state = optimizer.init(parameters)
        return optimizer.update(gradient, state, parameters)[0], state

    return jax.device_get(compute(gradient, parameters))


@pytest.mark.parametrize(("name", "key"), [("adamw", "mask"), ("muon", "weight_decay_mask")])
def test_weight_decay_of_weights_only(name, key):
    mask = f"{INSTANCE}.{key}={{_target_: simplexity.training.weights_only}}"
    config = compose("experiment", [f"training/optimizer={name}", mask, f"{INSTANCE}.weight_decay=0.5"])
    assert check(config) == []
    built = build_optimizer(config)
    optimizer = built.make(built.hyperparameters)
    make = partial(Transformer, 4, 1, 1, 8, "learned", sequence_len=3, vocab_size=3, key=jax.random.key(0))
    shapes = eqx.filter(eqx.filter_eval_shape(make), lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
    parameters = jax.tree.map(lambda leaf: np.ones(leaf.shape, leaf.dtype), shapes)
    gradient = jax.tree.map(np.zeros_like, parameters)
    update, _ = first_update(optimizer, gradient, parameters)
    decayed = {jax.tree_util.keystr(path) for path, leaf in jax.tree.leaves_with_path(update) if (leaf < 0).any()}
    block = ".blocks[0]"
    parts = ("attention.queries_keys_values", "attention.output", "mlp.inner", "mlp.output")
    # Adam trains the head where Muon trains the others, without a decay.
    assert decayed == {f"{block}.{part}.weight" for part in parts} | ({".head.weight"} if name == "adamw" else set())


@pytest.mark.slow
def test_muon_trains_embedding_and_head_as_adam_does():
    # Adam moves every number by the same, if all have the same gradient.
    rates = (f"{INSTANCE}.learning_rate=0.5", f"{INSTANCE}.adam_learning_rate=0.25")
    config = compose("experiment", ["training/optimizer=muon", *rates])
    assert check(config) == []
    built = build_optimizer(config)
    optimizer = built.make(built.hyperparameters)
    model = Transformer(4, 1, 1, 8, "learned", sequence_len=3, vocab_size=3, key=jax.random.key(0))
    parameters = eqx.filter(model, eqx.is_inexact_array)
    gradient = jax.tree.map(jnp.ones_like, parameters)
    update, _ = optimizer.update(gradient, optimizer.init(parameters), parameters)
    leaves = jax.tree.leaves_with_path(update)
    orthogonalised = {
        jax.tree_util.keystr(path) for path, leaf in leaves if not jnp.allclose(leaf, update.head.bias[0])
    }
    parts = ("attention.queries_keys_values", "attention.output", "mlp.inner", "mlp.output")
    assert orthogonalised == {f".blocks[0].{part}.weight" for part in parts}


def test_a_plateau_of_the_validation_loss_needs_validations():
    plateau = "training/schedule=reduce_on_validation_plateau"
    assert check(compose("experiment", [plateau])) == []
    with pytest.raises(ConfigError, match=r"`training\.schedule`: follows the validation loss: choose"):
        build_optimizer(compose("experiment", [plateau, "validation=null"]))
    (problem,) = check(compose("experiment", [plateau, "training.schedule.factor=2.0"]))
    assert "Factor must be in the range (0, 1), got factor = 2.0" in str(problem)


def test_a_plateau_of_the_validation_loss_lowers_the_logged_learning_rate():
    plateau = ("training/schedule=reduce_on_validation_plateau", "training.schedule.patience=1")
    built = build_optimizer(compose("experiment", [*plateau, f"{INSTANCE}.learning_rate=0.1"]))
    optimizer = built.make(built.hyperparameters)
    keys = run_keys(0)
    settings = TrainingSettings(1, 1, 1, 1, False, None)
    model = GRU(1, 1, vocab_size=2, key=keys.initialization)
    generator = DataGenerator(coin(0.5), None, None)
    state = initial_train_state(model, optimizer, generator, settings, key=keys.data)
    for loss, rate in ((0.5, 0.1), (0.4, 0.1), (0.4, 0.05), (0.3, 0.05)):
        assert built.after_validation is not None
        state = built.after_validation(state, loss)
        assert built.learning_rate(0, lambda state=state: state.optimizer_state) == pytest.approx(rate)
