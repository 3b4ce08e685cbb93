"""The states of a pack stay on the device, each in a row of its own, whoever comes, leaves or reads."""

import gc
import threading
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.errors import JaxRuntimeError

from simplexity.training import Pack, _pack_rows
from simplexity.training._pack_programs import PackPrograms
from simplexity.training._pack_rows import PackRows, StepsOfRun

from .test_pack_programs import exhausted, move, state_at, stride


@pytest.fixture
def programs() -> PackPrograms:
    return PackPrograms(move, stride(0), state_at(0), lambda size, compiled: compiled(), {}, one_by_one=False)


@pytest.fixture
def rows(programs: PackPrograms) -> PackRows:
    return PackRows(programs)


@pytest.fixture
def member():
    pack = Pack(move, stride(0), state_at(0), lambda: 0, one_by_one=False)
    pack.add_member()
    member = pack.member(stride(2))
    yield member
    pack.remove_member(member)


def put(rows: PackRows, *runs: int) -> None:
    """Runs that begin at 100 times their number, and move by their number."""
    for run in runs:
        rows.put(run, rows._programs.write_arguments(stride(run)), rows._programs.write_state(state_at(100 * run)))


def take(rows: PackRows, num_steps: dict[int, int]) -> list[int]:
    return [int(each.step) for each in rows.run([StepsOfRun(run, number, False) for run, number in num_steps.items()])]


def sizes(rows: PackRows) -> list[int]:
    return [each.size for each in rows._all]


def test_members_that_come_leave_and_pause_have_their_own_states(programs: PackPrograms, rows: PackRows) -> None:
    programs.require(3, lambda: 4)
    put(rows, 1, 2, 3)
    assert take(rows, {1: 1, 2: 1, 3: 1}) == [101, 202, 303]
    assert take(rows, {3: 2, 1: 1}) == [309, 102]
    rows.remove(2)
    put(rows, 4)
    assert take(rows, {4: 1, 3: 1}) == [404, 312]
    assert sizes(rows) == [4]
    programs.require(5, lambda: 8)
    put(rows, 5, 2)
    assert take(rows, {1: 1, 5: 1, 2: 3}) == [103, 505, 206]
    assert sizes(rows) == [8]
    for run in (1, 2, 5):
        rows.remove(run)
    programs.add_smaller(lambda: 2)
    assert take(rows, {3: 1}) == [315]
    assert sizes(rows) == [2]
    assert [int(rows.read(run).step) for run in (3, 4)] == [315, 404]
    for run in (3, 4):
        rows.remove(run)
    put(rows, 6)
    assert take(rows, {6: 1}) == [606]
    assert sizes(rows) == [2]


def test_a_state_in_place_of_a_runs_own_takes_its_row(programs: PackPrograms, rows: PackRows) -> None:
    programs.require(2, lambda: 2)
    put(rows, 1, 2)
    take(rows, {1: 5, 2: 5})
    put(rows, 1)
    assert take(rows, {2: 1, 1: 0}) == [212, 100]


def test_a_run_is_read_while_others_take_steps(programs: PackPrograms, rows: PackRows, monkeypatch) -> None:
    programs.require(2, lambda: 2)
    put(rows, 1, 2)
    take(rows, {1: 1, 2: 1})
    call, read = programs.call, []

    def reading(*arguments):
        result = call(*arguments)
        read.append(int(rows.read(2).step))
        return result

    monkeypatch.setattr(programs, "call", reading)
    take(rows, {1: 1})
    assert read == [202]


def test_a_call_that_fails_leaves_the_states_as_they_were(programs: PackPrograms, rows: PackRows, monkeypatch) -> None:
    programs.require(2, lambda: 2)
    put(rows, 1, 2)
    take(rows, {1: 1, 2: 1})
    program = programs._programs[2]

    def fails_at_its_end(*arguments):
        jax.block_until_ready(program(*arguments))
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(programs, "_programs", {2: fails_at_its_end})
        with pytest.raises(ZeroDivisionError):
            take(rows, {1: 1})
    assert take(rows, {1: 1, 2: 1}) == [102, 204]


