"""Steps per second of the compiled loop against the naive one, measured in turn in one process."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from simplexity.generative_processes import DataGenerator, mess3
from simplexity.predictive_models import GRU
from simplexity.training import TrainingSettings, initial_train_state, make_advance

from .naive import NaiveGRU, make_step

ROUNDS = 5
SECONDS_PER_ROUND = 1.5


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

        The first layer's input product is a table look-up, and so is free.
        """
        per_token = 6 * self.hidden_size**2 * (2 * self.num_layers - 1)
        return 3 * 2 * per_token / 2 * self.batch_size * self.sequence_len


CASES = (
    Case(num_layers=4, hidden_size=64, batch_size=128, sequence_len=64, floor=1.8),
    Case(num_layers=1, hidden_size=32, batch_size=32, sequence_len=32, floor=7.0),
    Case(num_layers=4, hidden_size=64, batch_size=4, sequence_len=8, floor=5.0),
)


@dataclass(frozen=True)
class Result:
    """Figures of one case; rates are medians over rounds, `ratio` is the median of the rounds' ratios."""

    name: str
    floor: float
    naive_steps_per_s: float
    steps_per_s: float
    ratio: float
    tokens_per_s: float
    gemm_share: float

    def as_dict(self) -> dict:
        return asdict(self)


def measure(case: Case) -> Result:
    """Measures one case; the two loops and the machine's GEMM rate take turns, so that a busy machine slows all alike."""
    ours, naive, gemm = _ours(case), _naive(case), _gemm(case)
    rounds = [(_rate(ours), _rate(naive), _rate(gemm) * _gemm_flops(case)) for _ in range(ROUNDS)]
    steps_per_s = statistics.median(r[0] for r in rounds)
    return Result(
        name=case.name,
        floor=case.floor,
        naive_steps_per_s=statistics.median(r[1] for r in rounds),
        steps_per_s=steps_per_s,
        ratio=statistics.median(r[0] / r[1] for r in rounds),
        tokens_per_s=steps_per_s * case.batch_size * case.sequence_len,
        gemm_share=statistics.median(r[0] * case.flops_per_step / r[2] for r in rounds),
    )
