"""Steps per second of the compiled loop against the naive one, measured in turns."""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from simplexity.generative_processes import DataGenerator, mess3
from simplexity.host import configure_accelerator
from simplexity.predictive_models import GRU
from simplexity.training import (
    StepArguments,
    TrainingSettings,
    configure_cpu_devices,
    initial_train_state,
    make_train_steps,
    share_among_cpu_devices,
)

from .naive import NaiveGRU, make_step
from .turns import Loop, Work

ROUNDS = 5


@dataclass(frozen=True)
class Case:
    """A model and a batch; `floor` is the least ratio to the naive loop that the project accepts on two CPU cores."""

    num_layers: int
    hidden_size: int
    batch_size: int
    sequence_len: int
    floor: float

    @property
    def name(self) -> str:
        return f"GRU {self.num_layers}x{self.hidden_size}, batch {self.batch_size}, length {self.sequence_len}"

    @property
    def flops_per_step(self) -> float:
        """Multiplications and additions of the matrix products of a step: forward, and twice that backward.

        Per token a layer multiplies hidden by 3 hidden twice, for its input and its state; the first layer's input is
        a token, whose product is a look-up and not counted. Nor is anything elementwise.
        """
        products = 2 * self.num_layers - 1
        return 3 * products * 2 * self.hidden_size * 3 * self.hidden_size * self.batch_size * self.sequence_len


CASES = (
    Case(num_layers=4, hidden_size=64, batch_size=128, sequence_len=64, floor=1.8),
    Case(num_layers=1, hidden_size=32, batch_size=32, sequence_len=32, floor=7.0),
    Case(num_layers=4, hidden_size=64, batch_size=4, sequence_len=8, floor=5.0),
)


@dataclass(frozen=True)
class Result:
    """Figures of one case: medians over the rounds, also of each round's ratios.

    `gemm_share` is the rate of the step's matrix products over the rate of one large square product on this machine;
    `shape_share` is the same over a product of the recurrence's own shape, [batch, hidden] by [hidden, 3 hidden].
    """

    name: str
    floor: float
    naive_steps_per_s: float
    steps_per_s: float
    ratio: float
    tokens_per_s: float
    gemm_share: float
    shape_share: float


def measure(case: Case) -> Result:
    """Measures one case. All loops take turns, so that a machine that others use slows all of them alike."""
    with ExitStack() as stack:
        loops = [stack.enter_context(Loop(make, case)) for make in (_ours, _naive, _large_product, _small_product)]
        rounds = [[loop.rate() for loop in loops] for _ in range(ROUNDS)]
    steps, naive_steps, gemm_flops, shape_flops = zip(*rounds, strict=True)
    steps_per_s = statistics.median(steps)
    return Result(
        name=case.name,
        floor=case.floor,
        naive_steps_per_s=statistics.median(naive_steps),
        steps_per_s=steps_per_s,
        ratio=_median_ratio(steps, naive_steps),
        tokens_per_s=steps_per_s * case.batch_size * case.sequence_len,
        gemm_share=case.flops_per_step * _median_ratio(steps, gemm_flops),
        shape_share=case.flops_per_step * _median_ratio(steps, shape_flops),
    )


def _median_ratio(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def _ours(case: Case) -> Work:
    configure_accelerator()
    configure_cpu_devices(case.batch_size * case.sequence_len)
    settings = TrainingSettings(
        num_train_steps=1,
        batch_size=case.batch_size,
        sequence_len=case.sequence_len,
        log_every=1,
        carry_state=False,
        gradient_clip_norm=None,
    )
    generator = DataGenerator(mess3(0.05, 0.85), None, None)
    arguments = StepArguments(generator, jnp.asarray(1e-3))
    model = GRU(case.hidden_size, case.num_layers, vocab_size=3, key=jax.random.key(0))
    parallel = share_among_cpu_devices(case.batch_size) if jax.default_backend() == "cpu" else None
    train_steps = make_train_steps(optax.adam, settings, parallel)
    states = [
        initial_train_state(model, optax.adam(arguments.hyperparameters), generator, settings, key=jax.random.key(1))
    ]
    if parallel is not None:
        train_steps = parallel.on_first_device(
            parallel.lower(train_steps, arguments, states[0], jnp.asarray(0, jnp.int32)).compile()
        )

    def do(num_steps: int) -> None:
        states[0] = jax.block_until_ready(train_steps(arguments, states[0], jnp.asarray(num_steps, jnp.int32)))

    return Work(do)


def _naive(case: Case) -> Work:
    process, optimizer = mess3(0.05, 0.85), optax.adam(1e-3)
    model = NaiveGRU(3, case.hidden_size, case.num_layers, key=jax.random.key(0))
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
    return _gemm(2048, 2048, 2048)


def _small_product(case: Case) -> Work:
    return _gemm(case.batch_size, case.hidden_size, 3 * case.hidden_size)


def _gemm(m: int, k: int, n: int) -> Work:
    """Products of float32 matrices in a compiled loop, each of which depends on the one before."""
    left, right = jax.random.normal(jax.random.key(0), (m, k)), jax.random.normal(jax.random.key(1), (k, n))

    @jax.jit
    def multiply(count, left):
        def body(_, carry):
            left, _ = carry
            product = left @ right
            # One entry of the product goes into the next left side: enough to keep the compiler from hoisting it.
            return left.at[0, 0].set(product[0, 0] * 1e-6), product

        return jax.lax.fori_loop(0, count, body, (left, jnp.zeros((m, n))))[1]

    return Work(lambda count: jax.block_until_ready(multiply(count, left)), worth=2.0 * m * k * n)
