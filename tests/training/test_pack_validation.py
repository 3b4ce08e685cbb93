"""A pack validates the members that are due together, and gives each the numbers that it would have alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest

from simplexity.training import Validation, ValidationArguments, ValidationSettings, make_score
from simplexity.training import _pack_scores as pack_scores
from tests.training.compilation import optimized

from .test_pack import MODELS, SETTINGS, arguments, pack_of, programs

BATCHES = 10
VALIDATION = ValidationSettings(5, 3, BATCHES)


def of_validation(number: int) -> ValidationArguments:
    """Another process and other sequences for each number."""
    return ValidationArguments(arguments(number).generator, jax.random.key(number))


def alone(model: str, number: int, num_steps: int):
    generator, key = of_validation(number)
    state = programs(model).alone(number, num_steps) if num_steps else programs(model).fresh(number)
    with optimized():
        return Validation(generator, VALIDATION, SETTINGS.sequence_len, key=key)(state)


def assert_same(one, other) -> None:
    assert (one.sampled_loss, one.accuracy, one.kl) == (other.sampled_loss, other.accuracy, other.kl)
    assert one.kl_per_position.tobytes() == other.kl_per_position.tobytes()


class Members:
    """A pack of members that each do as they are told, at the same time."""

    def __init__(self, model: str, number: int, **settings):
        self._fresh, self._number = programs(model).fresh, number
        self._pack = pack_of(programs(model), [0], **settings)

    def do(self, act):
        """What `act(number, take_steps, state, validate, together)` returns for each of the members."""
        together, joined = threading.Barrier(self._number), threading.Barrier(self._number)
        for _ in range(self._number):
            self._pack.add_member()

        def member(number):
            state = self._fresh(number)
            its = self._pack.member(arguments(number))
            try:
                validate = its.validation(
                    "key", make_score(VALIDATION.batch_size, SETTINGS.sequence_len), of_validation(number), state,
                    BATCHES,
                )  # fmt: skip
                joined.wait(120)
                return act(number, its, state, validate, together)
            finally:
                self._pack.remove_member(its)

        with ThreadPoolExecutor(self._number) as pool:
            return list(pool.map(member, range(self._number)))


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """The numbers of members of each call that scores batches."""
    calls, call = [], pack_scores.ScoreProgram.call

    def counted(self, states, wanted):
        calls.append(len(wanted))
        return call(self, states, wanted)

    monkeypatch.setattr(pack_scores.ScoreProgram, "call", counted)
    return calls


def never() -> bool:
    return False


def validated_after_steps(number, take_steps, state, validate, together):
    state = take_steps(state, 4)
    together.wait(120)
    scores = validate(state, never)
    return scores, take_steps(state, 2).read()


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_members_that_are_due_together_have_the_bits_of_validations_alone(model, calls):
    with optimized():
        results = Members(model, 3).do(validated_after_steps)
    for number, (scores, state) in enumerate(results):
        assert_same(scores, alone(model, number, 4))
        assert int(state.step) == 6
    # On a CPU a call has one batch of each, unless the machine was too busy to gather them.
    assert sum(calls) == 3 * BATCHES
    assert len(calls) < sum(calls)


@pytest.mark.slow
def test_members_side_by_side_have_the_losses_of_validations_alone(calls):
    with optimized():
        results = Members("gru", 3, one_by_one=False).do(validated_after_steps)
    for number, (scores, _) in enumerate(results):
        expected = alone("gru", number, 4)
        assert scores.sampled_loss == pytest.approx(expected.sampled_loss, rel=1e-5)
        assert scores.kl == pytest.approx(expected.kl, rel=1e-4)
    # The 10 batches of each: 8 in one call, and 2 in another.
    assert sum(calls) == 2 * 3
    assert len(calls) < sum(calls)


def test_another_state_than_the_last_takes_its_place():
    def act(number, take_steps, state, validate, together):
        earlier = take_steps(state, 1)
        validate(programs("gru").alone(number, 5), never)
        with pytest.raises(RuntimeError, match="after the run's next steps"):
            earlier.read()
        return int(take_steps(programs("gru").alone(number, 5), 1).step)

    with optimized():
        assert Members("gru", 1).do(act) == [6]


def test_a_member_is_due_alone_before_its_first_step_and_another_is_interrupted():
    def act(number, take_steps, state, validate, together):
        if number == 0:
            scores = validate(state, never)
            return scores, int(take_steps(state, 1).step)
        state = take_steps(state, 1)
        asked = iter([False, True])
        return validate(state, lambda: next(asked)), int(take_steps(state, 1).step)

    with optimized():
        (scores, step), interrupted = Members("gru", 2).do(act)
    assert_same(scores, alone("gru", 0, 0))
    assert (step, interrupted) == (1, (None, 2))


def test_a_failing_validation_fails_the_members_that_are_due_and_no_other(monkeypatch):
    def fails(self, states, wanted):
        raise RuntimeError("no device")

    monkeypatch.setattr(pack_scores.ScoreProgram, "call", fails)

    def act(number, take_steps, state, validate, together):
        state = take_steps(state, 1)
        together.wait(120)  # all that they want next is one round
        if number < 2:
            with pytest.raises(RuntimeError, match="no device"):
                validate(state, never)
        return int(take_steps(state, 1).step)

    with optimized():
        assert Members("gru", 3).do(act) == [2, 2, 2]
