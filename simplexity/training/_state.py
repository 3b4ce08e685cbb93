"""The training state, one pytree with everything that the rest of a run depends on; its random keys; its start."""

import threading
from collections.abc import Callable
from functools import cache
from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt32

from simplexity.generative_processes import DataGenerator, is_ergodic
from simplexity.predictive_models import PredictiveModel

from ._compiler_options import compiler_options
from ._settings import TrainingSettings


class RunKeys(NamedTuple):
    """Independent random keys for a run's three uses of chance."""

    initialization: PRNGKeyArray
    data: PRNGKeyArray
    validation: PRNGKeyArray


def run_keys(seed: int | UInt32[Array, ""]) -> RunKeys:
    """The keys of a run, independent: training never sees a validation sequence. The function can be compiled."""
    return RunKeys(*jax.random.split(jax.random.key(seed), 3))


class MetricWindow(eqx.Module):
    """What the next logged line needs of the steps since the last one.

    `num_steps` is their number, and `loss` and `accuracy` are sums over them. The norms are those of the last step, or
    zero after a loss that was not finite. All are on the device, so that the host need not see every step. A checkpoint
    contains them, so that a resumed run logs the same line that it would have logged without the interruption.
    """

    num_steps: Int[Array, ""]
    loss: Float[Array, ""]
    accuracy: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    update_norm: Float[Array, ""]

    @classmethod
    def empty(cls) -> "MetricWindow":
        """A window over no steps."""
        # Four arrays, because all of them are donated, and no buffer can be donated twice.
        zeros = (jnp.zeros((), jnp.float32) for _ in range(4))
        return cls(jnp.zeros((), jnp.int32), *zeros)


class TrainState(eqx.Module):
    """A run between two steps.

    `sampling_state` is the state of each row's process after the last batch, or None if every batch starts from the
    process's initial state. `finite` is False once a loss was NaN or infinite; the rest is then the state before that
    step.
    """

    step: Int[Array, ""]
    model: PredictiveModel
    optimizer_state: PyTree
    sampling_state: PyTree
    key: PRNGKeyArray
    window: MetricWindow
    initial_parameters: PyTree
    finite: Bool[Array, ""]

    def read(self) -> "TrainState":
        """Itself: see `RunState`."""
        return self

    def norms(self) -> "Norms":
        """See `RunState`."""
        with _norms_lock:
            return _compiled_norms(tuple(compiler_options(True).items()))(self)

    def with_empty_window(self) -> "TrainState":
        """See `RunState`."""
        return eqx.tree_at(lambda state: state.window, self, MetricWindow.empty())


class Norms(NamedTuple):
    """Euclidean norms of the parameters, and of their difference from the initial ones."""

    parameters: Float[Array, ""]
    distance: Float[Array, ""]


@runtime_checkable
class RunState(Protocol):
    """A training state as the host sees it: a few numbers, and the whole state only where that is asked for.

    A `TrainState` is one. So is a member's in a pack, whose arrays stay with those of the other members.
    """

    @property
    def step(self) -> Int[Array, ""] | np.ndarray: ...

    @property
    def finite(self) -> Bool[Array, ""] | np.ndarray: ...

    @property
    def window(self) -> MetricWindow: ...

    def read(self) -> TrainState:
        """The whole state; not after the next steps are taken."""
        ...

    def norms(self) -> Norms:
        """Those of the parameters."""
        ...

    def with_empty_window(self) -> "RunState":
        """The state with a window over no steps, once the line of its step is logged."""
        ...


def norms(state: TrainState) -> Norms:
    """The norms of a state's parameters; to be traced or jitted."""
    parameters = eqx.filter(state.model, eqx.is_inexact_array)
    difference = jax.tree.map(jnp.subtract, parameters, state.initial_parameters)
    return Norms(optax.tree.norm(parameters), optax.tree.norm(difference))


@cache
def _compiled_norms(options: tuple[tuple[str, bool | int | str], ...]) -> Callable[[TrainState], Norms]:
    # With the options of the training steps, as a pack's program computes them: other ones may sum in another order.
    # filter_jit hands arguments that it does not know to jax.jit.
    return eqx.filter_jit(norms, compiler_options=dict(options))  # pyright: ignore[reportCallIssue]


# The threads of a pack may all come with their first line at the same time.
_norms_lock = threading.Lock()


def check_sequences(generator: DataGenerator, settings: TrainingSettings) -> None:
    """Checks that a generator can draw the sequences that the settings require.

    Args:
        generator: Draws the training sequences.
        settings: Their length, and whether each batch continues the sequences of the one before.

    Raises:
        ValueError: If they are too short for the special tokens, or if `carry_state` is true although each sequence
            begins with a BOS token or the process has, or may have, several components.
    """
    generator.num_drawn(settings.sequence_len)
    if settings.carry_state and generator.bos_token is not None:
        raise ValueError("`carry_state` must be false with a `bos_token`: a continued sequence has no beginning")
    if settings.carry_state and not is_ergodic(generator.process):
        raise ValueError(
            "`carry_state` must be false with a process of several components, such as a mixture, or one that may have "
            "several, such as factors without small joint matrices: each row would keep the component that it got at "
            "the start of training"
        )


def initial_train_state(
    model: PredictiveModel,
    optimizer: optax.GradientTransformation,
    generator: DataGenerator,
    settings: TrainingSettings,
    *,
    key: PRNGKeyArray,
) -> TrainState:
    """The state before the first step, for a generator that `check_sequences` found able to draw the sequences.

    Args:
        model: The model as initialised or loaded.
        optimizer: Its optimizer.
        generator: Where the training sequences come from.
        settings: Batch size, and whether batches continue.
        key: The random key of all training data.

    Can be compiled, with all of these but the settings as arguments: what `check_sequences` looks at is not asked here.
    """
    start_key, data_key = jax.random.split(key)
    parameters = eqx.filter(model, eqx.is_inexact_array)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        model=model,
        optimizer_state=optimizer.init(parameters),
        sampling_state=(
            generator.initial_sampling_state(settings.batch_size, key=start_key) if settings.carry_state else None
        ),
        key=data_key,
        window=MetricWindow.empty(),
        # A copy: the step donates the model's buffers, and no buffer can be donated twice.
        initial_parameters=jax.tree.map(jnp.copy, parameters),
        finite=jnp.array(True),
    )
