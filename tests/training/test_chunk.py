"""How long a call of the compiled program lasts, with a clock that the test moves."""

import pytest

from simplexity.training._chunk import ChunkSizer


class Clock:
    """A machine on which a step takes a fixed time."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def run(sizer, clock, seconds_per_step, most):
    num_steps = sizer.start(most)
    clock.now_s += num_steps * seconds_per_step
    sizer.stop(num_steps)
    return num_steps


@pytest.mark.parametrize("seconds_per_step", [1e-5, 1e-3, 0.1, 3.0])
def test_calls_reach_the_target_duration_and_keep_it(seconds_per_step):
    clock = Clock()
    sizer = ChunkSizer(0.5, clock)
    sizes = [run(sizer, clock, seconds_per_step, most=10**9) for _ in range(20)]
    assert sizes[0] == 1
    assert sizes[-1] == pytest.approx(max(1, 0.5 / seconds_per_step), rel=0.01)


def test_call_never_passes_a_boundary_and_recovers_after_it():
    clock = Clock()
    sizer = ChunkSizer(0.5, clock)
    for _ in range(20):
        run(sizer, clock, 0.01, most=1000)
    assert run(sizer, clock, 0.01, most=3) == 3
    assert run(sizer, clock, 0.01, most=1000) == pytest.approx(50, abs=1)


def test_steps_that_become_slower_shrink_the_next_call():
    clock = Clock()
    sizer = ChunkSizer(0.5, clock)
    for _ in range(20):
        run(sizer, clock, 0.001, most=10**9)
    run(sizer, clock, 0.1, most=10**9)
    assert run(sizer, clock, 0.1, most=10**9) == pytest.approx(5, abs=1)