def test_newcomers_that_there_was_no_memory_for_come_again(programs: PackPrograms, rows: PackRows, monkeypatch) -> None:
    programs.require(1, lambda: 1)
    put(rows, 1)
    take(rows, {1: 1})
    programs.require(2, lambda: 2)
    put(rows, 2, 3, 4)
    with monkeypatch.context() as patched:
        patched.setattr(_pack_rows, "_Rows", exhausted)
        with pytest.raises(JaxRuntimeError, match=r"^RESOURCE_EXHAUSTED"):
            take(rows, {1: 1, 2: 1})
    with monkeypatch.context() as patched:
        # The first array has its newcomer, and there is none for the others.
        patched.setattr(_pack_rows.jnp, "broadcast_to", exhausted)
        with pytest.raises(JaxRuntimeError, match=r"^RESOURCE_EXHAUSTED"):
            take(rows, {1: 1, 2: 1})
    with monkeypatch.context() as patched:
        patched.setattr(_pack_rows, "_with_row", exhausted)
        with pytest.raises(JaxRuntimeError, match=r"^RESOURCE_EXHAUSTED"):
            take(rows, {1: 1, 2: 1})
    assert take(rows, {1: 1, 2: 1, 3: 1, 4: 1}) == [102, 202, 303, 404]


@pytest.fixture
def no_search_for_cycles():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_an_array_is_gone_with_its_last_run(programs: PackPrograms, rows: PackRows, no_search_for_cycles) -> None:
    programs.require(2, lambda: 2)
    put(rows, 1, 2, 3)
    take(rows, {1: 1, 2: 1, 3: 1})
    states = [weakref.ref(each.states) for each in rows._all]
    rows.remove(3)
    assert [state() is None for state in states] == [False, True]
    rows.remove(1)
    rows.remove(2)
    assert [state() for state in states] == [None, None]


def test_a_pack_is_gone_with_its_last_member(no_search_for_cycles) -> None:
    others = threading.enumerate()
    pack = Pack(move, stride(0), state_at(0), lambda: 0, one_by_one=False)
    (serving,) = set(threading.enumerate()).difference(others)
    pack.add_member()
    member = pack.member(stride(2))
    state = member(state_at(100), 3)
    state.read()
    of_member, of_states = weakref.ref(member), weakref.ref(pack._rows._all[0].states)
    pack.remove_member(member)
    del pack, member, state
    serving.join(60)
    assert (of_member(), of_states()) == (None, None)


def test_a_member_writes_and_reads_its_state_only_where_it_must(member, monkeypatch) -> None:
    programs = member._pack._programs
    written, read = [], []
    write_state, read_state = programs.write_state, programs.read_state
    monkeypatch.setattr(programs, "write_state", lambda state: written.append(int(state.step)) or write_state(state))
    monkeypatch.setattr(programs, "read_state", lambda words: read.append(1) or read_state(words))
    state = member(member(state_at(100), 3), 1)
    assert (int(state.step), int(member(state_at(7), 2).step)) == (108, 11)
    assert (written, read) == ([100, 7], [])
    state = member(state_at(0), 1)
    assert int(state.read().step) == int(state.with_empty_window().read().step) == 2
    assert read == [1]


def test_a_state_is_gone_once_its_member_has_taken_further_steps(member) -> None:
    begun = state_at(100)
    first = member(begun, 3)
    second = member(first, 1)
    assert begun.step.is_deleted()
    with pytest.raises(RuntimeError, match="was read after the run's next steps"):
        first.read()
    with pytest.raises(RuntimeError, match="was read after the run's next steps"):
        member(first, 1)
    assert int(second.read().step) == 108


def test_nothing_of_a_member_but_its_row_is_on_the_device_while_it_takes_steps(member, monkeypatch) -> None:
    """What a program's own analysis says that it takes is then all that a pack needs."""
    before = jax.live_arrays()  # held, so that no later array gets the id of one of them
    ids_before = {id(array) for array in before}
    call, sizes = member._pack._programs.call, []

    def watched(arguments, states, *others):
        ours = [array for array in jax.live_arrays() if id(array) not in ids_before]
        sizes.append(sum(array.nbytes for array in ours) - arguments.nbytes - states.nbytes)
        return call(arguments, states, *others)

    monkeypatch.setattr(member._pack._programs, "call", watched)
    state = member(state_at(100), 3)
    state.read()
    state = state.with_empty_window()
    state = member(state, 2)
    assert sizes == [0, 0]
    assert np.all(jnp.asarray(state.step) == 110)


@pytest.mark.parametrize("size", [1, 4])
def test_a_programs_own_analysis_counts_the_states_before_a_call_and_after_it(
    programs: PackPrograms, size: int
) -> None:
    programs.require(size, lambda: size)
    sizes = programs._programs[size].compiled.memory_analysis()
    states = size * programs.write_state(state_at(0)).nbytes
    arguments = size * programs.write_arguments(stride(0)).nbytes
    # Beside them, the numbers of steps and what the host sees of each state.
    assert states + arguments < sizes.argument_size_in_bytes <= states + arguments + 32 * size
    assert states < sizes.output_size_in_bytes <= states + 128 * size
    assert sizes.alias_size_in_bytes == 0
