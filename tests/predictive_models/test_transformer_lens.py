"""The layout of TransformerLens against its forward pass: written in numpy from its definition, and the real one."""

from functools import partial
from math import erf

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import GRU, Transformer, to_transformer_lens

SIZES: dict = {"model_size": 8, "num_layers": 2, "num_heads": 2, "mlp_size": 12, "positions": "learned"}
MODELS = {
    "learned": {},
    "rotary": {"positions": "rotary"},
    "no_positions": {"positions": "none"},
    "attention_only": {"mlp_size": None},
    "wide_heads": {"head_size": 6},
    "one_head": {"num_heads": 1, "num_layers": 1},
    "tied": {"tied_embedding": True},
    "relu": {"activation": "relu"},
    "no_norm": {"layer_norm": False},
}
LENGTH = 7


@pytest.fixture(params=MODELS)
def model(request) -> Transformer:
    """A transformer none of whose weights has a value of its own: all biases and scales count."""
    make = partial(Transformer, **(SIZES | MODELS[request.param]), vocab_size=3, sequence_len=LENGTH)
    generator = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: jnp.asarray(generator.normal(scale=0.4, size=leaf.shape), leaf.dtype),
        eqx.filter_eval_shape(make, key=jax.random.key(0)),
    )


@pytest.fixture
def tokens() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, (4, LENGTH))


def hooked_transformer(config: dict, weights: dict[str, np.ndarray], tokens: np.ndarray) -> np.ndarray:
    """The logits of TransformerLens's `HookedTransformer`, component by component, in float64."""
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    gelu = np.vectorize(lambda x: x * (1 + erf(x / np.sqrt(2))) / 2)
    activation = {"gelu": gelu, "relu": lambda x: np.maximum(x, 0), None: None}[config["act_fn"]]
    length, is_rotary = tokens.shape[1], config["positional_embedding_type"] == "rotary"

    def norm(x, name):
        if config["normalization_type"] is None:
            return x
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["eps"])
        return scaled * weights[f"{name}.w"] + weights[f"{name}.b"]

    def rotary(x):
        half = config["d_head"] // 2
        frequency = np.tile(10000.0 ** (np.arange(half) / half), 2)
        angles = (np.arange(length)[:, None] / frequency)[None, :, None, :]
        flipped = np.concatenate((-x[..., half:], x[..., :half]), axis=-1)
        return x * np.cos(angles) + flipped * np.sin(angles)

    def attention(x, name):
        q, k, v = (
            np.einsum("bpd,hde->bphe", x, weights[f"{name}.W_{part}"]) + weights[f"{name}.b_{part}"] for part in "QKV"
        )
        if is_rotary:
            q, k = rotary(q), rotary(k)
        scores = np.einsum("bqhe,bkhe->bhqk", q, k) / np.sqrt(config["d_head"])
        scores = np.where(np.tri(length, dtype=bool), scores, -np.inf)
        pattern = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        z = np.einsum("bhqk,bkhe->bqhe", pattern, v)
        return np.einsum("bqhe,hed->bqd", z, weights[f"{name}.W_O"]) + weights[f"{name}.b_O"]

    def mlp(x, name):
        hidden = activation(x @ weights[f"{name}.W_in"] + weights[f"{name}.b_in"])
        return hidden @ weights[f"{name}.W_out"] + weights[f"{name}.b_out"]

    residual = weights["embed.W_E"][tokens]
    if not is_rotary:
        residual = residual + weights["pos_embed.W_pos"][:length]
    for index in range(config["n_layers"]):
        block = f"blocks.{index}"
        residual = residual + attention(norm(residual, f"{block}.ln1"), f"{block}.attn")
        if not config["attn_only"]:
            residual = residual + mlp(norm(residual, f"{block}.ln2"), f"{block}.mlp")
    return norm(residual, "ln_final") @ weights["unembed.W_U"] + weights["unembed.b_U"]


def shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the parameters of a `HookedTransformer`."""
    heads, size, model, vocab = (config[name] for name in ("n_heads", "d_head", "d_model", "d_vocab"))
    expected = {"embed.W_E": (vocab, model), "unembed.W_U": (model, vocab), "unembed.b_U": (vocab,)}
    if config["positional_embedding_type"] == "standard":
        expected["pos_embed.W_pos"] = (config["n_ctx"], model)
    norms = ["ln_final"]
    for index in range(config["n_layers"]):
        block = f"blocks.{index}"
        norms += [f"{block}.ln1"] + ([] if config["attn_only"] else [f"{block}.ln2"])
        expected |= {f"{block}.attn.W_{part}": (heads, model, size) for part in "QKV"}
        expected |= {f"{block}.attn.b_{part}": (heads, size) for part in "QKV"}
        expected |= {f"{block}.attn.W_O": (heads, size, model), f"{block}.attn.b_O": (model,)}
        if not config["attn_only"]:
            hidden = config["d_mlp"]
            expected |= {f"{block}.mlp.W_in": (model, hidden), f"{block}.mlp.b_in": (hidden,)}
            expected |= {f"{block}.mlp.W_out": (hidden, model), f"{block}.mlp.b_out": (model,)}
    if config["normalization_type"] is not None:
        expected |= {f"{norm}.{part}": (model,) for norm in norms for part in "wb"}
    return expected


def test_its_forward_pass_gives_our_logits(model, tokens):
    config, weights = to_transformer_lens(model, LENGTH)
    assert {name: array.shape for name, array in weights.items()} == shapes(config)
    ours, _ = eqx.filter_jit(model.forward)(jnp.asarray(tokens))
    theirs = hooked_transformer(config, weights, tokens)
    assert np.abs(theirs).max() > 0.5
    assert np.abs(theirs - ours).max() < 1e-5


@pytest.mark.filterwarnings("ignore")  # its version 3 announces that 4 has no HookedTransformer
def test_transformer_lens_itself_gives_our_logits(model, tokens):
    needs = "needs PyTorch and TransformerLens: pip install 'transformer_lens<4'"
    torch = pytest.importorskip("torch", reason=needs)
    pytest.importorskip("transformer_lens.HookedTransformer", reason=needs)
    lens = pytest.importorskip("transformer_lens", reason=needs)
    config, weights = to_transformer_lens(model, LENGTH)
    hooked = lens.HookedTransformer(lens.HookedTransformerConfig(**config, device="cpu"))
    missing, unexpected = hooked.load_state_dict(
        {name: torch.from_numpy(array) for name, array in weights.items()}, strict=False
    )
    assert unexpected == []
    # Constants that the config determines.
    assert {name.rpartition(".")[2] for name in missing} <= {"mask", "IGNORE", "rotary_sin", "rotary_cos"}
    ours, _ = model.forward(jnp.asarray(tokens))
    assert np.abs(hooked(torch.from_numpy(tokens)).detach().numpy() - ours).max() < 1e-5


def test_another_model_has_no_such_layout():
    gru = GRU(4, 1, vocab_size=3, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"^only a Transformer has the layout of TransformerLens, got GRU$"):
        to_transformer_lens(gru, LENGTH)
