"""Training steps per second of a pack, of all its runs together, against those of one run alone."""

import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax

from simplexity.training import Pack, initial_train_state, make_step_function

from .cases import Case
from .training_speed import ROUNDS, compiled_loop, problem
from .turns import Loop, Work

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
    """Figures of one pack: medians over the rounds, also of each round's ratios."""

    name: str
    num_runs: int
    aim: float
    alone_steps_per_s: float
    steps_per_s: float
    ratio: float


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
    """Measures one pack, and one of its runs alone, in turns."""
    with ExitStack() as stack:
        alone = stack.enter_context(Loop(compiled_loop, pack.case))
        together = stack.enter_context(Loop(pack_of_runs, pack))
        rounds = [(together.rates().per_second, alone.rates().per_second) for _ in range(ROUNDS)]
    return PackResult(
        name=pack.case.name,
        num_runs=pack.num_runs,
        aim=pack.aim,
        alone_steps_per_s=statistics.median(alone for _, alone in rounds),
        steps_per_s=statistics.median(together for together, _ in rounds),
        ratio=statistics.median(together / alone for together, alone in rounds),
    )


def pack_of_runs(pack: PackCase) -> Work:
    """Steps of all runs, each of which asks for its own from a thread of its own, as a worker's runs do."""
    given = problem(pack.case)
    states = [
        initial_train_state(
            given.model, optax.adam(given.arguments.hyperparameters), given.arguments.generator, given.settings,
            key=jax.random.key(seed),
        )
        for seed in range(pack.num_runs)
    ]  # fmt: skip
    shared = Pack(make_step_function(optax.adam, given.settings), given.arguments, states[0], lambda: 0)
    for _ in states:
        shared.add_member()
    members = [shared.member(given.arguments) for _ in states]
    pool = ThreadPoolExecutor(pack.num_runs)

    def steps_of(run: int) -> Callable[[int], None]:
        def take(num_steps: int) -> None:
            for call in range(_CALLS_PER_ROUND):
                part = num_steps * (call + 1) // _CALLS_PER_ROUND - num_steps * call // _CALLS_PER_ROUND
                if part:
                    states[run] = members[run](states[run], jnp.asarray(part, jnp.int32))

        return take

    takers = [steps_of(run) for run in range(pack.num_runs)]

    def do(num_steps: int) -> None:
        list(pool.map(lambda take: take(num_steps), takers))

    return Work(do, worth=pack.num_runs)
