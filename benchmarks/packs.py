"""Training steps and validations per second of a pack, of all its runs together, against those of one run alone."""

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from simplexity.training import (
    Pack,
    PackMember,
    RunState,
    TrainState,
    Validation,
    ValidationArguments,
    ValidationSettings,
    initial_train_state,
    make_score,
    make_step_function,
    step_compiler_options,
)

from .cases import Case
from .training_speed import ROUNDS, Problem, compiled_loop, problem
from .turns import Loop, Work

# The default of a run.
_VALIDATION = ValidationSettings(every=500, batch_size=512, num_batches=8)

# A round is so many calls: a pack's calls last half a second, after which its runs look for requests to stop.
_CALLS_PER_ROUND = 3


@dataclass(frozen=True)
class PackCase:
    """A pack of runs that differ in their seeds.

    Args:
        case: The model and the batch of each.
        num_runs: How many there are.
        aim: The ratio to one run alone that the project wants on an H100.
    """

    case: Case
    num_runs: int
    aim: float


@dataclass(frozen=True)
class PackResult:
    """Figures of one pack: medians over the rounds, also of each round's ratios.

    `call_overhead_us` is what a call takes beside the steps, in microseconds per run: the time of a call of one step,
    less that of a step in a long call. `by_blocks` and `by_sequences` are the steps per second with one kind of kernel
    or the other, whichever the program chooses by itself; None for a transformer and on a CPU. `validations_per_s` are
    those of all runs, due at the same time, and `alone_validations_per_s` those of one run after the other.
    """

    name: str
    num_runs: int
    aim: float
    alone_steps_per_s: float
    steps_per_s: float
    ratio: float
    call_overhead_us: float
    by_blocks: float | None
    by_sequences: float | None
    alone_validations_per_s: float
    validations_per_s: float


PACK_CASES = (
    PackCase(Case("GRU", num_layers=4, hidden_size=64, batch_size=128, sequence_len=64, floor=0.0), 64, aim=15.0),
    PackCase(Case("GRU", num_layers=1, hidden_size=32, batch_size=32, sequence_len=32, floor=0.0), 256, aim=40.0),
    PackCase(Case("GRU", num_layers=4, hidden_size=64, batch_size=4, sequence_len=8, floor=0.0), 256, aim=80.0),
    PackCase(
        Case(
            "transformer", num_layers=4, hidden_size=64, num_heads=1, head_size=64, batch_size=64, sequence_len=10,
            floor=0.0,
        ),
        64, aim=30.0,
    ),
)  # fmt: skip


def measure_pack(pack: PackCase) -> PackResult:
    """Measures one pack, one of its runs alone, and on a GPU the pack with each kind of kernel, in turns."""
    makers = [
        (compiled_loop, pack.case),
        (pack_of_runs, pack),
        (_calls_of_one_step, pack),
        (validations, pack),
        (validations_alone, pack.case),
    ]
    if pack.case.kind != "transformer" and jax.default_backend() != "cpu":
        makers += [(_pack_by_blocks, pack), (_pack_by_sequences, pack)]
    with ExitStack() as stack:
        loops = [stack.enter_context(Loop(make, argument)) for make, argument in makers]
        rounds = [[loop.rates().per_second for loop in loops] for _ in range(ROUNDS)]
    alone, together, _, validated, validated_alone, *kernels = map(statistics.median, zip(*rounds, strict=True))
    by_blocks, by_sequences = kernels or (None, None)
    return PackResult(
        name=pack.case.name,
        num_runs=pack.num_runs,
        aim=pack.aim,
        alone_steps_per_s=alone,
        steps_per_s=together,
        ratio=statistics.median(its_pack / its_run for its_run, its_pack, *_ in rounds),
        call_overhead_us=statistics.median(1e6 / by_one - 1e6 / its_pack for _, its_pack, by_one, *_ in rounds),
        by_blocks=by_blocks,
        by_sequences=by_sequences,
        alone_validations_per_s=validated_alone,
        validations_per_s=validated,
    )


