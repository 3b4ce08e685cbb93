"""Steps per second of the compiled loop against the naive one, measured in turns."""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from simplexity.generative_processes import DataGenerator, mess3
from simplexity.host import configure_accelerator
from simplexity.predictive_models import GRU, LSTM, RNN, PredictiveModel, Transformer
from simplexity.training import (
    StepArguments,
    TrainingSettings,
    TrainState,
    configure_cpu_devices,
    initial_train_state,
    make_train_steps,
    share_among_cpu_devices,
)

from .cases import Case
from .naive import NaiveModel, make_step
from .numpy_products import own_products
from .turns import Loop, Work

ROUNDS = 5


@dataclass(frozen=True)
class Result:
    """Figures of one case: medians over the rounds, also of each round's ratios.

    `gemm_share` is the rate of the step's matrix products over the rate of one large square product, compiled by XLA.
    `shape_share` is the time that NumPy needs for products of the step's own shapes, on one core and divided by the
    number of cores, over the time of the whole step; None on a GPU.
    """

    name: str
    floor: float | None
    naive_steps_per_s: float
    steps_per_s: float
    ratio: float
    tokens_per_s: float
    gemm_share: float
    shape_share: float | None


def measure(case: Case) -> Result:
    """Measures one case. All loops take turns, so that a machine that others use slows all of them alike."""
    on_cpu = jax.default_backend() == "cpu"
    with ExitStack() as stack:
        makers = [compiled_loop, naive_loop, _large_product] + ([own_products] if on_cpu else [])
        loops = [stack.enter_context(Loop(make, case)) for make in makers]
        rounds = [[loop.rates().per_second for loop in loops] for _ in range(ROUNDS)]
    steps, naive_steps, gemm_flops, *numpy_steps = zip(*rounds, strict=True)
    steps_per_s = statistics.median(steps)
    return Result(
        name=case.name,
        floor=case.floor,
        naive_steps_per_s=statistics.median(naive_steps),
        steps_per_s=steps_per_s,
        ratio=_median_ratio(steps, naive_steps),
        tokens_per_s=steps_per_s * case.batch_size * case.sequence_len,
        gemm_share=case.flops_per_step * _median_ratio(steps, gemm_flops),
        shape_share=_median_ratio(steps, numpy_steps[0]) if numpy_steps else None,
    )


def _median_ratio(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


class Problem(NamedTuple):
    """What a case trains, and on what."""

    settings: TrainingSettings
    arguments: StepArguments
    model: PredictiveModel


def problem(case: Case) -> Problem:
    """The model and the process of a case; also configures this process's accelerator."""
    configure_accelerator()
    settings = TrainingSettings(
        num_train_steps=1,
        batch_size=case.batch_size,
        sequence_len=case.sequence_len,
        log_every=1,
        carry_state=False,
        gradient_clip_norm=None,
    )
    generator = DataGenerator(mess3(0.05, 0.85), None, None)
    # On the device, as a run has it.
    generator = jax.tree.map(lambda leaf: jnp.asarray(leaf) if eqx.is_array(leaf) else leaf, generator)
    return Problem(settings, StepArguments(generator, jnp.asarray(1e-3)), _model(case))


def compiled_loop(case: Case) -> Work:
    """The steps of this project."""
    configure_cpu_devices(case.batch_size * case.sequence_len)
    settings, arguments, model = problem(case)
    parallel = share_among_cpu_devices(case.batch_size) if jax.default_backend() == "cpu" else None
    program = make_train_steps(optax.adam, settings, model, parallel)
    states = [
        initial_train_state(
            model, optax.adam(arguments.hyperparameters), arguments.generator, settings, key=jax.random.key(1)
        )
    ]
    shared = None
    if parallel is not None:
        compiled = parallel.lower(program, arguments, states[0], jnp.asarray(0, jnp.int32)).compile()
        shared = parallel.on_first_device(compiled)

    def train_steps(num_steps: int) -> TrainState:
        if shared is not None:
            return shared(arguments, states[0], num_steps)
        return program(arguments, states[0], jnp.asarray(num_steps, jnp.int32))

    def do(num_steps: int) -> None:
        states[0] = jax.block_until_ready(train_steps(num_steps))

    return Work(do)


def _model(case: Case) -> PredictiveModel:
    width, num_layers, key = case.hidden_size, case.num_layers, jax.random.key(0)
    if case.kind != "transformer":
        return {"GRU": GRU, "LSTM": LSTM, "RNN": RNN}[case.kind](width, num_layers, vocab_size=3, key=key)
    return Transformer(
        width,
        num_layers,
        case.num_heads,
        4 * width,
        "learned",
        case.head_size,
        vocab_size=3,
        sequence_len=case.sequence_len,
        key=key,
    )


def naive_loop(case: Case) -> Work:
    """The steps of the loop in `naive.py`."""
    process, optimizer = mess3(0.05, 0.85), optax.adam(1e-3)
    model = NaiveModel(case, 3, key=jax.random.key(0))
    step = make_step(
        jnp.asarray(process.transition_matrices, jnp.float32),
        jnp.asarray(process.initial_state, jnp.float32),
        optimizer,
        case.batch_size,
        case.sequence_len,
    )
    run = [model, optimizer.init(eqx.filter(model, eqx.is_inexact_array)), jax.random.key(1)]

    def do(num_steps: int) -> None:
        for _ in range(num_steps):
            run[2], key = jax.random.split(run[2])
            run[0], run[1], loss = step(run[0], run[1], key)
        jax.block_until_ready(loss)

    return Work(do)


def _large_product(case: Case) -> Work:
    """FLOPs per second of products of large float32 matrices in a compiled loop, each of which needs the one before."""
    size = 2048
    left, right = jax.random.normal(jax.random.key(0), (2, size, size))

    @jax.jit
    def multiply(count, left):
        def body(_, carry):
            left, _ = carry
            product = left @ right
            # One entry of the product goes into the next left side: enough to keep the compiler from hoisting it.
            return left.at[0, 0].set(product[0, 0] * 1e-6), product

        return jax.lax.fori_loop(0, count, body, (left, jnp.zeros((size, size))))[1]

    return Work(lambda count: jax.block_until_ready(multiply(count, left)), worth=2.0 * size**3)
