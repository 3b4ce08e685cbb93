"""Rows with special tokens, and the true distributions of their targets."""

from functools import partial

import jax
import numpy as np
import pytest

from simplexity.generative_processes import DataGenerator, coin, even_ones, tom_quantum


@pytest.mark.parametrize(
    ("bos", "eos", "ids", "vocab_size"),
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
def test_special_tokens(bos, eos, ids, vocab_size):
    generator = DataGenerator(even_ones(0.5), bos, eos)
    assert (generator.bos_token, generator.eos_token) == ids
    assert generator.vocab_size == vocab_size


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

    def draw(key, sequence_len):
        state = generator.initial_sampling_state(2, key=key)
        _, rows = generator.sample(state, sequence_len, key=key)
        return rows, jax.vmap(generator.next_token_probabilities)(rows)

    rows, probabilities = jax.eval_shape(partial(draw, sequence_len=least), jax.random.key(0))
    assert rows.shape == (2, least + 1)
    assert probabilities.shape == (2, least, generator.vocab_size)
    with pytest.raises(ValueError, match=rf"^`sequence_len` must be at least {least}, .* got {least - 1}$"):
        draw(jax.random.key(0), least - 1)


@pytest.mark.parametrize(
    ("process", "bos", "eos"),
    [
        (even_ones(0.5), None, None),
        (even_ones(0.5), "auto", None),
        (tom_quantum(1.0, 3.0), None, "auto"),
        (tom_quantum(1.0, 3.0), "auto", "auto"),
    ],
)
def test_rows_and_the_probabilities_of_their_targets(process, bos, eos):
    generator = DataGenerator(process, bos, eos)

    @jax.jit
    def draw(key):
        state = generator.initial_sampling_state(4, key=key)
        _, rows = generator.sample(state, 5, key=key)
        words = rows[:, bos is not None : 6 - (eos is not None)]
        expected = jax.vmap(process.word_probability)(words)
        if bos is None:
            # The first token is an input only.
            expected = expected / jax.vmap(process.word_probability)(words[:, :1])
        return rows, jax.vmap(generator.next_token_probabilities)(rows), expected

    rows, probabilities, expected = map(np.asarray, draw(jax.random.key(3)))
    assert rows.shape == (4, 6)
    assert probabilities.shape == (4, 5, generator.vocab_size)
    assert (rows[:, 0] == generator.bos_token).all() == (bos is not None)
    assert (rows[:, -1] == generator.eos_token).all() == (eos is not None)
    assert (rows[:, 1:-1] < process.vocab_size).all()
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-5)
    targets = np.take_along_axis(probabilities, rows[:, 1:, None], axis=-1)[..., 0]
    np.testing.assert_allclose(targets.prod(axis=1), expected, rtol=1e-4)
