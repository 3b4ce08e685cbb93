"""The decoder-only transformer."""

from typing import ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._attention import Attention
from ._elementwise import gelu, normalize
from ._linear import Deviation, Head, Linear, TiedHead, multiply, normal, rows
from ._predictive_model import ActivationRecorder, Activations, Edits, MicroBatch, PredictiveModel, check_sizes

Positions = Literal["learned", "rotary", "none"]
Activation = Literal["gelu", "relu"]
# The standard deviation of GPT-2's weights.
_DEVIATION = 0.02


class _LayerNorm(eqx.Module):
    """Standardises each vector, then scales and shifts it. Reference: Ba, Kiros and Hinton (2016), arXiv:1607.06450."""

    scale: Float[Array, "model"]
    shift: Float[Array, "model"]

    def __init__(self, model_size: int):
        self.scale = jnp.ones(model_size)
        self.shift = jnp.zeros(model_size)

    def __call__(self, x: Float[Array, "batch length model"]) -> Float[Array, "batch length model"]:
        return normalize(rows(x), self.scale, self.shift).reshape(x.shape)


class _MLP(eqx.Module):
    """One hidden layer. References: for GELU, Hendrycks and Gimpel (2016), arXiv:1606.08415."""

    inner: Linear
    output: Linear
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        model_size: int,
        mlp_size: int,
        activation: Activation,
        in_deviation: Deviation,
        out_deviation: Deviation,
        *,
        key: PRNGKeyArray,
    ):
        in_key, out_key = jax.random.split(key)
        self.inner = Linear(model_size, mlp_size, normal(in_deviation), key=in_key)
        self.output = Linear(mlp_size, model_size, normal(out_deviation), key=out_key)
        self.activation = activation

    def __call__(
        self, x: Float[Array, "batch length model"], recorder: ActivationRecorder, name: str
    ) -> Float[Array, "batch length model"]:
        inner = self.inner(x)
        hidden = jax.nn.relu(inner) if self.activation == "relu" else gelu(inner)
        return self.output(recorder.record(f"{name}/hidden", hidden))


class _Block(eqx.Module):
    """One layer: attention and, unless the model has only attention, an MLP, each after a norm if there are norms."""

    attention_norm: _LayerNorm | None
    attention: Attention
    mlp_norm: _LayerNorm | None
    mlp: _MLP | None

    def __call__(
        self, x: Float[Array, "batch length model"], recorder: ActivationRecorder, name: str
    ) -> Float[Array, "batch length model"]:
        x = recorder.record(f"{name}/before_attention", x)
        normalized = x if self.attention_norm is None else self.attention_norm(x)
        x = x + recorder.record(f"{name}.attention", self.attention(normalized, recorder, f"{name}.attention"))
        if self.mlp is not None:
            x = recorder.record(f"{name}/before_mlp", x)
            normalized = x if self.mlp_norm is None else self.mlp_norm(x)
            x = x + recorder.record(f"{name}.mlp", self.mlp(normalized, recorder, f"{name}.mlp"))
        return recorder.record(name, x)


