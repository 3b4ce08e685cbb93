"""The KL divergence over all words, against brute force."""

from collections import OrderedDict

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from simplexity import generative_processes as gp
from simplexity.analysis import kl_by_position, words_of
from simplexity.predictive_models import PredictiveModel
from tests import oracles

LENGTH = 3


class LastToken(PredictiveModel):
    """Logits that the token and its position choose."""

    table: np.ndarray

    def forward(self, tokens):
        return jnp.asarray(self.table)[jnp.arange(tokens.shape[1]), tokens], OrderedDict()


@pytest.mark.parametrize("bos", [None, 3])
def test_against_all_words(bos):
    process = gp.mess3(0.05, 0.85)
    tables = process.transition_matrices, process.initial_state, process.normalizer
    model = LastToken(np.random.default_rng(0).normal(size=(LENGTH + 1, 4, 4)))
    found = kl_by_position(model, words_of(gp.DataGenerator(process, bos, None), LENGTH))
    expected = []
    for length in range(0 if bos is not None else 1, LENGTH + 1):
        joint = oracles.word_probabilities(*tables, length + 1).reshape(-1, 3)
        total = 0.0
        for word, row in zip(oracles.words(3, length), joint, strict=True):
            read = [*([] if bos is None else [bos]), *word]
            log_q = log_softmax(model.table[len(read) - 1, read[-1]])[:3]
            total += row @ (np.log(row / row.sum()) - log_q)
        expected.append(total)
    np.testing.assert_allclose(found, expected, atol=1e-6)
