"""The compiled program against a step written out, and the optimizer against that of optax."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simplexity.training import make_optimizer, run_keys

from .conftest import make_run


@pytest.mark.parametrize("cuts", [(40,), (1,) * 40, (13, 26, 1), (7, 33)])
def test_steps_cut_into_calls_in_any_way_give_the_same_bits(run, same_bits, cuts):
    state = run.fresh()
    for num_steps in cuts:
        state = run.train_steps(state, num_steps)
    assert int(state.step) == 40
    assert same_bits(state, run.train_steps(run.fresh(), 40))


def test_one_step_is_the_textbook_s(run):
    """Against a step written out: draw the same batch, differentiate, update."""

    @eqx.filter_jit
    def textbook(state):
        start_key, sample_key = jax.random.split(jax.random.fold_in(state.key, 0))
        start = run.generator.initial_sampling_state(run.settings.batch_size, key=start_key)
        _, tokens = run.generator.sample(start, run.settings.sequence_len, key=sample_key)

        def loss_of(model):
            logits = jax.vmap(model)(tokens[:, :-1])
            loss = -jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, 1:, None], axis=-1).mean()
            return loss, (logits.argmax(axis=-1) == tokens[:, 1:]).mean()

        (loss, hits), gradient = eqx.filter_value_and_grad(loss_of, has_aux=True)(state.model)
        parameters = eqx.filter(state.model, eqx.is_inexact_array)
        update, _ = run.optimizer_of(run.arguments.hyperparameters).update(gradient, state.optimizer_state, parameters)
        norms = optax.tree.norm(gradient), optax.tree.norm(update)
        return eqx.apply_updates(state.model, update), loss, hits, *norms

    expected, loss, hits, gradient_norm, update_norm = textbook(run.fresh())
    after = run.train_steps(run.fresh(), 1)
    for new, wanted in zip(jax.tree.leaves(after.model), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(new, wanted, rtol=1e-4, atol=1e-5)
    window = after.window
    assert float(window.loss) == pytest.approx(float(loss), rel=1e-5)
    assert float(window.accuracy) == pytest.approx(float(hits))
    assert float(window.gradient_norm) == pytest.approx(float(gradient_norm), rel=1e-4)
    assert float(window.update_norm) == pytest.approx(float(update_norm), rel=1e-4)


def test_every_step_draws_fresh_sequences(run):
    one = run.train_steps(run.fresh(), 1)
    losses = [float(one.window.loss)]
    for _ in range(3):
        before = float(one.window.loss)
        one = run.train_steps(one, 1)
        losses.append(float(one.window.loss) - before)
    assert len({round(loss, 5) for loss in losses}) == 4


def test_carried_states_continue_the_sequences():
    run = make_run(carry_state=True)
    state = run.fresh()
    before = np.array(state.sampling_state)
    after = run.train_steps(state, 3)
    assert before.shape == np.shape(after.sampling_state) == (run.settings.batch_size,)
    assert not np.array_equal(before, after.sampling_state)


def test_state_before_a_loss_that_is_not_finite_is_kept(same_bits):
    run = make_run(learning_rate=1e38)
    state = run.train_steps(run.fresh(), 40)
    failed_after = int(state.step)
    assert not bool(state.finite)
    assert 0 < failed_after < 40
    replayed = run.train_steps(run.fresh(), failed_after)
    assert same_bits(replayed.optimizer_state, state.optimizer_state)
    window = eqx.tree_at(lambda w: (w.gradient_norm, w.update_norm), replayed.window, (jnp.zeros(()),) * 2)
    assert same_bits(window, state.window)


def test_keys_of_a_run_differ_from_each_other_and_between_seeds():
    keys = [jax.random.key_data(key).tolist() for seed in (0, 1) for key in run_keys(seed)]
    assert len({tuple(key) for key in keys}) == 6


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
