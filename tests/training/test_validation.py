"""Validation of the process itself and of a small model, against the known optimum."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simplexity.generative_processes import DataGenerator, loss_optimum, mess3
from simplexity.predictive_models import GRU, PredictiveModel
from simplexity.training import TrainingSettings, Validation, ValidationSettings, initial_train_state, make_score

LENGTH = 6
SETTINGS = ValidationSettings(every=10, batch_size=500, num_batches=2)


class Oracle(PredictiveModel):
    """Predicts with the process's own next-token distribution, or one that is less sharp."""

    generator: DataGenerator
    sharpness: float = 1.0

    def forward(self, tokens):
        # The last target is not needed to predict it.
        rows = jnp.concatenate([tokens, jnp.zeros_like(tokens[:, :1])], axis=1)
        return self.sharpness * jnp.log(jax.vmap(self.generator.next_token_probabilities)(rows)), {}


@pytest.fixture(scope="module")
def generator():
    return DataGenerator(mess3(0.05, 0.85), None, None)


def state_of(generator, model):
    settings = TrainingSettings(1, 1, LENGTH, 1, False, None)
    return initial_train_state(model, optax.identity(), generator, settings, key=jax.random.key(0))


def validate(generator, model, seed=0):
    return Validation(generator, SETTINGS, LENGTH, key=jax.random.key(seed))(state_of(generator, model))


def test_process_itself_reaches_the_optimum_without_divergence(generator):
    scores = validate(generator, Oracle(generator))
    assert scores.kl == pytest.approx(0, abs=1e-6)
    assert scores.sampled_loss == pytest.approx(loss_optimum(generator, LENGTH).nats, abs=0.03)


@pytest.fixture(scope="module")
def model():
    return eqx.filter_jit(GRU)(4, 1, vocab_size=3, key=jax.random.key(1))


@pytest.fixture(scope="module")
def state(generator, model):
    return state_of(generator, model)


@pytest.fixture(scope="module")
def validation(generator):
    """One compiled program for all tests of the small model."""
    return Validation(generator, SETTINGS, LENGTH, key=jax.random.key(0))


def test_means_over_positions_are_the_whole_s(generator, validation, state):
    scores = validation(state)
    assert scores.accuracy == pytest.approx(scores.accuracy_per_position.mean())
    assert scores.kl == pytest.approx(scores.kl_per_position.mean())
    # The sampled loss is the optimum and the divergence, but for the sampled tokens' noise.
    assert scores.sampled_loss == pytest.approx(loss_optimum(generator, LENGTH).nats + scores.kl, abs=0.03)


def test_the_loss_has_far_less_noise_than_that_of_sampled_tokens(generator):
    # A model that is nearly trained, on 20 sets of sequences.
    model = Oracle(generator, sharpness=0.9)
    validation = Validation(generator, SETTINGS, LENGTH, key=jax.random.key(0))
    key = jax.random.key(0)
    scores = np.array([validation._score(generator, model, key, jnp.int32(batch)) for batch in range(20)], np.float64)
    scores = scores.mean(axis=2)
    sampled, divergences = scores[:, 0], scores[:, 2]
    assert divergences.std(ddof=1) < sampled.std(ddof=1) / 10
    # The two measure the same.
    excess = sampled.mean() - loss_optimum(generator, LENGTH).nats
    assert excess == pytest.approx(divergences.mean(), abs=4 * float(sampled.std(ddof=1)) / 20**0.5)


def test_same_key_validates_on_the_same_sequences_compiled_ahead_or_not(generator, validation, model, state):
    key = jax.random.key(0)
    score = make_score(SETTINGS.batch_size, LENGTH).lower(generator, model, key, jax.device_put(np.int32(0))).compile()
    ahead = Validation(generator, SETTINGS, LENGTH, key=key, score=score)
    assert validation(state).sampled_loss == validation(state).sampled_loss == ahead(state).sampled_loss
    assert validate(generator, model, seed=1).sampled_loss != validation(state).sampled_loss


def test_interruption_is_heeded_between_batches(validation, state):
    asked = []

    def interrupted():
        asked.append(True)
        return len(asked) > 1

    assert validation(state, interrupted) is None
    assert len(asked) == 2


def test_same_seed_means_no_training_sequence_is_validated(generator):
    from simplexity.training import run_keys

    keys = run_keys(0)
    assert not eqx.tree_equal(jax.random.key_data(keys.data), jax.random.key_data(keys.validation))
