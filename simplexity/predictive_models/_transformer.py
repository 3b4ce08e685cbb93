"""The decoder-only transformer."""

from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._linear import Head, Linear, multiply, normal
from ._predictive_model import Activations, PredictiveModel, check_sizes

Positions = Literal["learned", "rotary"]
# The standard deviation of GPT-2's weights.
_DEVIATION = 0.02
# The base of the rotary frequencies in the reference of `rotate`.
_ROTARY_BASE = 10000.0


class _LayerNorm(eqx.Module):
    """Standardises each vector, then scales and shifts it. Reference: Ba, Kiros and Hinton (2016), arXiv:1607.06450."""

    scale: Float[Array, "model"]
    shift: Float[Array, "model"]

    def __init__(self, model_size: int):
        self.scale = jnp.ones(model_size)
        self.shift = jnp.zeros(model_size)

    def __call__(self, x: Float[Array, "batch length model"]) -> Float[Array, "batch length model"]:
        return jax.nn.standardize(x, epsilon=1e-5) * self.scale + self.shift


class _Attention(eqx.Module):
    """Causal attention with several heads. Reference: Vaswani et al. (2017), arXiv:1706.03762, section 3.2."""

    queries_keys_values: Linear
    output: Linear
    num_heads: int = eqx.field(static=True)
    rotary: bool = eqx.field(static=True)

    def __init__(self, model_size: int, num_heads: int, rotary: bool, out_deviation: float, *, key: PRNGKeyArray):
        in_key, out_key = jax.random.split(key)
        self.queries_keys_values = Linear(model_size, 3 * model_size, normal(_DEVIATION), key=in_key)
        self.output = Linear(model_size, model_size, normal(out_deviation), key=out_key)
        self.num_heads = num_heads
        self.rotary = rotary

    def __call__(self, x: Float[Array, "batch length model"]) -> Float[Array, "batch length model"]:
        batch, length, model_size = x.shape
        heads = self.queries_keys_values(x).reshape(batch, length, 3, self.num_heads, model_size // self.num_heads)
        queries, keys, values = (heads[:, :, index] for index in range(3))
        if self.rotary:
            queries, keys = rotate(queries), rotate(keys)
        mixed = jax.nn.dot_product_attention(queries, keys, values, is_causal=True)
        return self.output(mixed.reshape(x.shape))


class _MLP(eqx.Module):
    """One hidden layer with GELU. Reference: Hendrycks and Gimpel (2016), arXiv:1606.08415."""

    inner: Linear
    output: Linear

    def __init__(self, model_size: int, mlp_size: int, out_deviation: float, *, key: PRNGKeyArray):
        in_key, out_key = jax.random.split(key)
        self.inner = Linear(model_size, mlp_size, normal(_DEVIATION), key=in_key)
        self.output = Linear(mlp_size, model_size, normal(out_deviation), key=out_key)

    def __call__(self, x: Float[Array, "batch length model"]) -> Float[Array, "batch length model"]:
        return self.output(jax.nn.gelu(self.inner(x), approximate=False))


class _Block(eqx.Module):
    """One layer: attention and, unless the model has only attention, an MLP."""

    attention_norm: _LayerNorm
    attention: _Attention
    mlp_norm: _LayerNorm | None
    mlp: _MLP | None


def rotate(x: Float[Array, "*batch length heads head_size"]) -> Float[Array, "*batch length heads head_size"]:
    """Rotates unit pair (i, i + head_size / 2) at position t by the angle t · 10000^(-2 i / head_size).

    The product of a rotated query and a rotated key depends on their distance alone.

    References:
        Su et al., "RoFormer" (2021), arXiv:2104.09864, section 3.2.2, with the pairs of GPT-NeoX.
    """
    length, _, head_size = x.shape[-3:]
    half = head_size // 2
    angles = jnp.arange(length)[:, None, None] * _ROTARY_BASE ** (-jnp.arange(half) / half)
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate((first * cosine - second * sine, second * cosine + first * sine), axis=-1)


class Transformer(PredictiveModel):
    r"""A decoder-only transformer with normalisation before attention and before the MLP.

        x ← x + attention(norm(x)),    x ← x + mlp(norm(x))    in each layer;    logits = head(norm(x))

    The embedding and the head share no weights. Weights start as in GPT-2: normal with standard deviation 0.02. The
    output projections of attention and MLP, which add to the residual stream, have it divided by the square root of
    their number. Biases start at zero.

    References:
        Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.3.
        Xiong et al., "On Layer Normalization in the Transformer Architecture" (2020), arXiv:2002.04745, figure 1 (b).
    """

    embedding: Float[Array, "vocab model"]
    positions: Float[Array, "sequence_len model"] | None
    blocks: tuple[_Block, ...]
    final_norm: _LayerNorm
    head: Head

    def __init__(
        self,
        model_size: int,
        num_layers: int,
        num_heads: int,
        mlp_size: int | None,
        positions: Positions,
        *,
        vocab_size: int,
        sequence_len: int,
        key: PRNGKeyArray,
    ):
        """Draws the weights.

        Args:
            model_size: Width of the residual stream, a multiple of `num_heads`.
            num_layers: Layers, from 1 to 1000.
            num_heads: Attention heads per layer, at least 1.
            mlp_size: Hidden units of each layer's MLP; None for attention only.
            positions: "learned" adds a trained vector per position to the embedding; "rotary" rotates queries and keys.
            vocab_size: Number of tokens.
            sequence_len: The longest sequence of training. Learned positions end there; rotary ones have no end.
            key: The random key of the weights.

        Raises:
            ValueError: If a size is out of its range, `num_heads` does not divide `model_size`, `positions` is neither
                of the two, or the heads have an odd size and positions are rotary.
        """
        check_sizes(model_size=model_size, num_layers=num_layers, num_heads=num_heads)
        check_sizes(vocab_size=vocab_size, sequence_len=sequence_len)
        if mlp_size is not None:
            if mlp_size < 1:
                raise ValueError(f"`mlp_size` must be at least 1, or null for attention only, got {mlp_size}")
            check_sizes(mlp_size=mlp_size)
        if model_size % num_heads:
            raise ValueError(f"`num_heads` must divide `model_size` = {model_size}, got {num_heads}")
        if positions not in get_args(Positions):
            raise ValueError(f"`positions` must be one of {', '.join(get_args(Positions))}, got {positions!r}")
        if positions == "rotary" and model_size // num_heads % 2:
            raise ValueError(
                "`model_size` / `num_heads` must be even with rotary positions, "
                f"got {model_size} / {num_heads} = {model_size // num_heads}"
            )
        num_projections = num_layers * (1 if mlp_size is None else 2)
        out_deviation = _DEVIATION * num_projections**-0.5
        embedding_key, positions_key, head_key, *block_keys = jax.random.split(key, num_layers + 3)

        def block(block_key: PRNGKeyArray) -> _Block:
            attention_key, mlp_key = jax.random.split(block_key)
            return _Block(
                attention_norm=_LayerNorm(model_size),
                attention=_Attention(model_size, num_heads, positions == "rotary", out_deviation, key=attention_key),
                mlp_norm=None if mlp_size is None else _LayerNorm(model_size),
                mlp=None if mlp_size is None else _MLP(model_size, mlp_size, out_deviation, key=mlp_key),
            )

        draw = normal(_DEVIATION)
        self.embedding = draw(embedding_key, (vocab_size, model_size))
        self.positions = draw(positions_key, (sequence_len, model_size)) if positions == "learned" else None
        self.blocks = tuple(map(block, block_keys))
        self.final_norm = _LayerNorm(model_size)
        self.head = Head(model_size, vocab_size, draw, key=head_key)

    def forward(self, tokens: Int[Array, "batch length"]) -> tuple[Float[Array, "batch length vocab"], Activations]:
        """The logits, and the activations: embedding (with its position), what attention and MLP add, and their sum.

        They are named embedding, layer_0.attention, layer_0.mlp, layer_0, ..., final_norm.

        Raises:
            ValueError: If positions are learned and the sequences are longer than `sequence_len`.
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
        activations = Activations(embedding=x)
        for index, block in enumerate(self.blocks):
            name = f"layer_{index}"
            activations[f"{name}.attention"] = block.attention(block.attention_norm(x))
            x = x + activations[f"{name}.attention"]
            if block.mlp is not None and block.mlp_norm is not None:
                activations[f"{name}.mlp"] = block.mlp(block.mlp_norm(x))
                x = x + activations[f"{name}.mlp"]
            activations[name] = x
        activations["final_norm"] = self.final_norm(x)
        return self.head(activations["final_norm"]), activations
