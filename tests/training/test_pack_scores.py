"""Members are validated together, as many in a call as it has places; the others have their turn in the next."""

import jax.numpy as jnp
import pytest

from simplexity.training import Pack, ValidationArguments
from simplexity.training._pack_calls import score_batches
from simplexity.training._pack_programs import PackPrograms
from simplexity.training._pack_rows import PackRows
from simplexity.training._pack_scores import BatchesOfRun, ScoreProgram

from .test_pack_programs import move, state_at, stride


def arguments(number: int) -> ValidationArguments:
    return ValidationArguments(jnp.float32(number), None)  # pyright: ignore[reportArgumentType]


def score(generator, model, key, batch):
    """A hundred of the run's argument, and the number of the batch: a model would take seconds to compile."""
    return jnp.full((3, 2), 100 * generator + batch + model["weight"][0])


def compiled_by_itself(size, compiled):
    return compiled()


def scored(program: ScoreProgram, rows: PackRows, batches: dict[int, tuple[int, int]]) -> dict[int, list[float]]:
    """The score of each batch of the runs of one call; a run's are given by the first of them and their number."""
    wanted = [
        BatchesOfRun(run, program.written(arguments(run)), first, number) for run, (first, number) in batches.items()
    ]
    results = score_batches(rows, wanted, program)
    assert all(results[run].shape == (batches[run][1], 3, 2) for run in results)
    return {run: results[run].mean((1, 2)).tolist() for run in batches if run in results}


@pytest.fixture
def program() -> ScoreProgram:
    return ScoreProgram(score, arguments(0), state_at(0), compiled_by_itself, batches_per_call=8)


@pytest.fixture
def rows() -> PackRows:
    """Five runs, the first four of which are in one array."""
    programs = PackPrograms(move, stride(0), state_at(0), compiled_by_itself, {}, one_by_one=False)
    programs.require(4, lambda: 4)
    rows = PackRows(programs)
    for run in range(1, 6):
        rows.put(run, programs.write_arguments(stride(run)), programs.write_state(state_at(0)))
    return rows


def test_each_run_gets_the_scores_of_its_own_batches(program: ScoreProgram, rows: PackRows) -> None:
    program.require(4)
    batches = {3: (0, 8), 1: (8, 2), 2: (4, 1)}
    expected = {3: [300 + n for n in range(8)], 1: [108, 109], 2: [204]}
    assert scored(program, rows, batches) == expected
    # Of another array than the first.
    assert scored(program, rows, {5: (0, 3), **batches}) == {5: [500, 501, 502]}


def test_a_call_has_as_many_runs_as_places_and_more_once_they_are_required(program: ScoreProgram, rows: PackRows):
    due = dict.fromkeys(range(1, 5), (0, 1))
    for num_runs, places in ((2, 2), (1, 2), (4, 4), (64, 16)):
        program.require(num_runs)
        assert program.places == places
        assert list(scored(program, rows, due)) == list(due)[:places]


def test_members_of_another_validation_have_a_program_of_their_own() -> None:
    pack = Pack(move, stride(0), state_at(0), lambda: 2, one_by_one=False)
    compiled: list[str] = []

    def kept(name):
        return lambda size, compile_it: compiled.append(name) or compile_it()

    first, second, other = (
        pack.score_program(key, score, arguments(0), state_at(0), kept(key)) for key in ("one", "one", "other")
    )
    assert first is second is not other
    assert compiled == ["one", "other"]
    pack.calls.end()
