"""From an optax optimizer to the one that a run uses: clipping before it, a schedule after it."""

import optax
from jaxtyping import Array, Float


def make_optimizer(
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule | None,
    gradient_clip_norm: float | Float[Array, ""] | None,
) -> optax.GradientTransformation:
    """Chains gradient clipping, `optimizer`, and a factor that follows the steps.

    The schedule scales the finished update, which for optimizers whose update is proportional to the learning rate
    (Adam, AdamW with its decay, SGD) is the same as scaling the learning rate. So a schedule is a shape, and the
    learning rate stays one number to sweep over.

    Args:
        optimizer: Any optax optimizer, with its learning rate.
        schedule: Factor of the learning rate at each step, usually within [0, 1]; None is the constant 1.
        gradient_clip_norm: Largest global norm of a gradient; None clips nothing.
    """
    parts = [optimizer]
    if gradient_clip_norm is not None:
        parts.insert(0, optax.clip_by_global_norm(gradient_clip_norm))
    if schedule is not None:
        parts.append(optax.scale_by_schedule(schedule))
    return optax.chain(*parts)
