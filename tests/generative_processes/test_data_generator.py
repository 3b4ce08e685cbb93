"""Rows with special tokens, and the true distributions of their targets."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.generative_processes import DataGenerator, coin, even_ones, tom_quantum


@pytest.mark.parametrize(
    ("bos", "eos", "settled", "vocab_size"),
    [
        (None, None, (None, None), 2),
        ("auto", None, (2, None), 3),
        (None, "auto", (None, 2), 3),
        ("auto", "auto", (2, 3), 4),
        ("auto", 2, (3, 2), 4),
        (2, "auto", (2, 3), 4),
        (3, "auto", (3, 2), 4),
        (3, 2, (3, 2), 4),
    ],
)
def test_special_tokens(bos, eos, settled, vocab_size):
    generator = DataGenerator(even_ones(0.5), bos, eos)
    assert (generator.bos_token, generator.eos_token) == settled
    assert generator.vocab_size == vocab_size
    state = generator.initial_sampling_state(5, key=jax.random.key(0))
    _, rows = generator.sample(state, 6, key=jax.random.key(1))
    assert rows.shape == (5, 7)
    drawn = rows[:, bos is not None : 7 - (eos is not None)]
    assert (drawn < 2).all()
    if bos is not None:
        assert (rows[:, 0] == settled[0]).all()
    if eos is not None:
        assert (rows[:, -1] == settled[1]).all()


@pytest.mark.parametrize(
    ("bos", "eos", "message"),
    [
        (1, None, r"^`bos_token` must not be one of the process's tokens 0 to 1, got 1: use 2 or auto$"),
        (None, 0, r"^`eos_token` must not be one of the process's tokens 0 to 1, got 0: use 2 or auto$"),
        (3, None, r"^`bos_token` must follow the process's tokens 0 to 1, got 3: use 2 or auto$"),
        (-1, None, r"^`bos_token` must follow"),
        (2, 4, r"^`eos_token` must follow the process's tokens 0 to 1, got 4: use 3 or auto$"),
        (2, 2, r"^`bos_token` and `eos_token` must differ, got 2 for both: use 2 and 3$"),
    ],
)
def test_special_tokens_that_do_not_fit(bos, eos, message):
    with pytest.raises(ValueError, match=message):
        DataGenerator(even_ones(0.5), bos, eos)


@pytest.mark.parametrize(("bos", "eos", "least"), [(None, None, 1), ("auto", None, 1), (None, "auto", 2)])
def test_the_shortest_rows(bos, eos, least):
    generator = DataGenerator(coin(0.5), bos, eos)
    state = generator.initial_sampling_state(2, key=jax.random.key(0))
    _, rows = generator.sample(state, least, key=jax.random.key(1))
    assert generator.next_token_probabilities(rows[0]).shape == (least, generator.vocab_size)
    with pytest.raises(ValueError, match=rf"^`sequence_len` must be at least {least}, .* got {least - 1}$"):
        generator.sample(state, least - 1, key=jax.random.key(1))


@pytest.mark.parametrize("process", [even_ones(0.5), tom_quantum(1.0, 3.0)], ids=["hmm", "ghmm"])
@pytest.mark.parametrize(("bos", "eos"), [(None, None), ("auto", None), (None, "auto"), ("auto", "auto")])
def test_next_token_probabilities(process, bos, eos):
    generator = DataGenerator(process, bos, eos)

    @eqx.filter_jit
    def draw(generator, key):
        state = generator.initial_sampling_state(4, key=key)
        _, rows = generator.sample(state, 5, key=key)
        return rows, jax.vmap(generator.next_token_probabilities)(rows)

    rows, probabilities = draw(generator, jax.random.key(3))
    assert probabilities.shape == (4, 5, generator.vocab_size)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    # The product of the targets' probabilities is that of the drawn word, given its first token where that is an input.
    targets = jnp.take_along_axis(probabilities, rows[:, 1:, None], axis=-1)[..., 0]
    drawn = rows[:, bos is not None : 6 - (eos is not None)]
    expected = jax.vmap(process.word_probability)(drawn)
    if bos is None:
        expected = expected / jax.vmap(process.word_probability)(drawn[:, :1])
    np.testing.assert_allclose(jnp.prod(targets, axis=1), expected, rtol=1e-4)
