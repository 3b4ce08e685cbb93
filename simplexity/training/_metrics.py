"""The numbers of a logged line, from the sums that the device keeps."""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import optax

from simplexity.generative_processes import LossOptimum

from ._protocols import Metrics
from ._settings import TrainingSettings
from ._state import RunState
from ._validation import ValidationMetrics


class Optima(NamedTuple):
    """The best possible losses of a run, on its training and its validation sequences."""

    training: LossOptimum
    validation: LossOptimum


class RunMetrics:
    """Makes the logged lines of one run.

    Args:
        settings: Tokens per step.
        learning_rate: The learning rate of the update that was made at a step, counted from 0; also gets what returns
            the optimizer's state after it.
        optima: Gives the best possible training and validation loss; first called when the first line is due.
        elapsed_s: Seconds that earlier attempts at this run had spent when its last line was logged.
        own: Further numbers of a validated state, by names that are not those of the others.
        clock: Gives seconds that never run backwards.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        learning_rate: Callable[[int, Callable[[], optax.OptState]], float],
        optima: Callable[[], Optima],
        elapsed_s: float,
        own: Callable[[RunState, ValidationMetrics], Metrics] = lambda state, scores: {},
        clock: Callable[[], float] = time.monotonic,
    ):
        self._tokens_per_step = settings.tokens_per_step
        self._learning_rate = learning_rate
        self._optima = optima
        self._own = own
        self._clock = clock
        self._started_s = clock() - elapsed_s

    def line(self, state: RunState, validation: ValidationMetrics | None) -> Metrics:
        """The metrics after `state.step` steps, and the validation's if there was one.

        Loss and accuracy are means over the state's window, the gradient's and update's norms those of its last step.
        Losses, the optimum and excesses are in nats per token. The validation's loss is its optimum plus its KL
        divergence (`ValidationMetrics`). `time_s` is seconds since the run began, less those in which it waited to be
        resumed, and `timestamp` is Unix time.
        """
        window, step = state.window, int(state.step)
        num_steps = int(window.num_steps)
        loss = float(window.loss) / num_steps
        parameter_norm, distance = state.norms()
        optima = self._optima()
        line = {
            "loss": loss,
            "accuracy": float(window.accuracy) / num_steps,
            "perplexity": math.exp(min(loss, 700.0)),  # exp(710) is past the largest double
            "optimum": optima.training.nats,
            "optimum_error": optima.training.error_nats,
            "excess": loss - optima.training.nats,
            "learning_rate": float(self._learning_rate(step - 1, lambda: state.read().optimizer_state)),
            "gradient_norm": float(window.gradient_norm),
            "update_norm": float(window.update_norm),
            "parameter_norm": float(parameter_norm),
            "distance_from_initialization": float(distance),
            "tokens_seen": step * self._tokens_per_step,
        }
        if validation is not None:
            loss_per_position = optima.validation.per_position + validation.kl_per_position
            line |= {
                "validation_loss": self.validation_loss(validation),
                "validation_sampled_loss": validation.sampled_loss,
                "validation_accuracy": validation.accuracy,
                "validation_kl": validation.kl,
                "validation_loss_per_position": loss_per_position.tolist(),
                "validation_accuracy_per_position": validation.accuracy_per_position.tolist(),
                "validation_kl_per_position": validation.kl_per_position.tolist(),
            }
            line |= self._own(state, validation)
        return line | {"time_s": self._clock() - self._started_s, "timestamp": time.time()}

    def validation_loss(self, validation: ValidationMetrics) -> float:
        """The expected loss of a validation in nats per token: its optimum plus its KL divergence."""
        return self._optima().validation.nats + validation.kl
