"""Training sequences: a process's tokens between the special tokens that mark a sequence's beginning and end."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._generative_process import GenerativeProcess
from ._initial_state import with_initial_state
from ._special_tokens import SpecialToken, special_token_ids


class DataGenerator(eqx.Module):
    """Draws rows of `sequence_len + 1` tokens: BOS, process tokens, EOS, each special one only where it is set.

    A model reads `row[:-1]` and predicts `row[1:]`. The vocabulary is the process's tokens and then the special ones.
    """

    process: GenerativeProcess
    bos_token: int | None = eqx.field(static=True)
    eos_token: int | None = eqx.field(static=True)

    def __init__(
        self,
        process: GenerativeProcess,
        bos_token: SpecialToken,
        eos_token: SpecialToken,
        initial_state: Sequence[float] | None = None,
    ) -> None:
        """Chooses the ids of the special tokens.

        Args:
            process: The process to draw from.
            bos_token: The id of the token that begins every row; "auto" for the first free id; None for no such token.
            eos_token: The id of the token that ends every row; "auto" for the first id free after BOS; None for none.
            initial_state: The state in which every sequence begins, as in `with_initial_state`; None for the process's
                own.

        Raises:
            ValueError: If an id is a process token or the other special token, there is a gap in the vocabulary, or the
                process cannot begin in the state.
        """
        self.process = process if initial_state is None else with_initial_state(process, initial_state)
        self.bos_token, self.eos_token = special_token_ids(process.vocab_size, bos_token, eos_token)

    @property
    def vocab_size(self) -> int:
        """The number of process tokens and special tokens."""
        return self.process.vocab_size + (self.bos_token is not None) + (self.eos_token is not None)

    def initial_sampling_state(self, batch_size: int, *, key: PRNGKeyArray) -> Any:
        """The process's sampling state for a batch of fresh sequences."""
        return self.process.initial_sampling_state(batch_size, key=key)

    def num_drawn(self, sequence_len: int) -> int:
        """How many of a row's tokens are drawn from the process.

        Raises:
            ValueError: If `sequence_len` leaves no room for a process token to be predicted.
        """
        num_special = self.vocab_size - self.process.vocab_size
        least = num_special if self.bos_token is not None else num_special + 1
        if sequence_len < least:
            raise ValueError(
                f"`sequence_len` must be at least {least}, to leave a process token to predict, got {sequence_len}"
            )
        return sequence_len + 1 - num_special

    def sample(
        self, sampling_state: Any, sequence_len: int, *, key: PRNGKeyArray
    ) -> tuple[Any, Int[Array, "batch {sequence_len}+1"]]:
        """Draws a batch of rows.

        Args:
            sampling_state: From `initial_sampling_state`, or what an earlier call returned, to continue its sequences.
            sequence_len: The number of inputs, and of targets; static under jit.
            key: The random key.

        Returns:
            The sampling state after the process tokens, and the rows.

        Raises:
            ValueError: If `sequence_len` leaves no room for a process token to be predicted.
        """
        sampling_state, tokens = self.process.sample(sampling_state, self.num_drawn(sequence_len), key=key)
        pieces = [tokens]
        if self.bos_token is not None:
            pieces.insert(0, jnp.full((len(tokens), 1), self.bos_token, tokens.dtype))
        if self.eos_token is not None:
            pieces.append(jnp.full((len(tokens), 1), self.eos_token, tokens.dtype))
        return sampling_state, jnp.concatenate(pieces, axis=1)

    def next_token_probabilities(self, tokens: Int[Array, " row"]) -> Float[Array, "row-1 vocab"]:
        """The true distribution of each target of a row, given what precedes it; vmap it for a batch.

        The row is taken to begin at the process's initial state.

        Args:
            tokens: One row, as `sample` draws it.

        Returns:
            For each of `tokens[1:]` its distribution. EOS, whose position is known, has probability one there.
        """
        has_bos, has_eos = self.bos_token is not None, self.eos_token is not None
        drawn = tokens[has_bos : len(tokens) - has_eos]
        # Row t of the beliefs knows drawn[:t]. Without BOS, the first drawn token is an input only.
        beliefs = self.process.filter(drawn[:-1])[not has_bos :]
        probabilities = jax.vmap(self.process.observation_probabilities)(beliefs)
        padded = jnp.pad(probabilities, ((0, 0), (0, self.vocab_size - self.process.vocab_size)))
        if self.eos_token is None:
            return padded
        return jnp.concatenate([padded, jax.nn.one_hot(jnp.array([self.eos_token]), self.vocab_size)])
