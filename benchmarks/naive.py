"""The reference: a training loop as it is usually written, kept simple and correct rather than slow on purpose.

One dispatch per step; tokens sampled by updating the belief state; the gradient of each sequence on its own, then the
mean; a GRU of Equinox's cells in a scan.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray


class NaiveGRU(eqx.Module):
    """Layers of `eqx.nn.GRUCell` between an embedding and a linear readout."""

    embedding: eqx.nn.Embedding
    cells: list[eqx.nn.GRUCell]
    readout: eqx.nn.Linear

    def __init__(self, vocab_size: int, hidden_size: int, num_layers: int, *, key: PRNGKeyArray):
        embedding_key, readout_key, *cell_keys = jax.random.split(key, num_layers + 2)
        self.embedding = eqx.nn.Embedding(vocab_size, hidden_size, key=embedding_key)
        self.cells = [eqx.nn.GRUCell(hidden_size, hidden_size, key=cell_key) for cell_key in cell_keys]
        self.readout = eqx.nn.Linear(hidden_size, vocab_size, key=readout_key)

    def __call__(self, tokens: Int[Array, " length"]) -> Float[Array, "length vocab"]:
        x = jax.vmap(self.embedding)(tokens)
        for cell in self.cells:

            def step(hidden, x_t, cell=cell):
                hidden = cell(x_t, hidden)
                return hidden, hidden

            _, x = jax.lax.scan(step, jnp.zeros(cell.hidden_size), x)
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

    def loss_of(model: NaiveGRU, tokens: Int[Array, " length"]) -> Float[Array, ""]:
        return optax.softmax_cross_entropy_with_integer_labels(model(tokens[:-1]), tokens[1:]).mean()

    @eqx.filter_jit
    def step(model, optimizer_state, key):
        tokens = jax.vmap(sample)(jax.random.split(key, batch_size))
        losses, gradients = jax.vmap(eqx.filter_value_and_grad(loss_of), in_axes=(None, 0))(model, tokens)
        gradient = jax.tree.map(lambda leaf: leaf.mean(axis=0), gradients)
        update, optimizer_state = optimizer.update(gradient, optimizer_state, model)
        return eqx.apply_updates(model, update), optimizer_state, losses.mean()

    return step
