"""A planted linear map is found exactly, a shuffled one not at all, and the controls are what they say."""

from collections import OrderedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import simplexity as sx
from simplexity import generative_processes as gp
from simplexity.analysis import regress_beliefs, words_of
from simplexity.analysis._activations import explained_variance
from simplexity.analysis._controls import control_features
from simplexity.analysis._regression import fold_words, regress_each
from simplexity.predictive_models import GRU, LSTM, PredictiveModel

LENGTH = 6


class Planted(PredictiveModel):
    """Carries the process's belief states in a linear map, beside directions of noise; the second layer has noise."""

    process: gp.HMM
    directions: np.ndarray

    def forward(self, tokens):
        beliefs = jax.vmap(self.process.filter)(tokens)[:, 1:]
        noise = jnp.sin(1e3 * jnp.cumsum(tokens * jnp.arange(1.0, tokens.shape[1] + 1), axis=1))[..., None]
        activations = OrderedDict(planted=beliefs @ self.directions + 3.0, noise=noise)
        return jnp.log(jax.vmap(jax.vmap(self.process.observation_probabilities))(beliefs) + 1e-9), activations


def regress(features, targets, weights, folds):
    (found,) = regress_each(features, [targets], weights, folds)
    return found


@pytest.fixture(scope="module")
def planted():
    process = gp.rrxor(0.5, 0.4)
    directions = np.random.default_rng(0).normal(size=(process.num_states, 12))
    return regress_beliefs(Planted(process, directions), process, LENGTH)


def test_a_planted_map_is_recovered_and_a_shuffled_one_is_not(planted):
    assert planted.layers == ("planted", "noise", "all layers")
    assert planted["planted"].r2 > 1 - 1e-9
    assert planted["planted"].rmse < 1e-5
    assert planted["planted"].r2_distances > 1 - 1e-9
    assert planted["all layers"].r2 > 1 - 1e-6
    assert planted["noise"].r2 < 0.1
    (shuffled,) = [row.regression for row in planted.rows if row.kind == "shuffled"]
    assert shuffled.r2 < 0.05


def test_the_table_has_a_line_per_regression(planted):
    lines = str(planted).splitlines()
    assert lines[0] == "all words up to length 6, weighted by probability, cross-validated over words"
    assert len(lines) == 2 + len(planted.rows) + len(planted.layers) == 2 + len(planted.records()) + 3
    # The noise is one direction; what is planted has as many as belief states that are linearly independent, less one.
    assert lines[-2] == "noise: 1 principal components; 1 of them 90 %, 1 of them 95 %, 1 of them 99 % of the variance"
    assert planted.dimensions()["planted"]["99"] <= 4
    assert {record["kind"] for record in planted.records()} == {"trained", "shuffled", "control"}
    assert all(isinstance(record["r2"], float) for record in planted.records())


def test_an_untrained_model_is_one_more_control():
    key = jax.random.key(0)
    found = regress_beliefs(
        GRU(4, 2, vocab_size=3, key=key), gp.mess3(0.1, 0.7), 3, untrained=GRU(4, 2, vocab_size=3, key=key)
    )
    kinds = {row.kind: row.regression for row in found.rows if row.features == "all layers"}
    assert kinds["trained"].r2 == kinds["untrained"].r2


def test_the_memory_of_an_lstm_is_regressed_beside_its_output():
    found = regress_beliefs(LSTM(4, 2, vocab_size=3, key=jax.random.key(0)), gp.mess3(0.1, 0.7), 4)
    trained = {row.features: row.regression for row in found.rows if row.kind == "trained"}
    assert list(trained)[:4] == ["layer_0.memory", "layer_0", "layer_1.memory", "layer_1"]
    # An untrained LSTM forgets about half of its memory at each token, and its output is a part of that memory.
    assert all(0.5 < regression.r2 < 1 for regression in trained.values())
    assert trained["layer_0.memory"].r2 != trained["layer_0"].r2


def test_both_tables_of_data_with_bos_are_those_of_two_calls():
    process = gp.even_ones(0.5)
    generator = gp.DataGenerator(process, "auto", None)
    model = GRU(3, 1, vocab_size=3, key=jax.random.key(0))
    both = regress_beliefs(model, generator, 3, also_without_bos=True)
    assert both.without_bos is not None
    assert both.without_bos.records() == regress_beliefs(model, process, 3).records()
    assert both.records() == regress_beliefs(model, generator, 3).records() != both.without_bos.records()
    first, second = str(both).split("\n\nwithout BOS: ")
    assert (first, second) == (str(both._replace(without_bos=None)), str(both.without_bos))
    for without in (process, gp.DataGenerator(process, None, None)):
        with pytest.raises(ValueError, match="`also_without_bos` must be false: the sequences have no BOS"):
            regress_beliefs(model, without, 3, also_without_bos=True)


def test_words_that_share_a_sequence_share_a_fold():
    words = words_of(gp.mess3(0.1, 0.7), 4)
    folds = fold_words(words.rows)
    for row in range(len(words.sequences)):
        assert len(set(folds[words.rows == row])) == 1
    assert set(folds) == set(range(5))


