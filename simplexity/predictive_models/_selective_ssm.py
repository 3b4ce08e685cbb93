"""The selective state-space model."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._linear import Head, Linear, multiply, normal, uniform
from ._predictive_model import ActivationRecorder, Activations, Edits, PredictiveModel, check_sizes

# The standard deviation of the embedding, as in the reference implementation of Mamba.
_DEVIATION = 0.02
# The range of the first step sizes: a state forgets within 10 to 1,000 tokens divided by its rate.
_SMALLEST_STEP, _LARGEST_STEP = 1e-3, 1e-1


class _RMSNorm(eqx.Module):
    """Divides each vector by its root mean square, then scales it. Zhang and Sennrich (2019), arXiv:1910.07467."""

    scale: Float[Array, "model"]

    def __init__(self, model_size: int):
        self.scale = jnp.ones(model_size)

    def __call__(self, x: Float[Array, "batch length model"]) -> Float[Array, "batch length model"]:
        return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-5) * self.scale


class _Mixer(eqx.Module):
    """What mixes the positions of a layer: a short convolution, then linear states whose rates depend on the token."""

    norm: _RMSNorm
    inner_and_gate: Linear
    convolution: Float[Array, "conv inner"]
    convolution_bias: Float[Array, "inner"]
    step_and_projections: Float[Array, "inner rank_and_states"]
    step: Linear
    log_rates: Float[Array, "inner state"]
    skip: Float[Array, "inner"]
    output: Linear
    rank: int = eqx.field(static=True)

    def __init__(
        self, model_size: int, inner_size: int, state_size: int, conv_size: int, shrink: float, *, key: PRNGKeyArray
    ):
        keys = jax.random.split(key, 6)
        self.rank = -(-model_size // 16)
        self.norm = _RMSNorm(model_size)
        self.inner_and_gate = Linear(model_size, 2 * inner_size, uniform(model_size), key=keys[0])
        self.convolution = uniform(conv_size)(keys[1], (conv_size, inner_size))
        self.convolution_bias = jnp.zeros(inner_size)
        self.step_and_projections = uniform(inner_size)(keys[2], (inner_size, self.rank + 2 * state_size))
        step = Linear(self.rank, inner_size, uniform(self.rank), key=keys[3])
        log_range = jnp.log(jnp.asarray((_SMALLEST_STEP, _LARGEST_STEP)))
        first_steps = jnp.exp(jax.random.uniform(keys[4], (inner_size,), minval=log_range[0], maxval=log_range[1]))
        # The inverse of softplus.
        self.step = eqx.tree_at(lambda linear: linear.bias, step, first_steps + jnp.log(-jnp.expm1(-first_steps)))
        self.log_rates = jnp.tile(jnp.log(jnp.arange(1.0, state_size + 1)), (inner_size, 1))
        self.skip = jnp.ones(inner_size)
        output = Linear(inner_size, model_size, uniform(inner_size), key=keys[5])
        self.output = eqx.tree_at(lambda linear: linear.weight, output, output.weight * shrink)

    def __call__(
        self, x: Float[Array, "batch length model"], recorder: ActivationRecorder, name: str
    ) -> Float[Array, "batch length model"]:
        inner, gate = jnp.split(self.inner_and_gate(self.norm(x)), 2, axis=-1)
        inner = jax.nn.silu(self._convolve(inner))
        state_size = self.log_rates.shape[1]
        parts = multiply(inner, self.step_and_projections)
        step = jax.nn.softplus(self.step(parts[..., : self.rank]))
        write, read = jnp.split(parts[..., self.rank :], (state_size,), axis=-1)
        states = recorder.record(f"{name}/states", self._states(step, inner, write))
        mixed = jnp.einsum("btis,bts->bti", states, read) + self.skip * inner
        return self.output(mixed * jax.nn.silu(gate))

    def _convolve(self, inner: Float[Array, "batch length inner"]) -> Float[Array, "batch length inner"]:
        """Each unit's convolution over the last few positions."""
        size, length = len(self.convolution), inner.shape[1]
        padded = jnp.pad(inner, ((0, 0), (size - 1, 0), (0, 0)))
        taps = (padded[:, offset : offset + length] * self.convolution[offset] for offset in range(size))
        return sum(taps, start=self.convolution_bias)

    def _states(
        self,
        step: Float[Array, "batch length inner"],
        inner: Float[Array, "batch length inner"],
        write: Float[Array, "batch length state"],
    ) -> Float[Array, "batch length inner state"]:
        """h_t = exp(-step_t A) ∘ h_{t-1} + step_t inner_t write_tᵀ, with h_0 = 0.

        On a CPU a scan takes half the time of a parallel prefix sum, which reads and writes all states several times.
        """
        rates = jnp.exp(self.log_rates)

        def advance(state: Array, at: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            step, inner, write = at
            state = jnp.exp(-step[..., None] * rates) * state + (step * inner)[..., None] * write[:, None]
            return state, state

        start = jnp.zeros((len(inner), *rates.shape))
        by_time = (jnp.swapaxes(step, 0, 1), jnp.swapaxes(inner, 0, 1), jnp.swapaxes(write, 0, 1))
        return jnp.swapaxes(jax.lax.scan(advance, start, by_time)[1], 0, 1)


class SelectiveSSM(PredictiveModel):
    r"""Layers of a diagonal state-space model whose step size, input and output depend on the token, as in Mamba.

    Each layer adds to the residual stream x, with u the convolved and z the gating half of a linear map of norm(x):

        h_t = exp(-Δ_t A) ∘ h_{t-1} + Δ_t u_t B_tᵀ,    y_t = h_t C_t + D ∘ u_t,    x_t ← x_t + W (y_t ∘ silu(z_t))

    Each of the u units has its own `state_size` states; Δ_t > 0, B_t and C_t are linear in u_t (Δ_t through a softplus,
    and a bottleneck of `model_size` / 16), and A > 0 and D are constants. Weights start as in the reference
    implementation: A at 1, 2, ..., `state_size`, and Δ between 0.001 and 0.1.

    References:
        Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023), arXiv:2312.00752,
        sections 3.2 to 3.6.
    """

    embedding: Float[Array, "vocab model"]
    layers: tuple[_Mixer, ...]
    final_norm: _RMSNorm
    head: Head

    def __init__(
        self,
        model_size: int,
        num_layers: int,
        state_size: int,
        expansion: int,
        conv_size: int,
        *,
        vocab_size: int,
        key: PRNGKeyArray,
    ):
        """Draws the weights.

        Args:
            model_size: Width of the residual stream.
            num_layers: Layers, from 1 to 1000.
            state_size: States per unit of a layer.
            expansion: Units of a layer, as a multiple of `model_size`.
            conv_size: Positions that a layer's convolution spans; 1 for none beside the present one.
            vocab_size: Number of tokens.
            key: The random key of the weights.

        Raises:
            ValueError: If a size is out of its range.
        """
        check_sizes(model_size=model_size, num_layers=num_layers, state_size=state_size, expansion=expansion)
        check_sizes(conv_size=conv_size, vocab_size=vocab_size)
        embedding_key, head_key, *layer_keys = jax.random.split(key, num_layers + 2)
        sizes = (model_size, expansion * model_size, state_size, conv_size)
        self.embedding = normal(_DEVIATION)(embedding_key, (vocab_size, model_size))
        self.layers = tuple(_Mixer(*sizes, num_layers**-0.5, key=layer_key) for layer_key in layer_keys)
        self.final_norm = _RMSNorm(model_size)
        self.head = Head(model_size, vocab_size, normal(_DEVIATION), key=head_key)

    def forward(
        self, tokens: Int[Array, "batch length"], *, edit: Edits | None = None
    ) -> tuple[Float[Array, "batch length vocab"], Activations]:
        """The logits, and the activations: embedding, what each layer adds, and the sum, as layer_0.ssm, layer_0, ...

        Inside of a layer there is layer_0.ssm/states: [batch, length, units, `state_size`].
        See `PredictiveModel.forward` for `edit`.
        """
        recorder = ActivationRecorder(edit)
        # A product with one-hot rows selects the embeddings: the gradient of an indexed look-up is a slow scatter.
        x = recorder.record("embedding", multiply(jax.nn.one_hot(tokens, len(self.embedding)), self.embedding))
        for index, mixer in enumerate(self.layers):
            name = f"layer_{index}"
            x = x + recorder.record(f"{name}.ssm", mixer(x, recorder, f"{name}.ssm"))
            x = recorder.record(name, x)
        return self.head(recorder.record("final_norm", self.final_norm(x))), recorder.activations()
