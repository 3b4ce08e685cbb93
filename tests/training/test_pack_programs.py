"""Where memory is short, the runs of a pack take their steps in halves."""

import dataclasses
import logging

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jax.errors import JaxRuntimeError

from simplexity.training import StepArguments, TrainState
from simplexity.training._pack_programs import PackPrograms
from simplexity.training._pack_rows import PackRows, StepsOfRun
from simplexity.training._state import MetricWindow


def state_at(step: int) -> TrainState:
    """Nothing but a number of steps: a model would take seconds to compile."""
    weight = {"weight": jnp.zeros(1)}
    fields = {"step": jnp.int32(step), "window": MetricWindow.empty(), "finite": jnp.array(True)}
    fields |= {"model": weight, "initial_parameters": jax.tree.map(jnp.copy, weight)}
    state = object.__new__(TrainState)
    for field in dataclasses.fields(TrainState):
        object.__setattr__(state, field.name, fields.get(field.name))
    return state


def stride(number: int) -> StepArguments:
    """By how much a step moves: arguments that differ from run to run."""
    return StepArguments(None, jnp.int32(number))  # pyright: ignore[reportArgumentType]


def move(arguments: StepArguments, state: TrainState, num_steps: jax.Array) -> TrainState:
    return eqx.tree_at(lambda state: state.step, state, state.step + num_steps * arguments.hyperparameters)


def exhausted(*arguments: object) -> None:
    raise JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.")


def programs(kept) -> PackPrograms:
    return PackPrograms(move, stride(0), state_at(0), kept, {}, one_by_one=False)


def steps_after(programs: PackPrograms, wanted: list[int]) -> list[int]:
    """Where runs are that begin at 100, 200, ... with strides of 1, 2, ..., after so many steps each."""
    rows = PackRows(programs)
    for run in range(1, len(wanted) + 1):
        rows.put(run, programs.write_arguments(stride(run)), programs.write_state(state_at(100 * run)))
    numbers = rows.run([StepsOfRun(run, num_steps, False) for run, num_steps in enumerate(wanted, start=1)])
    assert [int(rows.read(run).step) for run in range(1, len(wanted) + 1)] == [int(each.step) for each in numbers]
    return [int(each.step) for each in numbers]


# XLA fails to compile the program with 16 places, the one with 8 is refused, those with 4 and 2 fail when called.
@pytest.mark.parametrize("most", [16, 8, 4, 2, 1])
def test_runs_that_need_too_much_memory_together_take_their_steps_in_halves(
    most: int, caplog: pytest.LogCaptureFixture
) -> None:
    def kept(size, compiled):
        if size == 16 > most:
            exhausted()
        return compiled() if size <= most else None if size == 8 else exhausted

    with caplog.at_level(logging.WARNING, "simplexity"):
        made = programs(kept)
        made.require(5, lambda: 16)
        for _ in range(2):  # the second time without any attempt that fails
            assert steps_after(made, [3, 0, 5, 1, 2]) == [103, 200, 315, 404, 510]
    assert made.sizes == [most]
    halved = [size for size in (16, 8, 4, 2) if size > most]
    assert [message.partition(" need more memory")[0] for message in caplog.messages] == [
        f"{size} runs together" for size in halved
    ]


def test_a_run_that_needs_too_much_memory_by_itself_fails() -> None:
    made = programs(lambda size, compiled: exhausted)
    made.require(2, lambda: 2)
    with pytest.raises(JaxRuntimeError, match=r"^RESOURCE_EXHAUSTED"):
        steps_after(made, [1, 1])


def test_a_run_whose_program_cannot_be_compiled_fails() -> None:
    made = programs(lambda size, compiled: exhausted())
    with pytest.raises(JaxRuntimeError, match=r"^RESOURCE_EXHAUSTED"):
        made.require(2, lambda: 2)


def test_a_larger_program_stays_where_there_is_no_memory_to_compile_a_smaller_one(caplog) -> None:
    made = programs(lambda size, compiled: compiled() if size == 4 else exhausted())
    made.require(3, lambda: 4)
    made.add_smaller(lambda: 2)
    assert steps_after(made, [1, 1]) == [101, 202]
    assert (made.sizes, caplog.messages) == ([4], [])


def test_another_fault_of_a_program_is_not_met_by_halving() -> None:
    def broken(*arguments: object) -> None:
        raise JaxRuntimeError("INTERNAL: a fault")

    made = programs(lambda size, compiled: broken)
    made.require(2, lambda: 2)
    with pytest.raises(JaxRuntimeError, match=r"^INTERNAL"):
        steps_after(made, [1, 1])
    assert made.sizes == [2]
