"""A learning rate that falls whenever the validation loss has not improved for a while."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from ._state import TrainState


class ValidationPlateauState(NamedTuple):
    """The factor of the learning rate, the best validation loss, and for how many validations it has been the best."""

    plateau: optax.contrib.ReduceLROnPlateauState


@dataclass(frozen=True)
class ReduceOnValidationPlateau:
    """Makes the learning rate `factor` times smaller whenever the validation loss has not improved for a while.

    It is `optax.contrib.reduce_on_plateau`, whose values are the losses of a run's validations: within the steps the
    factor is a constant of the optimizer's state, and `observe` changes it between two steps. It is part of a
    checkpoint like all of that state, so a resumed run has the learning rates of one that was never stopped.

    Args:
        factor: What the learning rate is multiplied with, within (0, 1).
        patience: Validations without an improvement after which it is.
        rtol: A loss is an improvement if it is below the best one by this share of it, ...
        atol: ... and by so many nats.
        cooldown: Validations after a reduction that do not count.
        min_scale: All factors together do not fall below it.

    Raises:
        ValueError: If `factor`, `rtol` or `atol` is out of its range.
    """

    factor: float
    patience: int
    rtol: float
    atol: float
    cooldown: int
    min_scale: float

    def __post_init__(self):
        _ = self._plateau

    @cached_property
    def _plateau(self) -> optax.GradientTransformationExtraArgs:
        return optax.contrib.reduce_on_plateau(
            self.factor,
            self.patience,
            self.rtol,
            self.atol,
            self.cooldown,
            accumulation_size=1,
            min_scale=self.min_scale,
        )

    def transformation(self) -> optax.GradientTransformation:
        """What stands behind the optimizer: it scales updates by the factor that its state has."""

        def init(params: Any) -> Any:
            return ValidationPlateauState(cast(Any, self._plateau.init(params)))

        def update(updates: Any, state: Any, params: Any = None) -> Any:
            return jax.tree.map(lambda leaf: state.plateau.scale * leaf, updates), state

        return optax.GradientTransformation(init, update)

    def observe(self, state: TrainState, validation_loss: float) -> TrainState:
        """The state after a validation.

        Args:
            state: That of the step that was validated.
            validation_loss: In nats per token.
        """

        def observed(node: Any) -> Any:
            if not isinstance(node, ValidationPlateauState):
                return node
            _, after = self._plateau.update({}, node.plateau, value=jnp.asarray(validation_loss, jnp.float32))
            # Not bound to the device that computed it, as the other new leaves of a state.
            return ValidationPlateauState(jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)), after))

        after = jax.tree.map(
            observed, state.optimizer_state, is_leaf=lambda node: isinstance(node, ValidationPlateauState)
        )
        return eqx.tree_at(lambda s: s.optimizer_state, state, after)
