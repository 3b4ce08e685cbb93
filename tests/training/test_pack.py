"""A pack gives each member what it would have alone, whatever happens to the others."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

from simplexity.generative_processes import DataGenerator, mess3
from simplexity.predictive_models import GRU, LSTM, Transformer
from simplexity.training import (
    Pack,
    StepArguments,
    StepFunction,
    TrainingSettings,
    TrainState,
    initial_train_state,
    make_optimizer,
    make_step_function,
    make_train_steps,
    run_keys,
    step_compiler_options,
)
from tests.training.compilation import optimized

SETTINGS = TrainingSettings(40, 8, 6, 10, False, None)
MODELS = {
    "gru": lambda key: GRU(4, 1, vocab_size=3, key=key),
    # With other options of the compiler.
    "wide gru": lambda key: GRU(48, 1, vocab_size=3, key=key),
    "lstm": lambda key: LSTM(4, 1, vocab_size=3, key=key),
    "transformer": lambda key: Transformer(8, 1, 2, 16, "learned", vocab_size=3, sequence_len=6, key=key),
}


def optimizer_of(rate):
    return make_optimizer(optax.adam(rate), None, None)


def arguments(number: int) -> StepArguments:
    """Another process and another learning rate for each number."""
    generator = DataGenerator(mess3(0.05 + 0.01 * number, 0.85), None, None)
    generator = jax.tree.map(lambda leaf: jnp.asarray(leaf) if eqx.is_array(leaf) else leaf, generator)
    return StepArguments(generator, jnp.float32(0.01 * (1 + number)))


class Programs(NamedTuple):
    function: StepFunction
    train_steps: StepFunction
    initialize: StepFunction
    compiler_options: Mapping[str, bool | int | str]

    def fresh(self, number: int) -> TrainState:
        """Another seed for each number."""
        return self.initialize(arguments(number), run_keys(number))

    def alone(self, number: int, num_steps: int) -> TrainState:
        with optimized():
            return self.train_steps(arguments(number), self.fresh(number), jnp.asarray(num_steps, jnp.int32))


@cache
def programs(model: str = "gru") -> Programs:
    @eqx.filter_jit
    def initialize(arguments, keys):
        fresh = MODELS[model](keys.initialization)
        optimizer = optimizer_of(arguments.hyperparameters)
        return initial_train_state(fresh, optimizer, arguments.generator, SETTINGS, key=keys.data)

    with optimized():
        shapes = eqx.filter_eval_shape(MODELS[model], jax.random.key(0))
        train_steps = make_train_steps(optimizer_of, SETTINGS, shapes)
    options = step_compiler_options(SETTINGS, shapes)
    return Programs(make_step_function(optimizer_of, SETTINGS), train_steps, initialize, options)


def pack_of(programs, coming, **settings):
    settings = {"compiler_options": programs.compiler_options} | settings
    return Pack(programs.function, arguments(0), programs.fresh(0), lambda: coming[0], **settings)


def join(pack, number):
    pack.add_member()
    return pack.member(arguments(number))


def train_together(programs, calls_of, states=None, **settings):
    """The last state of a member for each of `calls_of`, its numbers of steps, and the pack."""
    coming = [len(calls_of)]
    all_joined = threading.Barrier(len(calls_of))

    def member(number):
        state = programs.fresh(number) if states is None else states[number]
        with lock:
            coming[0] -= 1
        joined = join(pack, number)
        all_joined.wait(120)
        try:
            for num_steps in calls_of[number]:
                state = joined(state, num_steps)
            return state.read()
        finally:
            pack.remove_member(joined)

    lock = threading.Lock()
    with optimized(), ThreadPoolExecutor(len(calls_of)) as pool:
        pack = pack_of(programs, coming, **settings)
        return list(pool.map(member, range(len(calls_of)))), pack


def bits(state):
    leaves = [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array)]
    is_key = [jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in leaves]
    raw = [jax.random.key_data(leaf) if key else leaf for key, leaf in zip(is_key, leaves, strict=True)]
    return [jax.device_get(leaf).tobytes() for leaf in raw]


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_a_member_has_the_bits_that_it_would_have_alone(model):
    """Other rates, seeds and numbers of the process, and steps that are cut into calls in another way."""
    states, pack = train_together(programs(model), [(5, 5), (10,), (1, 2, 7)])
    assert pack._programs.sizes == [4]
    for number, state in enumerate(states):
        assert bits(state) == bits(programs(model).alone(number, 10))
    assert bits(states[0]) != bits(states[1])


def broken(state):
    return eqx.tree_at(
        lambda state: state.model,
        state,
        replace_fn=lambda model: jax.tree.map(
            lambda leaf: leaf * jnp.nan if eqx.is_inexact_array(leaf) else leaf, model
        ),
    )


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_steps_of_its_member_alone():
    gru = programs()
    (stopped, whole), _ = train_together(gru, [(5,), (5,)], [broken(gru.fresh(0)), gru.fresh(1)])
    assert (int(stopped.step), bool(stopped.finite)) == (0, False)
    assert bits(whole) == bits(gru.alone(1, 5))


@pytest.mark.slow
def test_members_side_by_side_have_the_losses_that_they_would_have_alone():
    """As on a GPU, whose sums round in another way."""
    gru = programs()
    calls_of = [(10,), (3, 7), (10,), (4,)]
    states, _ = train_together(gru, calls_of, one_by_one=False)
    for number, state in enumerate(states):
        expected = gru.alone(number, sum(calls_of[number]))
        assert float(state.window.loss) == pytest.approx(float(expected.window.loss), rel=1e-5)
        assert float(state.window.gradient_norm) == pytest.approx(float(expected.window.gradient_norm), rel=1e-4)
        assert int(state.step) == sum(calls_of[number])


@pytest.mark.slow
def test_members_end_at_their_own_last_steps_and_the_program_shrinks():
    gru = programs()
    (first, *_, last), pack = train_together(gru, [(3,), (3,), (3,), (3, 3, 3)])
    assert (int(first.step), int(last.step)) == (3, 9)
    assert bits(last) == bits(gru.alone(3, 9))
    for thread in threading.enumerate():
        if thread.name == "smaller pack":
            thread.join(60)
    # With 2 places or with 1: one that ends while the compiler works for another is not compiled for once more.
    assert {4} < set(pack._programs.sizes) <= {1, 2, 4}


@pytest.mark.slow
def test_a_run_that_comes_later_joins_those_that_are_there():
    """It makes a program with a place for it."""
    gru, second_is_done, ended_at = programs(), threading.Event(), {}
    first_has_begun = threading.Event()
    with optimized(), ThreadPoolExecutor(2) as pool:
        pack = pack_of(gru, [0])

        def member(number):
            if number == 1:
                first_has_begun.wait(120)
            joined, state = join(pack, number), gru.fresh(number)
            while not second_is_done.is_set():
                state = joined(state, 3)
                first_has_begun.set()
                if number == 1:
                    second_is_done.set()
            state = state.read()
            pack.remove_member(joined)
            ended_at[number] = int(state.step)
            return state

        states = list(pool.map(member, range(2)))
    assert ended_at[1] == 3
    assert ended_at[0] >= 6
    for number, state in enumerate(states):
        assert bits(state) == bits(gru.alone(number, ended_at[number]))
    assert {1, 2} <= set(pack._programs.sizes)


def test_an_error_of_the_program_reaches_every_member_and_one_of_a_member_no_other(monkeypatch):
    gru, errors = programs(), []
    together, both_have_called = threading.Barrier(3), threading.Barrier(2)
    with optimized(), ThreadPoolExecutor(3) as pool:
        pack = pack_of(gru, [2])

        def member(number):
            joined, state = join(pack, number), gru.fresh(number)
            try:
                together.wait(120)
                if number == 2:
                    raise OSError("a full disk")
                state = joined(state, 3)
                both_have_called.wait(120)
                monkeypatch.setattr(pack._programs, "_programs", {4: fails})
                joined(state, 3)
            except (OSError, RuntimeError) as error:
                errors.append(str(error))
            finally:
                pack.remove_member(joined)
            return state

        def fails(*arguments):
            raise RuntimeError("out of memory")

        states = list(pool.map(member, range(3)))
    assert sorted(errors) == ["a full disk", "out of memory", "out of memory"]
    assert [int(state.step) for state in states] == [3, 3, 0]
