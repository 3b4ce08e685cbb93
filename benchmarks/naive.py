"""The reference: a training loop as it is usually written, kept simple and correct rather than slow on purpose.

One dispatch per step; tokens sampled by updating the belief state; the gradient of each sequence on its own, then the
mean; models of Equinox's layers, recurrent ones in a scan.
"""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .cases import Case


class _RNNCell(eqx.Module):
    """h' = tanh(x W + h R + b), which Equinox lacks."""

    linear: eqx.nn.Linear
    hidden_size: int = eqx.field(static=True)

    def __init__(self, input_size: int, hidden_size: int, *, key: PRNGKeyArray):
        self.linear = eqx.nn.Linear(input_size + hidden_size, hidden_size, key=key)
        self.hidden_size = hidden_size

    def __call__(self, x: Float[Array, " input"], hidden: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        return jnp.tanh(self.linear(jnp.concatenate((x, hidden))))


_CELLS = {"GRU": eqx.nn.GRUCell, "LSTM": eqx.nn.LSTMCell, "RNN": _RNNCell}


class _RecurrentLayer(eqx.Module):
    cell: eqx.nn.GRUCell | eqx.nn.LSTMCell | _RNNCell

    def __call__(self, x: Float[Array, "length width"]) -> Float[Array, "length width"]:
        zeros = jnp.zeros(self.cell.hidden_size)
        has_memory = isinstance(self.cell, eqx.nn.LSTMCell)

        def step(state, x_t):
            state = self.cell(x_t, state)  # pyright: ignore[reportArgumentType]
            return state, state[0] if has_memory else state

        _, outputs = jax.lax.scan(step, (zeros, zeros) if has_memory else zeros, x)
        return outputs  # pyright: ignore[reportReturnType]


class _Block(eqx.Module):
    attention_norm: eqx.nn.LayerNorm
    attention: eqx.nn.MultiheadAttention
    mlp_norm: eqx.nn.LayerNorm
    mlp: eqx.nn.MLP

    def __init__(self, width: int, num_heads: int, head_size: int, *, key: PRNGKeyArray):
        attention_key, mlp_key = jax.random.split(key)
        self.attention_norm, self.mlp_norm = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)
        self.attention = eqx.nn.MultiheadAttention(
            num_heads, width, qk_size=head_size, vo_size=head_size, key=attention_key
        )
        self.mlp = eqx.nn.MLP(width, width, 4 * width, 1, partial(jax.nn.gelu, approximate=False), key=mlp_key)

    def __call__(self, x: Float[Array, "length width"]) -> Float[Array, "length width"]:
        normalized = jax.vmap(self.attention_norm)(x)
        x = x + self.attention(normalized, normalized, normalized, mask=jnp.tri(len(x), dtype=bool))
        return x + jax.vmap(self.mlp)(jax.vmap(self.mlp_norm)(x))


class NaiveModel(eqx.Module):
    """Layers made of Equinox's parts, between an embedding (with learned positions for attention) and a readout."""

    embedding: eqx.nn.Embedding
    positions: Float[Array, "length width"] | None
    layers: list[_RecurrentLayer] | list[_Block]
    norm: eqx.nn.LayerNorm | None
    readout: eqx.nn.Linear

    def __init__(self, case: Case, vocab_size: int, *, key: PRNGKeyArray):
        width = case.hidden_size
        embedding_key, positions_key, readout_key, *keys = jax.random.split(key, case.num_layers + 3)
        self.embedding = eqx.nn.Embedding(vocab_size, width, key=embedding_key)
        self.readout = eqx.nn.Linear(width, vocab_size, key=readout_key)
        if case.kind == "transformer":
            self.positions = 0.02 * jax.random.normal(positions_key, (case.sequence_len, width))
            self.layers = [_Block(width, case.num_heads, case.head_size, key=key) for key in keys]
            self.norm = eqx.nn.LayerNorm(width)
        else:
            self.layers = [_RecurrentLayer(_CELLS[case.kind](width, width, key=key)) for key in keys]
            self.positions = self.norm = None

    def __call__(self, tokens: Int[Array, " length"]) -> Float[Array, "length vocab"]:
        x = jax.vmap(self.embedding)(tokens)
        if self.positions is not None:
            x = x + self.positions
        for layer in self.layers:
            x = layer(x)
        if self.norm is not None:
            x = jax.vmap(self.norm)(x)
        return jax.vmap(self.readout)(x)


def make_step(
    transition_matrices: Float[Array, "vocab from to"],
    initial_state: Float[Array, " num_states"],
    optimizer: optax.GradientTransformation,
    batch_size: int,
    sequence_len: int,
) -> Callable:
    """One compiled step: `(model, optimizer_state, key) -> (model, optimizer_state, loss)`."""

    def sample(key: PRNGKeyArray) -> Int[Array, " length"]:
        def step(belief, key):
            probabilities = jnp.einsum("i,xij->x", belief, transition_matrices)
            token = jax.random.categorical(key, jnp.log(probabilities))
            belief = belief @ transition_matrices[token]
            return belief / belief.sum(), token

        _, tokens = jax.lax.scan(step, initial_state, jax.random.split(key, sequence_len + 1))
        return tokens

    def loss_of(model: NaiveModel, tokens: Int[Array, " length"]) -> Float[Array, ""]:
        return optax.softmax_cross_entropy_with_integer_labels(model(tokens[:-1]), tokens[1:]).mean()

    @eqx.filter_jit
    def step(model, optimizer_state, key):
        tokens = jax.vmap(sample)(jax.random.split(key, batch_size))
        losses, gradients = jax.vmap(eqx.filter_value_and_grad(loss_of), in_axes=(None, 0))(model, tokens)
        gradient = jax.tree.map(lambda leaf: leaf.mean(axis=0), gradients)
        update, optimizer_state = optimizer.update(gradient, optimizer_state, model)
        return eqx.apply_updates(model, update), optimizer_state, losses.mean()

    return step