def _pack_by_blocks(pack: PackCase) -> Work:
    return _pack_with_blocks_from(1, pack)


def _pack_by_sequences(pack: PackCase) -> Work:
    return _pack_with_blocks_from(pack.case.batch_size + 1, pack)


def _pack_with_blocks_from(fewest_sequences: int, pack: PackCase) -> Work:
    """The pack with the kernels of blocks for batches of so many sequences or more; in a process of its own."""
    from simplexity.predictive_models import gpu_kernels  # not every JAX has its compiler

    gpu_kernels.FEWEST_SEQUENCES_OF_BLOCKS = fewest_sequences
    return pack_of_runs(pack)


def _calls_of_one_step(pack: PackCase) -> Work:
    return pack_of_runs(pack, one_step_per_call=True)


def pack_of_runs(pack: PackCase, one_step_per_call: bool = False) -> Work:
    """Steps of all runs, each of which asks for its own from a thread of its own, as a worker's runs do."""
    members, first = _members(pack, problem(pack.case))
    states: list[RunState] = [*first]
    pool = ThreadPoolExecutor(pack.num_runs)

    def steps_of(run: int) -> Callable[[int], None]:
        def take(num_steps: int) -> None:
            num_calls = num_steps if one_step_per_call else _CALLS_PER_ROUND
            for call in range(num_calls):
                part = num_steps * (call + 1) // num_calls - num_steps * call // num_calls
                if part:
                    states[run] = members[run](states[run], part)

        return take

    takers = [steps_of(run) for run in range(pack.num_runs)]

    def do(num_steps: int) -> None:
        list(pool.map(lambda take: take(num_steps), takers))

    return Work(do, worth=pack.num_runs)


def validations(pack: PackCase) -> Work:
    """Validations of all runs, which are due at the same time, each in a thread of its own."""
    given = problem(pack.case)
    members, states = _members(pack, given)
    score = make_score(_VALIDATION.batch_size, pack.case.sequence_len)
    validate = [
        member.validation(
            "validation", score, ValidationArguments(given.arguments.generator, jax.random.key(seed)), state,
            _VALIDATION.num_batches,
        )
        for seed, (member, state) in enumerate(zip(members, states, strict=True))
    ]  # fmt: skip
    # As in a run, the pack has the state that is validated.
    trained = [member(state, 1) for member, state in zip(members, states, strict=True)]
    pool = ThreadPoolExecutor(pack.num_runs)

    def do(times: int) -> None:
        for _ in range(times):
            list(pool.map(lambda of_one, state: of_one(state, lambda: False), validate, trained))

    return Work(do, worth=pack.num_runs)


def validations_alone(case: Case) -> Work:
    """Validations of one run."""
    given = problem(case)
    state = _initial_state(given, 0)
    validation = Validation(given.arguments.generator, _VALIDATION, case.sequence_len, key=jax.random.key(0))

    def do(times: int) -> None:
        for _ in range(times):
            validation(state)

    return Work(do)


def _members(pack: PackCase, given: Problem) -> tuple[list[PackMember], list[TrainState]]:
    """The members of a pack, and their first states."""
    states = [_initial_state(given, seed) for seed in range(pack.num_runs)]
    options = step_compiler_options(given.settings, given.model)
    train_steps = make_step_function(optax.adam, given.settings)
    shared = Pack(train_steps, given.arguments, states[0], lambda: 0, compiler_options=options)
    for _ in states:
        shared.add_member()
    return [shared.member(given.arguments) for _ in states], states


def _initial_state(given: Problem, seed: int) -> TrainState:
    return initial_train_state(
        # Its own, because a pack takes over the arrays that a member begins with.
        jax.tree.map(lambda leaf: jnp.copy(leaf) if eqx.is_array(leaf) else leaf, given.model),
        optax.adam(given.arguments.hyperparameters), given.arguments.generator, given.settings,
        key=jax.random.key(seed),
    )  # fmt: skip