def test_a_process_of_one_word_has_nothing_to_validate_on():
    with pytest.raises(ValueError, match="only one word"):
        fold_words(np.zeros(3, dtype=int))


def test_least_squares_against_numpy():
    rng = np.random.default_rng(1)
    features, weights = rng.normal(size=(200, 5)), rng.uniform(0.5, 2, size=200)
    targets = features @ rng.normal(size=(5, 2)) + 0.3 * rng.normal(size=(200, 2)) + 7
    folds = np.arange(200) % 4
    found = regress(features, targets, weights, folds)
    design = np.column_stack([features, np.ones(200)])
    expected = np.empty_like(targets)
    for fold in range(4):
        train, scale = folds != fold, np.sqrt(weights[folds != fold])[:, None]
        solution = np.linalg.lstsq(scale * design[train], scale * targets[train])[0]
        expected[folds == fold] = design[folds == fold] @ solution
    np.testing.assert_allclose(found.predictions, expected, atol=1e-9)
    residual = weights @ ((targets - expected) ** 2).sum(axis=1)
    mean = weights @ targets / weights.sum()
    assert found.r2 == pytest.approx(1 - residual / (weights @ ((targets - mean) ** 2).sum(axis=1)))


def test_more_features_than_words():
    rng = np.random.default_rng(3)
    features, weights, folds = rng.normal(size=(40, 90)), rng.uniform(0.5, 2, size=40), np.arange(40) % 4
    targets = features[:, :3] @ rng.normal(size=(3, 2)) + 0.1 * rng.normal(size=(40, 2))
    left, scales, _ = np.linalg.svd(features, full_matrices=False)
    found = regress(features, targets, weights, folds)
    # The same words in the directions that they span.
    expected = regress(left * scales, targets, weights, folds)
    np.testing.assert_allclose(found.predictions, expected.predictions, atol=1e-9)
    centred = (features - np.average(features, axis=0, weights=weights)) * np.sqrt(weights)[:, None]
    variances = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    np.testing.assert_allclose(explained_variance(features, weights), variances / variances.sum(), atol=1e-12)


def test_directions_of_rounding_are_cut_off():
    rng = np.random.default_rng(2)
    signal = rng.normal(size=(300, 1))
    targets = signal + 0.01 * rng.normal(size=(300, 1))
    # Almost the same feature twice: their difference is noise, which a fit without a cut-off would blow up.
    features = np.concatenate([signal, signal + 1e-9 * rng.normal(size=(300, 1))], axis=1)
    found = regress(features, targets, np.ones(300), np.arange(300) % 5)
    assert found.num_directions == 1
    assert found.r2 > 0.999


def test_beliefs_that_never_change_have_no_share_to_explain():
    found = regress(np.arange(10.0)[:, None], np.ones((10, 2)), np.ones(10), np.arange(10) % 2)
    assert np.isnan(found.r2)


@pytest.fixture(scope="module")
def controls():
    words = words_of(gp.mess3(0.05, 0.85), LENGTH)
    folds = fold_words(words.rows)
    return {
        name: regress(features, words.beliefs, words.probabilities, folds).r2
        for name, features in control_features(words)
    }


def test_what_the_next_token_tells_of_mess3_is_its_belief(controls):
    assert controls["next-token probabilities"] > 1 - 1e-9


def test_markov_states_of_a_higher_order_tell_more(controls):
    orders = [r2 for name, r2 in controls.items() if name.startswith("Markov")]
    assert len(orders) >= 3
    assert orders == sorted(orders)
    assert controls["last tokens, additive"] > controls["Markov states of order 1"]
    assert controls["tokens by position, additive"] < controls["last tokens, additive"]


def test_what_the_next_token_tells_of_rrxor():
    words = words_of(gp.rrxor(0.5, 0.5), 10)
    features = words.next_token_probabilities
    share = regress(features, words.beliefs, words.probabilities, fold_words(words.rows)).r2
    # Without cross-validation, as published: 0.246.
    assert share == pytest.approx(0.246, abs=0.02)


@pytest.mark.slow
def test_a_trained_model_carries_more_of_rrxor_than_its_next_token_tells():
    process = gp.rrxor(0.5, 0.5)
    model = GRU(64, 1, vocab_size=2, key=jax.random.key(0))
    fitted = sx.fit(model, process, optax.adam(5e-3), num_steps=300, batch_size=64, sequence_len=24)
    found = regress_beliefs(fitted.model, process, LENGTH + 2, untrained=model)
    r2 = {row.name: row.regression.r2 for row in found.rows}
    assert r2["layer_0"] > 0.75
    assert max(r2["next-token probabilities"], r2["their logarithms"], r2["layer_0, untrained model"]) < 0.4
    assert r2["layer_0"] > r2["Markov states of order 4"]
    assert r2["layer_0, shuffled beliefs"] < 0.05


def test_explained_variance():
    values = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [0.0, -0.5]])
    np.testing.assert_allclose(explained_variance(values, np.ones(4)), [0.8, 0.2])
    assert eqx.tree_equal(explained_variance(np.ones((4, 2)), np.ones(4)), np.zeros(2))
