"""The best possible loss of a generator's rows, with and without special tokens."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.generative_processes import HMM, DataGenerator, entropy_rate, loss_optimum
from tests import oracles

STARTED = HMM(gp.zero_one_random(0.3).transition_matrices, np.array([0.5, 0.5, 0.0]))


@pytest.mark.parametrize("process", [gp.no_consecutive_ones(0.4), gp.rrxor(0.5, 0.4), STARTED])
@pytest.mark.parametrize(("bos", "eos"), [(None, None), ("auto", None), (None, "auto"), ("auto", "auto")])
def test_which_entropies_are_paid(process, bos, eos):
    sequence_len = 7
    entropies = oracles.myopic_entropies(
        process.transition_matrices, process.initial_state, process.normalizer, sequence_len + 1
    )
    expected = entropies[0 if bos else 1 :][:sequence_len]
    if eos:
        # As many targets, the last of which is certain.
        expected = np.append(expected[: sequence_len - 1], 0)
    optimum = loss_optimum(DataGenerator(process, bos, eos), sequence_len)
    np.testing.assert_allclose(optimum.per_position, expected, atol=1e-12)
    assert optimum.nats == pytest.approx(expected.mean(), abs=1e-12)
    assert optimum.error_nats == 0


@pytest.mark.parametrize(("bos", "eos"), [(None, None), ("auto", "auto")])
def test_the_process_s_own_predictions_reach_it(bos, eos):
    generator, sequence_len, batch_size = DataGenerator(gp.mess3(0.05, 0.85), bos, eos), 12, 4000

    @eqx.filter_jit
    def losses(key):
        state_key, key = jax.random.split(key)
        state = generator.initial_sampling_state(batch_size, key=state_key)
        _, rows = generator.sample(state, sequence_len, key=key)
        probabilities = jax.vmap(generator.next_token_probabilities)(rows)
        return -jnp.log(jnp.take_along_axis(probabilities, rows[:, 1:, None], axis=-1)[..., 0])

    drawn = np.asarray(losses(jax.random.key(3)), dtype=np.float64)
    optimum = loss_optimum(generator, sequence_len)
    standard_error = drawn.mean(axis=1).std() / batch_size**0.5
    assert abs(drawn.mean() - optimum.nats) < 4 * standard_error
    standard_errors = drawn.std(axis=0) / batch_size**0.5
    assert (np.abs(drawn.mean(axis=0) - optimum.per_position) <= 4 * standard_errors + 1e-6).all()


@pytest.mark.slow
def test_the_default_experiment_s_optimum_is_known_to_a_millionth():
    optimum = loss_optimum(DataGenerator(gp.mess3(0.05, 0.85), None, None), 64)
    assert 0 < optimum.error_nats < 1e-6
    assert optimum.nats == pytest.approx(optimum.per_position.mean())
    assert optimum.per_position[-1] == pytest.approx(entropy_rate(gp.mess3(0.05, 0.85)).value, abs=1e-5)


# A period of three, known at the start of each sequence; and a start that is forgotten within a few tokens.
PERIODIC = HMM(gp.zero_one_random(0.3).transition_matrices, np.array([1.0, 0.0, 0.0]))
FORGETFUL = HMM(gp.mess3(0.2, 0.8).transition_matrices, np.array([1.0, 0.0, 0.0]))


@pytest.mark.parametrize("process", [PERIODIC, FORGETFUL, gp.tom_quantum(1.0, 3.0)])
@pytest.mark.parametrize(("sequence_len", "eos"), [(4, None), (5, None), (5, "auto")])
def test_rows_that_continue_each_other(process, sequence_len, eos):
    generator = DataGenerator(process, None, eos)
    num_drawn = generator.num_drawn(sequence_len)
    summed = process.transition_matrices.sum(axis=0)
    # The mean over the first row, the one after it and so on, of the words in a row.
    state, states = process.initial_state, []
    for _ in range(3000):
        states.append(state)
        state = state @ np.linalg.matrix_power(summed, num_drawn)
    entropies = oracles.myopic_entropies(
        process.transition_matrices, np.mean(states[1500:], axis=0), process.normalizer, num_drawn
    )[1:]
    optimum = loss_optimum(generator, sequence_len, carry_state=True)
    assert optimum.nats == pytest.approx(entropies.sum() / sequence_len, abs=1e-9)
    if process is PERIODIC:
        # Rows of six tokens all begin at the same phase.
        begun_at_the_start = loss_optimum(generator, sequence_len).nats
        assert (optimum.nats > begun_at_the_start + 0.01) == (num_drawn != 6)


def flip(p):
    """A biased token and a fair one in turns, from the biased one on."""
    matrices = np.zeros((2, 2, 2))
    matrices[:, 0, 1], matrices[:, 1, 0] = [p, 1 - p], [0.5, 0.5]
    return HMM(matrices, np.array([1.0, 0.0]))


@pytest.mark.parametrize(
    "process",
    [
        # Both factors are always in the same phase: rows of five tokens begin at one or at the other.
        gp.product([flip(0.9), flip(0.8)]),
        gp.chain([[gp.coin(0.3)], [gp.even_ones(0.5), gp.even_ones(0.25)]], [[0, 1]]),
        gp.product([gp.chain([[gp.coin(0.3)], [gp.even_ones(0.5), gp.even_ones(0.25)]], [[0, 1]]), gp.coin(0.1)]),
        gp.noisy(gp.product([gp.coin(0.3), gp.even_ones(0.25)]), 0.1),
    ],
)
def test_rows_of_a_composite_that_continue_each_other_are_those_of_its_matrices(process):
    composite, matrices = (DataGenerator(made, None, None) for made in (process, process.as_matrices()))
    found, expected = (loss_optimum(made, 4, carry_state=True) for made in (composite, matrices))
    assert found.nats == pytest.approx(expected.nats, abs=1e-9)
    assert found.error_nats < 1e-9


def test_rows_that_continue_each_other_are_refused_where_their_optimum_is_not_known():
    for process in (
        gp.conditioned([[gp.coin(0.3)], [gp.coin(0.5), gp.coin(0.1)]], [[0, 0], [0, 1]]),
        gp.product([gp.conditioned([[gp.coin(0.3)], [gp.coin(0.5), gp.coin(0.1)]], [[0, 0], [0, 1]]), gp.coin(0.1)]),
    ):
        with pytest.raises(ValueError, match=r"^`carry_state` must be false with this process: the optimum of rows"):
            loss_optimum(DataGenerator(process, None, None), 4, carry_state=True)


def test_a_single_target():
    assert loss_optimum(DataGenerator(gp.coin(0.5), None, None), 1).nats == pytest.approx(np.log(2))
    assert loss_optimum(DataGenerator(gp.coin(0.5), "auto", "auto"), 1).nats == 0
    with pytest.raises(ValueError, match=r"^`sequence_len` must be at least 1, got 0$"):
        loss_optimum(DataGenerator(gp.coin(0.5), None, None), 0)