class Transformer(PredictiveModel):
    r"""A decoder-only transformer with normalisation before attention and before the MLP.

        x ← x + attention(norm(x)),    x ← x + mlp(norm(x))    in each layer;    logits = head(norm(x))

    Unless told otherwise, the embedding and the head share no weights, and weights start as in GPT-2: normal with
    standard deviation 0.02, which the output projections of attention and MLP, because they add to the residual stream,
    have divided by the square root of their number. Biases start at zero.

    References:
        Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.3.
        Xiong et al., "On Layer Normalization in the Transformer Architecture" (2020), arXiv:2002.04745, figure 1 (b).
    """

    # Measured at 64 and 120 units, lengths from 9 to 1,024 and 2 MiB of cache per core (docs/performance.md). Half the
    # size and twice the size are slower at one length or another.
    micro_batch: ClassVar[MicroBatch] = MicroBatch(most_tokens=320)

    embedding: Float[Array, "vocab model"]
    positions: Float[Array, "sequence_len model"] | None
    blocks: tuple[_Block, ...]
    final_norm: _LayerNorm | None
    head: Head | TiedHead

    def __init__(
        self,
        model_size: int,
        num_layers: int,
        num_heads: int,
        mlp_size: int | None,
        positions: Positions,
        head_size: int | None = None,
        activation: Activation = "gelu",
        layer_norm: bool = True,
        tied_embedding: bool = False,
        initialization: Literal["gpt2"] | Deviation = "gpt2",
        *,
        vocab_size: int,
        sequence_len: int,
        key: PRNGKeyArray,
    ):
        """Draws the weights.

        Args:
            model_size: Width of the residual stream.
            num_layers: Layers, from 1 to 1000.
            num_heads: Attention heads per layer, at least 1.
            mlp_size: Hidden units of each layer's MLP; None for attention only.
            positions: "learned" adds a trained vector per position to the embedding; "rotary" rotates queries and keys;
                "none" leaves the order of the tokens to the causal mask alone.
            head_size: Width of each head's queries, keys and values; None for `model_size` / `num_heads`.
            activation: The nonlinearity of the MLPs.
            layer_norm: Whether attention, MLP and head read normalised vectors.
            tied_embedding: Whether the head's weight is the embedding.
            initialization: "gpt2" as above, or the standard deviation of all weights.
            vocab_size: Number of tokens.
            sequence_len: The longest sequence of training. Learned positions end there; rotary ones have no end.
            key: The random key of the weights.

        Raises:
            ValueError: If a size is out of its range, `head_size` is null and `num_heads` does not divide `model_size`,
                the heads have an odd size and positions are rotary, `initialization` is not positive, or a choice is
                none of those above.
        """
        check_sizes(model_size=model_size, num_layers=num_layers, num_heads=num_heads)
        check_sizes(vocab_size=vocab_size, sequence_len=sequence_len)
        if mlp_size is not None:
            if mlp_size < 1:
                raise ValueError(f"`mlp_size` must be at least 1, or null for attention only, got {mlp_size}")
            check_sizes(mlp_size=mlp_size)
        if head_size is None:
            if model_size % num_heads:
                raise ValueError(
                    f"`num_heads` must divide `model_size` = {model_size} unless `head_size` is set, got {num_heads}"
                )
            head_size = model_size // num_heads
        check_sizes(head_size=head_size)
        for name, value, choices in (("positions", positions, Positions), ("activation", activation, Activation)):
            if value not in get_args(choices):
                raise ValueError(f"`{name}` must be one of {', '.join(get_args(choices))}, got {value!r}")
        if positions == "rotary" and head_size % 2:
            raise ValueError(f"heads must have an even size with rotary positions, got {head_size}")
        is_traced = isinstance(initialization, Tracer)  # a number that has been checked before
        if initialization != "gpt2" and not is_traced and not initialization > 0:
            raise ValueError(f"`initialization` must be gpt2 or a positive number, got {initialization}")
        num_projections = num_layers * (1 if mlp_size is None else 2)
        deviation = _DEVIATION if initialization == "gpt2" else initialization
        out_deviation = deviation * num_projections**-0.5 if initialization == "gpt2" else deviation
        embedding_key, positions_key, head_key, *block_keys = jax.random.split(key, num_layers + 3)

        def norm() -> _LayerNorm | None:
            return _LayerNorm(model_size) if layer_norm else None

        def block(block_key: PRNGKeyArray) -> _Block:
            attention_key, mlp_key = jax.random.split(block_key)
            deviations = (deviation, out_deviation)
            attention = (model_size, num_heads, head_size, positions == "rotary", *deviations)
            return _Block(
                attention_norm=norm(),
                attention=Attention(*attention, key=attention_key),
                mlp_norm=None if mlp_size is None else norm(),
                mlp=None if mlp_size is None else _MLP(model_size, mlp_size, activation, *deviations, key=mlp_key),
            )

        draw = normal(deviation)
        self.embedding = draw(embedding_key, (vocab_size, model_size))
        self.positions = draw(positions_key, (sequence_len, model_size)) if positions == "learned" else None
        self.blocks = tuple(map(block, block_keys))
        self.final_norm = norm()
        self.head = TiedHead(vocab_size) if tied_embedding else Head(model_size, vocab_size, draw, key=head_key)

    def forward(
        self, tokens: Int[Array, "batch length"], *, edit: Edits | None = None
    ) -> tuple[Float[Array, "batch length vocab"], Activations]:
        """The logits, and the activations: embedding (with its position), what attention and MLP add, and their sum.

        They are named embedding, layer_0.attention, layer_0.mlp, layer_0, ..., final_norm. Inside of a layer there are
        layer_0/before_attention and layer_0/before_mlp (the residual stream there), layer_0.attention/queries, /keys
        and /values ([batch, length, heads, head_size], before any rotation), layer_0.attention/pattern ([batch, heads,
        length, length]: to each position, from those up to it) and layer_0.mlp/hidden.

        See `PredictiveModel.forward` for `edit`.

        Raises:
            ValueError: If positions are learned and the sequences are longer than `sequence_len`, or an edit is wrong.
        """
        # A product with one-hot rows selects the embeddings: the gradient of an indexed look-up is a slow scatter.
        x = multiply(jax.nn.one_hot(tokens, self.embedding.shape[0]), self.embedding)
        if self.positions is not None:
            length, longest = tokens.shape[1], self.positions.shape[0]
            if length > longest:
                raise ValueError(
                    f"learned `positions` end at `sequence_len` = {longest}, got a sequence of {length} tokens"
                )
            x = x + self.positions[:length]
        recorder = ActivationRecorder(edit)
        x = recorder.record("embedding", x)
        for index, block in enumerate(self.blocks):
            x = block(x, recorder, f"layer_{index}")
        if self.final_norm is not None:
            x = recorder.record("final_norm", self.final_norm(x))
        logits = self.head(x, self.embedding) if isinstance(self.head, TiedHead) else self.head(x)
        return logits, recorder.activations()
