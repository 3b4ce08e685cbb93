"""Members are validated as many at a time as there are places, and half as many where memory is short."""

import logging

import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import JaxRuntimeError

from simplexity.training import Pack, ValidationArguments
from simplexity.training._pack_calls import PackCalls
from simplexity.training._pack_programs import PackPrograms
from simplexity.training._pack_rows import PackRows
from simplexity.training._pack_scores import BATCHES_PER_CALL, BatchesOfRun, PackScores

from .test_pack_programs import exhausted, move, state_at, stride


def arguments(number: int) -> ValidationArguments:
    return ValidationArguments(jnp.float32(number), None)  # pyright: ignore[reportArgumentType]


def score(generator, model, key, batch):
    """A hundred of the run's argument, and the number of the batch: a model would take seconds to compile."""
    return jnp.full((3, 2), 100 * generator + batch + model["weight"][0])


def compiled_for_up_to(most: int):
    return lambda size, compiled: compiled() if size <= most else None if size == 8 else exhausted


def scores_of(kept, places: int = 8) -> PackScores:
    made = PackScores(score, arguments(0), state_at(0), places, kept, one_by_one=False)
    made.require()
    return made


def scored(scores: PackScores, rows: PackRows, batches: dict[int, tuple[int, int]]) -> list[list[float]]:
    """The score of each of the runs' batches, given by the first of them and their number."""
    wanted = [
        BatchesOfRun(run, np.asarray(scores.write_arguments(arguments(run))), first, number)
        for run, (first, number) in batches.items()
    ]
    results = PackCalls(rows)._score(wanted, scores)
    assert [each.shape for each in results] == [(number, 3, 2) for _, number in batches.values()]
    return [each.mean((1, 2)).tolist() for each in results]


@pytest.fixture
def rows() -> PackRows:
    """Five runs, of which no array has more than two."""
    programs = PackPrograms(move, stride(0), state_at(0), lambda size, compiled: compiled(), one_by_one=False)
    programs.require(2, lambda: 2)
    rows = PackRows(programs)
    for run in range(1, 6):
        rows.put(run, programs.write_arguments(stride(run)), programs.write_state(state_at(0)))
    return rows


# The program with 8 places is refused; those with 4 and 2 fail when called.
@pytest.mark.parametrize("most", [8, 4, 2, 1])
def test_each_run_gets_the_scores_of_its_own_batches_also_in_halves(rows: PackRows, most: int, caplog) -> None:
    with caplog.at_level(logging.WARNING, "simplexity"):
        scores = scores_of(compiled_for_up_to(most))
        for _ in range(2):  # the second time without any attempt that fails
            batches = {5: (0, BATCHES_PER_CALL), 1: (8, 2), 3: (4, 1), 2: (0, 3)}
            assert scored(scores, rows, batches) == [[500 + n for n in range(8)], [108, 109], [304], [200, 201, 202]]
    assert scores.places == most
    halved = [size for size in (8, 4, 2) if size > most]
    assert [message.partition(" needs more")[0] for message in caplog.messages] == [
        f"validating {size} runs together" for size in halved
    ]


def test_a_model_that_needs_too_much_memory_by_itself_is_not_validated(rows: PackRows) -> None:
    with pytest.raises(JaxRuntimeError, match=r"^RESOURCE_EXHAUSTED"):
        scored(scores_of(lambda size, compiled: exhausted), rows, {1: (0, 1), 2: (0, 1)})
    with pytest.raises(JaxRuntimeError, match=r"^RESOURCE_EXHAUSTED"):
        scores_of(lambda size, compiled: exhausted())


def test_another_fault_of_a_program_is_not_met_by_halving(rows: PackRows) -> None:
    def broken(*arguments: object) -> None:
        raise JaxRuntimeError("INTERNAL: a fault")

    scores = scores_of(lambda size, compiled: broken)
    with pytest.raises(JaxRuntimeError, match=r"^INTERNAL"):
        scored(scores, rows, {1: (0, 1)})
    assert scores.places == 8


def test_members_of_another_validation_have_a_program_of_their_own() -> None:
    pack = Pack(move, stride(0), state_at(0), lambda: 2, one_by_one=False)
    compiled: list[str] = []

    def kept(name):
        return lambda size, compile_it: compiled.append(name) or compile_it()

    first, second, other = (
        pack.scores(key, score, arguments(0), state_at(0), kept(key)) for key in ("one", "one", "other")
    )
    assert first is second is not other
    assert compiled == ["one", "other"]
    pack.calls.end()
