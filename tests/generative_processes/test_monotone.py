"""The nearest sequence that never rises."""

import numpy as np
import pytest

from simplexity.generative_processes._monotone import falling_fit


@pytest.mark.parametrize(
    ("values", "errors", "fitted", "fitted_errors"),
    [
        ([3, 2, 1], [0.1, 0.2, 0.3], [3, 2, 1], [0.1, 0.2, 0.3]),
        ([3, 1, 2], [0.1, 0.2, 0.3], [3, 1.5, 1.5], [0.1, 0.3, 0.3]),
        ([1, 2, 6], [0.3, 0.2, 0.1], [3, 3, 3], [0.3, 0.3, 0.3]),
        ([2, 1, 1.5, 4], [0.1, 0.1, 0.1, 0.4], [2.125] * 4, [0.4] * 4),
    ],
)
def test_pools(values, errors, fitted, fitted_errors):
    ours = falling_fit(np.array(values, dtype=float), np.array(errors))
    np.testing.assert_allclose(ours, (fitted, fitted_errors))


def test_what_falls_but_for_noise_is_missed_by_no_more_than_the_noise():
    rng = np.random.default_rng(0)
    truth = np.sort(rng.random(200))[::-1]
    errors = rng.random(200) * 0.1
    noisy = truth + errors * rng.uniform(-1, 1, 200)
    fitted, fitted_errors = falling_fit(noisy, errors)
    assert (np.diff(fitted) <= 0).all()
    assert fitted.sum() == pytest.approx(noisy.sum())
    assert (np.abs(fitted - truth) <= fitted_errors).all()
    assert np.abs(fitted - truth).mean() < np.abs(noisy - truth).mean()
