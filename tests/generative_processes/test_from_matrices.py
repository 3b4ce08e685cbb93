"""Processes given as lists or files."""

import numpy as np
import pytest

from simplexity.generative_processes import GHMM, HMM, from_matrices, from_npz, no_consecutive_ones, tom_quantum

GOLDEN_MEAN = [[[0.5, 0], [1, 0]], [[0, 0.5], [0, 0]]]


def test_lists_make_an_hmm():
    process = from_matrices(GOLDEN_MEAN)
    assert isinstance(process, HMM)
    np.testing.assert_allclose(process.stationary_state, [2 / 3, 1 / 3])
    np.testing.assert_array_equal(from_matrices(GOLDEN_MEAN, [0.0, 1.0]).initial_state, [0, 1])


def test_other_matrices_make_a_ghmm():
    quantum = tom_quantum(1.0, 2.0)
    process = from_matrices(quantum.transition_matrices.tolist())
    assert isinstance(process, GHMM)
    np.testing.assert_allclose(process.initial_state, quantum.initial_state, atol=1e-12)
    # Non-negative, but in units where a state of the second kind counts double.
    scaled = np.diag([1, 0.5]) @ no_consecutive_ones(0.5).transition_matrices @ np.diag([1, 2])
    assert isinstance(from_matrices(scaled.tolist()), GHMM)


@pytest.mark.parametrize(
    ("matrices", "state", "message"),
    [
        ([[[0.5, 0], [0.9, 0]], [[0, 0.5], [0, 0]]], None, r"rows that sum to 1, but row 1 sums to 0\.9$"),
        ([[[1.2]], [[-0.2]]], None, r"word \[1\] a negative probability"),
        ([[[1.2]], [[-0.1]]], None, r"dominant eigenvalue 1, got 1\.1$"),
        ([[0.5, 0.5]], None, r"`transition_matrices` must be square matrices .* got the shape \[1, 2\]$"),
        ([[[0.5, 0.5]]], None, r"got the shape \[1, 1, 2\]$"),
        ([], None, r"got the shape \[0\]$"),
        ([[[0.5, 0], [1]]], None, r"`transition_matrices` must be a list of square matrices of one size"),
        ([[["half"]]], None, r"`transition_matrices` must be a list .*half"),
        ([np.eye(2).tolist()], None, r"`initial_state` must be given"),
        (GOLDEN_MEAN, [0.5, 0.6], r"its entries sum to 1\.1, not 1$"),
    ],
)
def test_lists_that_are_no_process(matrices, state, message):
    with pytest.raises(ValueError, match=message) as error:
        from_matrices(matrices, state)
    assert "\n" not in str(error.value)


def test_a_file_gives_the_process_it_was_made_from(tmp_path):
    path = tmp_path / "process.npz"
    matrices = np.array(GOLDEN_MEAN, np.float32)
    np.savez(path, transition_matrices=matrices, initial_state=np.array([0.25, 0.75]))
    process = from_npz(str(path))
    assert isinstance(process, HMM)
    np.testing.assert_allclose(process.transition_matrices, matrices)
    np.testing.assert_allclose(process.initial_state, [0.25, 0.75])


def write_garbage(path):
    path.write_bytes(b"PK not a zip")


def write_npy(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, r"^`path` must name a readable \.npz file, got '.*' \(.*No such file"),
        (write_garbage, r"^`path` must name a readable \.npz file"),
        (lambda path: path.write_bytes(b""), r"^`path` must name a readable \.npz file"),
        (write_npy, r"holds a single array"),
        (lambda path: np.savez(path, matrices=np.ones(1)), r"with \['matrices'\]$"),
        (
            lambda path: np.savez(path, transition_matrices=np.array([["a"]])),
            r"`transition_matrices` must be an array of numbers",
        ),
        (
            lambda path: np.savez(path, transition_matrices=np.array([None])),
            r"^`path` must name a readable \.npz file, .*Object arrays cannot be loaded",
        ),
    ],
)
def test_files_that_hold_no_process(tmp_path, write, message):
    path = tmp_path / "process.npz"
    write(path)
    with pytest.raises(ValueError, match=message) as error:
        from_npz(str(path))
    assert "\n" not in str(error.value)
