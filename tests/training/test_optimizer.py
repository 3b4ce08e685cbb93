import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simplexity.training import make_optimizer


def parameters_after(optimizer, gradients):
    parameters = jnp.array([1.0, -2.0])
    state = optimizer.init(parameters)
    for gradient in gradients:
        update, state = optimizer.update(jnp.array(gradient), state, parameters)
        parameters = optax.apply_updates(parameters, update)
    return np.asarray(parameters)


GRADIENTS = [[0.3, 0.1], [-0.2, 0.5], [0.4, 0.4]]


@pytest.mark.parametrize(
    "make",
    [lambda rate: optax.sgd(rate, momentum=0.9), optax.adam, lambda rate: optax.adamw(rate, weight_decay=0.1)],
)
def test_factor_of_the_update_is_a_factor_of_the_learning_rate(make):
    schedule = optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=1, decay_steps=3, end_value=0.1)
    scaled = make_optimizer(make(0.1), schedule, None)
    scheduled = make(lambda step: 0.1 * schedule(step))
    np.testing.assert_allclose(parameters_after(scaled, GRADIENTS), parameters_after(scheduled, GRADIENTS), rtol=1e-6)


def test_gradients_are_clipped_to_the_norm_and_not_below():
    clipped = make_optimizer(optax.sgd(1.0), None, 1.0)
    np.testing.assert_allclose(parameters_after(clipped, [[30.0, 40.0]]), [1 - 0.6, -2 - 0.8], rtol=1e-6)
    np.testing.assert_allclose(parameters_after(clipped, [[0.3, 0.4]]), [0.7, -2.4], rtol=1e-6)
