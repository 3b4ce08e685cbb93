"""Against enumeration, and against published numbers."""

import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.generative_processes import epsilon_machine, mixed_state_presentation
from tests import oracles

LN2 = np.log(2)
# H(X_{l+1} | X_1 ... X_l) for l = 1..8, nats: arXiv:2507.07432, and the data published with it.
PUBLISHED = {
    "mess3": (gp.mess3(0.05, 0.85), ".857719 .813356 .798118 .794740 .793783 .793543 .793480 .793463"),
    "moon": (gp.post_quantum(1.0, 0.5), ".712089 .706797 .702442 .700873 .699964 .699474 .699278 .699152"),
    "rrxor": (gp.rrxor(0.5, 0.5), ".693147 .636514 .628487 .598679 .577623 .561458 .539847 .526940"),
    "fanizza": (gp.fanizza(2000.0, 0.49), ".676414 .675914 .658609 .648573 .647457 .645591 .645419 .645014"),
    "bloch_walk": (
        gp.tom_quantum(1.0, 51**0.5),
        "1.384870 1.383596 1.382447 1.381402 1.380449 1.379575 1.378772 1.378032",
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_entropies(name):
    process, published = PUBLISHED[name]
    entropies = mixed_state_presentation(process, 8).myopic_entropies(9)
    np.testing.assert_allclose(entropies[1:], np.array(published.split(), dtype=float), atol=1e-6)


@pytest.mark.parametrize(
    ("process", "num_words", "num_mixed"),
    [
        (gp.fanizza(2000.0, 0.49), 31, 9),
        (gp.mess3(0.15, 0.6), 121, 121),
        (gp.post_quantum(2.7, 0.5), 94, 25),
        (gp.rrxor(0.5, 0.5), 31, 27),
        (gp.tom_quantum(1.0, 4.3), 341, 161),
        (gp.zero_one_random(0.5), 21, 7),
    ],
)
def test_words_of_up_to_four_tokens_and_the_states_after_them(process, num_words, num_mixed):
    presentation = mixed_state_presentation(process, 4)
    assert presentation.num_words(4) == num_words
    assert len(presentation.states) == num_mixed


def test_entropies_against_enumeration(process):
    length = 4 if process.vocab_size < 6 else 2
    tables = process.transition_matrices, process.initial_state, process.normalizer
    expected = oracles.myopic_entropies(*tables, length)
    found = mixed_state_presentation(process, length - 1).myopic_entropies(length)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_each_state_is_the_one_after_each_of_its_words(process):
    presentation = mixed_state_presentation(process, 3)
    for word in oracles.words(min(process.vocab_size, 3), 3):
        number, row = 0, process.initial_state
        for token in word:
            row = row @ process.transition_matrices[token]
            number = presentation.successors[number, token] if number >= 0 else number
        mass = row @ process.normalizer
        assert (number >= 0) == (mass > 1e-12)
        if number >= 0:
            np.testing.assert_allclose(presentation.states[number], row / mass, atol=1e-8)


@pytest.mark.parametrize(
    ("process", "num_mixed", "num_causal", "complexity_bits", "excess_bits"),
    [
        # 36 belief states, the prior included; five are causal states.
        (gp.rrxor(0.5, 0.5), 36, 5, 2.2516292, 2.2516292),
        (gp.even_ones(0.5), 4, 2, 0.9182958, 0.9182958),
        # The golden mean process is a Markov chain: E = H(X) - h = 0.9182958 - 2/3.
        (gp.no_consecutive_ones(0.5), 3, 2, 0.9182958, 0.2516292),
        (gp.zero_one_random(0.5), 7, 3, np.log2(3), np.log2(3)),
        (gp.coin(0.3), 1, 1, 0.0, 0.0),
    ],
)
def test_finite_presentations(process, num_mixed, num_causal, complexity_bits, excess_bits):
    presentation = mixed_state_presentation(process, 60)
    assert presentation.is_closed
    assert len(presentation.states) == num_mixed
    # Long after the beginning only recurrent states are met, at one phase of a period or another.
    late = presentation.occupation(400)[-6:].sum(axis=0) > 1e-9
    np.testing.assert_array_equal(presentation.is_recurrent, late)
    machine = epsilon_machine(presentation)
    assert machine.num_states == num_causal
    assert machine.statistical_complexity / LN2 == pytest.approx(complexity_bits, abs=1e-7)
    assert presentation.excess_entropy() / LN2 == pytest.approx(excess_bits, abs=1e-7)


def test_an_epsilon_machine_is_the_same_process():
    process = gp.rrxor(0.5, 0.5)
    machine = epsilon_machine(mixed_state_presentation(process, 60))
    ones = np.ones(machine.num_states)
    expected = oracles.word_probabilities(process.transition_matrices, process.initial_state, process.normalizer, 6)
    found = oracles.word_probabilities(machine.transition_matrices, machine.stationary_distribution, ones, 6)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_hidden_states_from_which_the_same_follows_are_one_causal_state():
    # Two copies of a coin's state, between which the process moves unseen.
    half = 0.5 * np.array([[0.3, 0.7], [0.6, 0.4]])
    machine = epsilon_machine(mixed_state_presentation(gp.HMM(np.stack([half, half]), np.array([1.0, 0.0])), 200))
    assert machine.num_states == 1


@pytest.mark.parametrize(
    ("process", "num_causal", "complexity"),
    [
        # The phases have 1/3 each; the exclusive or of bits 0.5 and 0.4 is even or odd with 1/2 each.
        (gp.rrxor(0.5, 0.4), 5, np.log(3) + 2 / 3 * LN2),
        # r = 0.3 * 0.4 + 0.7 * 0.6 = 0.54: log 3 + (H(0.3) + H(0.54)) / 3.
        (gp.rrxor(0.3, 0.6), 5, np.log(3) + (oracles.entropy([0.3, 0.7]) + oracles.entropy([0.54, 0.46])) / 3),
        # Depths 0 to 5 are proportional to 1, 2, 2, 2, 2, 1.
        (gp.matching_parens([1, 0.5, 0.5, 0.5, 0.5]), 6, np.log(10) - 0.8 * LN2),
        # The coin has no memory.
        (gp.product([gp.rrxor(0.5, 0.4), gp.coin(0.3)]), 5, np.log(3) + 2 / 3 * LN2),
        # Two copies of each state, between which the process alternates unseen.
        (
            gp.HMM(np.kron(gp.rrxor(0.5, 0.4).transition_matrices, np.array([[[0.0, 1.0], [1.0, 0.0]]]))),
            5,
            np.log(3) + 2 / 3 * LN2,
        ),
    ],
    ids=["rrxor", "biased rrxor", "matching_parens", "product", "copies"],
)
def test_a_unifilar_process_with_endless_mixed_states_has_an_epsilon_machine(process, num_causal, complexity):
    presentation = mixed_state_presentation(process, 24, max_states=1000)
    assert not presentation.is_closed
    machine = epsilon_machine(presentation)
    assert machine.num_states == num_causal
    assert machine.statistical_complexity == pytest.approx(complexity, abs=1e-12)
    # Read backwards, the exclusive or tells its bits' sum, and a parenthesis the depth before it.
    assert machine.excess_entropy() == pytest.approx(complexity, abs=1e-12)
    length = int(presentation.depths.max())
    partial_sum = presentation.myopic_entropies(length).sum() - length * gp.entropy_rate(process).value
    assert 0.5 * complexity < partial_sum < complexity


def test_the_epsilon_machine_of_endless_mixed_states_is_the_same_process():
    process = gp.rrxor(0.3, 0.6)
    machine = epsilon_machine(mixed_state_presentation(process, 3))
    ones = np.ones(machine.num_states)
    expected = oracles.word_probabilities(process.transition_matrices, process.initial_state, process.normalizer, 6)
    found = oracles.word_probabilities(machine.transition_matrices, machine.stationary_distribution, ones, 6)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_transient_hidden_states_are_no_causal_states():
    # From a transient state into the golden mean process, which a short presentation does not show.
    inner = gp.golden_mean(0.5).transition_matrices
    matrices = np.zeros((2, 3, 3))
    matrices[:, 1:, 1:] = inner
    matrices[:, 0, 0], matrices[:, 0, 1] = [0.3, 0.1], [0.2, 0.4]
    presentation = mixed_state_presentation(gp.HMM(matrices, np.array([1.0, 0.0, 0.0])), 3)
    assert not presentation.is_closed
    machine = epsilon_machine(presentation)
    np.testing.assert_allclose(np.sort(machine.stationary_distribution), [1 / 3, 2 / 3])
    # Before a 0 may come either state: backwards it is not unifilar.
    assert machine.excess_entropy() is None


def test_an_epsilon_machine_of_several_components_is_refused():
    process = gp.nonergodic([gp.rrxor(0.5, 0.4), gp.rrxor(0.3, 0.6)], [0.5, 0.5], "shared")
    with pytest.raises(ValueError, match="is not closed"):
        epsilon_machine(mixed_state_presentation(process, 3))


def test_an_observer_synchronizes():
    uncertainty = mixed_state_presentation(gp.no_consecutive_ones(0.5), 5).synchronization(5)
    np.testing.assert_allclose(uncertainty, [oracles.entropy([1 / 3, 2 / 3]), 0, 0, 0, 0, 0], atol=1e-12)
    with pytest.raises(ValueError, match="predictive vectors"):
        mixed_state_presentation(gp.tom_quantum(1.0, 7.0), 2).synchronization(1)


@pytest.mark.parametrize("process", [gp.mess3(0.15, 0.6), gp.rrxor(0.5, 0.4)], ids=["mess3", "rrxor"])
def test_synchronization_and_block_entropies_against_all_words(process):
    presentation = mixed_state_presentation(process, 4)
    synchronization, blocks = [], []
    for length in range(5):
        rows = [process.initial_state]
        for _ in range(length):
            rows = [row @ matrix for row in rows for matrix in process.transition_matrices]
        masses = np.array([row.sum() for row in rows])
        blocks.append(oracles.entropy(masses))
        synchronization.append(sum(row.sum() * oracles.entropy(row / row.sum()) for row in rows if row.sum() > 1e-12))
    np.testing.assert_allclose(presentation.synchronization(4), synchronization, atol=1e-12)
    np.testing.assert_allclose(np.cumsum(presentation.myopic_entropies(4)), blocks[1:], atol=1e-12)


def test_an_endless_presentation_says_so():
    presentation = mixed_state_presentation(gp.mess3(0.05, 0.85), 12, max_states=5_000)
    assert not presentation.is_closed
    assert presentation.depths.max() == 7
    with pytest.raises(ValueError, match="is not closed"):
        presentation.excess_entropy()
    with pytest.raises(ValueError, match="is not closed"):
        epsilon_machine(presentation)
    with pytest.raises(ValueError, match="at most 7"):
        presentation.occupation(8)
