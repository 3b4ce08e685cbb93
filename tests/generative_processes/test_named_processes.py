"""Closed forms of the named processes, and their parameters' domains."""

import equinox as eqx
import numpy as np
import pytest

from simplexity import generative_processes as gp
from simplexity.generative_processes import GHMM, HMM
from tests import oracles


@pytest.mark.parametrize(
    ("process", "stationary"),
    [
        (gp.coin(0.25), [1]),
        (gp.even_ones(0.25), [0.8, 0.2]),
        (gp.no_consecutive_ones(0.25), [0.8, 0.2]),
        (gp.zero_one_random(0.2), [1 / 3, 1 / 3, 1 / 3]),
        (gp.rip(0.5, 0.25), [0.4, 0.2, 0.4]),
        (gp.nemo(0.5, 0.25), [0.5, 0.25, 0.25]),
        (gp.rrxor(0.25, 0.1), np.array([1, 0.25, 0.75, 0.3, 0.7]) / 3),
        (gp.mess3(0.2, 0.6), [1 / 3, 1 / 3, 1 / 3]),
        (gp.sns(0.25, 0.75), [0.75, 0.25]),
        (gp.mr_name(0.3, 0.25), [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        # Weights 1, 1 / (1 - 0.5), 2 * 0.5 / (1 - 0) along the chain of depths.
        (gp.matching_parens([1.0, 0.5]), [0.25, 0.5, 0.25]),
        (gp.tom_quantum(1.0, 2.0), [1, 0, 0]),
        (gp.bloch_walk(1.0, 0.3), [1, 0, 0]),
        (gp.quantum_rrxor(0.7, 1.1), [1, 0, 0, 0]),
        (gp.mess(4, 0.1, 0.6), [0.25] * 4),
        (gp.cycle(3), [1 / 3] * 3),
        (gp.checksum([[0.25, 0.75], [0.1, 0.9]]), np.array([1, 0.25, 0.75, 0.7, 0.3]) / 3),
    ],
)
def test_stationary_states(process, stationary):
    np.testing.assert_allclose(process.stationary_state, stationary, atol=1e-12)


def test_days_of_week():
    process = gp.days_of_week()
    assert (process.vocab_size, process.num_states) == (11, 7)
    monday, sunday = 0, 6
    tokens = process.transition_matrices.sum(axis=2)
    assert tokens[monday, sunday] == pytest.approx(5 / 15)
    np.testing.assert_allclose(np.sort(tokens, axis=0)[:, 3], [1 / 15] * 10 + [5 / 15])
    # "Tomorrow" on a Sunday is a Monday, "yesterday" on a Monday a Sunday; "weekend" leaves two days open.
    assert process.transition_matrices[7, sunday, monday] == pytest.approx(1 / 15)
    assert process.transition_matrices[8, monday, sunday] == pytest.approx(1 / 15)
    np.testing.assert_allclose(process.transition_matrices[9, 2], [0] * 5 + [1 / 30] * 2)
    pi = process.stationary_state
    kind = np.array([1 / 5] * 5 + [1 / 2] * 2)
    np.testing.assert_allclose(15 * pi, 1 + 5 * np.roll(pi, 1) + np.roll(pi, -1) + kind)


def test_leaky_rrxor_leaks_between_its_limits():
    np.testing.assert_allclose(
        gp.leaky_rrxor(0.3, 0.4, 0.0).transition_matrices, gp.rrxor(0.3, 0.4).transition_matrices
    )
    np.testing.assert_allclose(gp.leaky_rrxor(0.3, 0.4, 1.0).transition_matrices, 0.1)


def test_leaky_rrxor_forgets_its_state_at_every_leak():
    pi, chain = gp.leaky_rrxor(0.3, 0.4, 0.2).stationary_state, gp.rrxor(0.3, 0.4).transition_matrices.sum(axis=0)
    np.testing.assert_allclose(pi, 0.8 * pi @ chain + 0.2 / 5)


def test_rrxor_has_36_belief_states():
    # Five are certain of the state; the others, the first included, do not know the phase yet.
    process = gp.rrxor(0.5, 0.5)
    known, pending = set(), [process.stationary_state]
    while pending:
        state = pending.pop()
        if tuple(state.round(9)) not in known:
            known.add(tuple(state.round(9)))
            successors = [state @ matrix for matrix in process.transition_matrices]
            pending += [successor / successor.sum() for successor in successors if successor.sum() > 1e-9]
    certain = [state for state in known if max(state) == 1]
    assert (len(certain), len(known) - len(certain)) == (5, 31)


def test_fanizza_spends_its_time_along_the_runs():
    process = gp.fanizza(2000.0, 0.49)
    reset, go_on = process.transition_matrices
    visits = reset[0] / reset[0].sum() @ np.linalg.inv(np.eye(4) - go_on)
    runs = [visits @ np.linalg.matrix_power(go_on, k) @ np.ones(4) for k in (0, 1)]
    # The mean run length plus one is the mean number of tokens from one reset to the next.
    np.testing.assert_allclose(process.stationary_state, visits / runs[0], atol=1e-12)
    assert runs[0] == pytest.approx(1 + runs[1])


@pytest.mark.parametrize("alpha", [-2.0, 0.0, 0.7, np.pi, 2000.0])
@pytest.mark.parametrize("lamb", [0.05, 0.5])
def test_fanizza_run_lengths(alpha, lamb):
    reset, go_on = gp.fanizza(alpha, lamb).transition_matrices
    assert np.linalg.matrix_rank(reset) == 1
    state, exits = reset[0] / reset[0].sum(), reset.sum(axis=1)
    runs = np.array([state @ np.linalg.matrix_power(go_on, k) @ exits for k in range(60)])
    # lamb^k / 2 times one minus a cosine, for a run of k >= 1 ones; what is left over of 1 for none.
    assert runs.min() > -1e-15
    assert (runs[1:] <= lamb ** np.arange(1, 60) + 1e-15).all()
    assert runs.sum() == pytest.approx(1)
    cosine = 1 - 2 * runs[1:8] / lamb ** np.arange(1, 8)
    np.testing.assert_allclose(cosine[2:] + cosine[:-2], 2 * np.cos(alpha) * cosine[1:-1], atol=1e-9)


def test_post_quantum_resets_by_its_product():
    alpha, beta = np.exp(1.0), 0.5
    process = gp.post_quantum(1.0, beta)
    _, up, down = process.transition_matrices
    scale = up[1, 1]
    after_reset = np.array([1.0, -1.0, -1.0])
    pi = process.stationary_state
    np.testing.assert_allclose(pi @ process.transition_matrices.sum(axis=0), pi, atol=1e-12)
    for ups, downs in [(0, 0), (1, 0), (0, 1), (3, 4), (2, 6)]:
        z = alpha**ups * beta**downs
        row = after_reset @ np.linalg.matrix_power(up / scale, ups) @ np.linalg.matrix_power(down / scale, downs)
        assert row @ [1, 1, 0] == pytest.approx(z - 1 - np.log(z), abs=1e-12)


def test_tom_quantum_keeps_bloch_vectors_in_the_disk():
    process = gp.tom_quantum(1.0, 3.0)
    rng = np.random.default_rng(0)
    state = process.initial_state
    for _ in range(200):
        probabilities = np.array([(state @ matrix)[0] for matrix in process.transition_matrices])
        state = state @ process.transition_matrices[rng.choice(4, p=probabilities)]
        state = state / state[0]
        assert np.hypot(state[1], state[2]) <= 1 + 1e-12


def _words(process, length=6):
    return oracles.word_probabilities(
        process.transition_matrices, process.initial_state, process.normalizer, length if process.vocab_size < 4 else 4
    )


@pytest.mark.parametrize(
    ("process", "other"),
    [
        (gp.frdn(2000.0, 0.49), gp.fanizza(2000.0, 0.49)),
        (gp.even_process(0.3), gp.even_ones(0.3)),
        (gp.golden_mean(0.3), gp.no_consecutive_ones(0.3)),
        (gp.z1r(0.3), gp.zero_one_random(0.3)),
        # Where nothing is ever inserted, a one follows each one.
        (gp.rip(0.0, 0.3), gp.coin(0.0)),
        (gp.moon(1.0, 0.5), gp.post_quantum(1.0, 0.5)),
        (gp.mess(3, 0.05, 0.85), gp.mess3(0.05, 0.85)),
        (gp.bloch_walk(2 * np.arctan(7.0), 0.5), gp.tom_quantum(1.0, 7.0)),
        (gp.checksum([[0.3, 0.7], [0.6, 0.4]]), gp.rrxor(0.3, 0.6)),
        # Two states whose tokens show them, and a qubit that is measured for certain: a chain of two tokens.
        (gp.quantum_rrxor(0.7, 0.0), gp.mess(2, np.sin(0.35) ** 2, 1.0)),
        (gp.quantum_rrxor(0.7, np.pi / 2), gp.coin(0.5)),
    ],
)
def test_one_process_by_two_names(process, other):
    np.testing.assert_allclose(_words(process), _words(other), atol=1e-12)


@pytest.mark.parametrize("word", [(0, 0, 1), (1, 0, 1), (1, 1, 1)])
def test_quantum_rrxor_is_a_measured_qubit(word):
    phi, theta = 0.7, 1.1
    rotation = np.array([[np.cos(phi / 2), -np.sin(phi / 2)], [np.sin(phi / 2), np.cos(phi / 2)]])
    # By the token: the amplitude of that outcome of the second qubit if the memory is |0>, and if it is |1>.
    amplitudes = {0: (np.cos(theta / 2), -1j * np.sin(theta / 2)), 1: (-1j * np.sin(theta / 2), np.cos(theta / 2))}
    density = np.eye(2) / 2
    for token in word:
        kraus = np.diag(amplitudes[token]) @ rotation
        density = kraus @ density @ kraus.conj().T
    process = gp.quantum_rrxor(phi, theta)
    found = oracles.word_probability(process.transition_matrices, process.initial_state, process.normalizer, word)
    assert found == pytest.approx(np.trace(density).real, abs=1e-12)


def test_bloch_walk_measures_each_axis_with_its_probability():
    z, x = gp.bloch_walk(1.0, 0.3).transition_matrices.reshape(2, 2, 3, 3).sum(axis=1)
    np.testing.assert_allclose([z[0, 0], x[0, 0]], [0.3, 0.7])
    # What a measurement does not see, it multiplies by the cosine.
    np.testing.assert_allclose([z[1, 1], x[2, 2]], np.cos(1.0) * np.array([0.3, 0.7]))


def test_a_checksum_is_the_sum_of_what_precedes_it():
    words = _words(HMM(gp.checksum([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]).transition_matrices, np.eye(7)[0]), length=3)
    for first, second, third in np.argwhere(words > 0):
        assert third == (first + second) % 3
    assert words[2, 2, 1] == pytest.approx(0.2 * 0.7)


def test_excess_entropy_of_a_cycle():
    assert gp.mixed_state_presentation(gp.cycle(5), 10).excess_entropy() == pytest.approx(np.log(5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gp.coin(1.3), r"^`p` must lie in \[0, 1\], got 1\.3$"),
        (lambda: gp.coin(float("nan")), r"^`p` must lie in \[0, 1\], got nan$"),
        (lambda: gp.even_ones(-0.1), r"^`p` must lie in \[0, 1\], got -0\.1$"),
        (lambda: gp.no_consecutive_ones(2.0), r"^`p` must lie in"),
        (lambda: gp.zero_one_random(2.0), r"^`p` must lie in"),
        (lambda: gp.rip(0.5, 1.5), r"^`q` must lie in \[0, 1\], got 1\.5$"),
        (lambda: gp.nemo(-0.5, 0.5), r"^`p` must lie in"),
        (lambda: gp.rrxor(0.5, 1.5), r"^`p2` must lie in \[0, 1\], got 1\.5$"),
        (lambda: gp.leaky_rrxor(0.5, 0.5, -1.0), r"^`epsilon` must lie in \[0, 1\], got -1\.0$"),
        (lambda: gp.mess3(0.6, 0.5), r"^`x` must lie in \[0, 0\.5\], got 0\.6$"),
        (lambda: gp.mess3(0.1, 1.5), r"^`a` must lie in \[0, 1\], got 1\.5$"),
        (lambda: gp.sns(0.0, 0.5), r"^`p` must lie in \[1e-12, 1\], got 0\.0$"),
        (lambda: gp.mr_name(0.5, 0.0), r"^`q` must lie in \[1e-12, 1\], got 0\.0$"),
        (lambda: gp.mr_name(0.6, 0.5), r"^`p` \+ `q` must be at most 1, got 1\.1$"),
        (lambda: gp.matching_parens([]), r"^`open_probs` must begin with 1.* got \[\]$"),
        (lambda: gp.matching_parens([0.5]), r"^`open_probs` must begin with 1"),
        (lambda: gp.matching_parens([1.0, 1.5]), r"^`open_probs\[1\]` must lie in \(0, 1\), got 1\.5$"),
        (lambda: gp.fanizza(float("inf"), 0.3), r"^`alpha` must lie in \(-inf, inf\), got inf$"),
        (lambda: gp.fanizza(1.0, 0.6), r"^`lamb` must lie in \(0, 0\.5\], got 0\.6$"),
        (lambda: gp.post_quantum(-1.0, 0.5), r"^`log_alpha` must lie in \(0, 20\], got -1\.0$"),
        (lambda: gp.post_quantum(1.0, 1.0), r"^`beta` must lie in \(0, 1\), got 1\.0$"),
        (lambda: gp.tom_quantum(1.0, 0.0), r"^`beta` must not be 0"),
        (lambda: gp.bloch_walk(0.0, 0.5), r"^`angle` must lie in \(0, 3\.14159\), got 0\.0$"),
        (lambda: gp.bloch_walk(1.0, 1.0), r"^`p_z` must lie in \(0, 1\), got 1\.0$"),
        (lambda: gp.quantum_rrxor(float("inf"), 1.0), r"^`phi` must lie in"),
        (lambda: gp.quantum_rrxor(1.0, 4.0), r"^`theta` must lie in \[0, 3\.14159\], got 4\.0$"),
        (lambda: gp.mess(1, 0.1, 0.5), r"^`num_states` must be at least 2, got 1$"),
        (lambda: gp.mess(5, 0.3, 0.5), r"^`x` must lie in \[0, 0\.25\], got 0\.3$"),
        (lambda: gp.cycle(0), r"^`length` must be at least 1, got 0$"),
        (lambda: gp.checksum([]), r"^`probs` must be rows of equal length.* got \[\]$"),
        (lambda: gp.checksum([[0.5, 0.5], [1.0]]), r"^`probs` must be rows of equal length"),
        (lambda: gp.checksum([[0.5, 0.5], [0.9, 0.2]]), r"^`probs\[1\]` must be probabilities that sum to 1"),
    ],
)
def test_parameters_outside_their_domain(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        *(lambda p=p: gp.coin(p) for p in (0.0, 1.0)),
        *(lambda p=p: gp.even_ones(p) for p in (0.0, 1.0)),
        *(lambda p=p: gp.no_consecutive_ones(p) for p in (0.0, 1.0)),
        *(lambda p=p: gp.zero_one_random(p) for p in (0.0, 1.0)),
        *(lambda p=p: gp.rrxor(p, 1 - p) for p in (0.0, 1.0)),
        *(lambda make=make, p=p, q=q: make(p, q) for make in (gp.rip, gp.nemo) for p in (0.0, 1.0) for q in (0.0, 1.0)),
        *(lambda x=x, a=a: gp.mess3(x, a) for x in (0.0, 0.5) for a in (0.0, 1.0)),
        *(lambda x=x, a=a: gp.mess(4, x, a) for x in (0.0, 1 / 3) for a in (0.0, 1.0)),
        *(lambda p=p, t=t: gp.quantum_rrxor(p, t) for p in (0.0, np.pi, -1e6) for t in (0.0, np.pi)),
        lambda: gp.bloch_walk(1e-6, 1e-6),
        lambda: gp.cycle(1),
        lambda: gp.checksum([[1.0]]),
        lambda: gp.checksum([[1.0, 0.0], [0.0, 1.0]]),
        lambda: gp.sns(1.0, 1.0),
        lambda: gp.mr_name(0.0, 1.0),
        lambda: gp.matching_parens([1.0]),
        lambda: gp.tom_quantum(0.0, -1.0),
        lambda: gp.post_quantum(20.0, 0.999),
        lambda: gp.post_quantum(0.001, 0.001),
    ],
)
def test_the_ends_of_the_domains_are_processes(make):
    process = make()
    assert isinstance(process, HMM | GHMM)
    assert isinstance(process, eqx.Module)
    np.testing.assert_allclose(process.stationary_state @ process.normalizer, 1)
