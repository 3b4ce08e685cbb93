"""A transformer's weights in the layout of TransformerLens: a state dict, and the config that belongs to it."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from ._attention import Attention
from ._elementwise import NORM_EPSILON
from ._linear import Linear, TiedHead
from ._predictive_model import PredictiveModel
from ._transformer import Transformer

Weights = dict[str, Float[np.ndarray, "..."]]


class TransformerLensModel(NamedTuple):
    """What TransformerLens needs to compute the same logits.

    `config` has arguments of its `HookedTransformerConfig`, plain values all of them. `state_dict` has the parameters
    of its `HookedTransformer` by name; PyTorch calls such a mapping a state dict.
    """

    config: dict[str, Any]
    state_dict: Weights


def to_transformer_lens(model: PredictiveModel, sequence_len: int) -> TransformerLensModel:
    """The weights of a transformer under the names and in the shapes of TransformerLens.

    Nothing is folded or centred: every activation is the same as ours, and not the logits alone. Queries, keys and
    values, which are one product here, are three parameters there, with an axis of heads. A tied head is written out as
    the transposed embedding. A model without positions gets learned ones that are zero.

    Args:
        model: A `Transformer`.
        sequence_len: The longest sequence, `n_ctx` there; learned positions have one of their own.

    Returns:
        The config and the state dict.

    Raises:
        ValueError: If the model is no `Transformer`.

    References:
        Nanda and Bloom, TransformerLens (2022), `HookedTransformer` and `HookedTransformerConfig`.
    """
    if not isinstance(model, Transformer):
        raise ValueError(f"only a Transformer has the layout of TransformerLens, got {type(model).__name__}")
    vocab_size, model_size = model.embedding.shape
    attention, mlp = model.blocks[0].attention, model.blocks[0].mlp
    if model.positions is not None:
        sequence_len = model.positions.shape[0]
    config = {
        "n_layers": len(model.blocks),
        "d_model": model_size,
        "n_ctx": sequence_len,
        "d_head": attention.output.weight.shape[0] // attention.num_heads,
        "n_heads": attention.num_heads,
        "d_mlp": None if mlp is None else mlp.inner.weight.shape[1],
        "act_fn": None if mlp is None else mlp.activation,
        "attn_only": mlp is None,
        "d_vocab": vocab_size,
        "normalization_type": None if model.final_norm is None else "LN",
        "eps": NORM_EPSILON,
        "positional_embedding_type": "rotary" if attention.rotary else "standard",
    }
    weights: dict[str, Array | np.ndarray] = {"embed.W_E": model.embedding}
    if not attention.rotary:
        no_positions = np.zeros((sequence_len, model_size), np.float32)
        weights["pos_embed.W_pos"] = no_positions if model.positions is None else model.positions
    norms = {"ln_final": model.final_norm}
    for index, block in enumerate(model.blocks):
        weights |= {f"blocks.{index}.attn.{name}": array for name, array in _attention(block.attention).items()}
        norms |= {f"blocks.{index}.ln1": block.attention_norm, f"blocks.{index}.ln2": block.mlp_norm}
        if block.mlp is not None:
            weights |= _linear(block.mlp.inner, f"blocks.{index}.mlp", "in")
            weights |= _linear(block.mlp.output, f"blocks.{index}.mlp", "out")
    for name, norm in norms.items():
        if norm is not None:
            weights |= {f"{name}.w": norm.scale, f"{name}.b": norm.shift}
    rows = model.embedding if isinstance(model.head, TiedHead) else model.head.weight
    weights |= {"unembed.W_U": rows.T, "unembed.b_U": model.head.bias}
    return TransformerLensModel(config, {name: np.ascontiguousarray(array) for name, array in weights.items()})


def _attention(attention: Attention) -> dict[str, Array]:
    joint, heads = attention.queries_keys_values, attention.num_heads
    weight = joint.weight.reshape(joint.weight.shape[0], 3, heads, -1)  # (model, 3, heads, head_size)
    bias = joint.bias.reshape(3, heads, -1)
    model_size = attention.output.weight.shape[1]
    return {
        **{f"W_{name}": weight[:, index].swapaxes(0, 1) for index, name in enumerate("QKV")},
        **{f"b_{name}": bias[index] for index, name in enumerate("QKV")},
        "W_O": attention.output.weight.reshape(heads, -1, model_size),
        "b_O": attention.output.bias,
    }


def _linear(linear: Linear, prefix: str, name: str) -> dict[str, Array]:
    return {f"{prefix}.W_{name}": linear.weight, f"{prefix}.b_{name}": linear.bias}
