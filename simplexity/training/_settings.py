"""The settings of training and of validation, which check themselves."""

from dataclasses import dataclass

_LARGEST_INT32 = 2**31 - 1


@dataclass(frozen=True)
class TrainingSettings:
    """Length and shape of training.

    Args:
        num_train_steps: Parameter updates in all.
        batch_size: Sequences per update, each freshly drawn.
        sequence_len: Predictions per sequence: a sequence has one token more, and each but the last is an input.
        log_every: Steps between logged lines; a line's metrics are means over the steps since the last line.
        carry_state: Whether a batch continues where the last one stopped. False draws each sequence from the
            process's initial state, which BOS tokens and non-ergodic mixtures need.
        gradient_clip_norm: Largest global norm of a gradient; larger ones are scaled down to it. None clips nothing.

    Raises:
        ValueError: If a number is out of its range.
    """

    num_train_steps: int
    batch_size: int
    sequence_len: int
    log_every: int
    carry_state: bool
    gradient_clip_norm: float | None

    def __post_init__(self):
        _check_positive(self, "num_train_steps", "batch_size", "sequence_len", "log_every")
        # Compiled programs count steps, and index the tokens of a batch, in 32 bits.
        if self.num_train_steps > _LARGEST_INT32:
            raise ValueError(f"`num_train_steps` must be at most {_LARGEST_INT32}, got {self.num_train_steps}")
        if self.tokens_per_step > _LARGEST_INT32:
            raise ValueError(
                f"`batch_size` must be at most {_LARGEST_INT32} divided by `sequence_len`, "
                f"got {self.batch_size} with {self.sequence_len}"
            )
        if self.gradient_clip_norm is not None and not self.gradient_clip_norm > 0:
            raise ValueError(
                f"`gradient_clip_norm` must be positive, or null for no clipping, got {self.gradient_clip_norm}"
            )

    @property
    def tokens_per_step(self) -> int:
        """Predictions per update."""
        return self.batch_size * self.sequence_len


@dataclass(frozen=True)
class ValidationSettings:
    """When and on how much data a run is validated.

    Args:
        every: Steps between validations; the last step is always validated.
        batch_size: Sequences per compiled call.
        num_batches: Calls per validation.

    Raises:
        ValueError: If one of them is below 1.
    """

    every: int
    batch_size: int
    num_batches: int

    def __post_init__(self):
        _check_positive(self, "every", "batch_size", "num_batches")
        if self.batch_size > _LARGEST_INT32:
            raise ValueError(f"`batch_size` must be at most {_LARGEST_INT32}, got {self.batch_size}")


def _check_positive(settings: object, *names: str) -> None:
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"`{name}` must be at least 1, got {getattr(settings, name)}")
