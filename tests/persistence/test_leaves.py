import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.persistence._leaves import check_same_leaves, copy_to_host, describe_leaves, fill
from simplexity.persistence._manifest import Leaf


def tree():
    return {
        "layers": [jnp.arange(3.0), jnp.ones((2, 2), jnp.bfloat16)],
        "key": jax.random.split(jax.random.key(0, impl="rbg"), 2),
        "host": np.arange(3) / 3,
        "name": "not an array",
        "function": jax.nn.relu,
    }


def test_leaves_are_named_by_their_path():
    assert describe_leaves(tree(), "model") == {
        "model['host']": Leaf((3,), "float64", None),
        "model['key']": Leaf((2,), "uint32", "rbg"),
        "model['layers'][0]": Leaf((3,), "float32", None),
        "model['layers'][1]": Leaf((2, 2), "bfloat16", None),
    }
    assert list(describe_leaves(eqx.nn.Linear(2, 3, key=jax.random.key(0)))) == ["weight", "bias"]


def test_host_copies_outlive_their_donated_originals():
    state = {"a": jnp.arange(1000.0), "key": jax.random.key(7)}
    copies = copy_to_host(state)
    jax.block_until_ready(
        jax.jit(lambda s: {"a": s["a"] * -1, "key": jax.random.split(s["key"])[0]}, donate_argnums=0)(state)
    )
    assert state["a"].is_deleted()
    np.testing.assert_array_equal(copies["['a']"], np.arange(1000.0, dtype=np.float32))
    np.testing.assert_array_equal(copies["['key']"], [0, 7])


def test_filling_brings_back_every_type():
    original = tree()
    emptied = jax.tree.map(lambda x: x * 0 if isinstance(x, np.ndarray) else x, original)
    filled = fill(emptied, copy_to_host(original))
    assert bool(eqx.tree_equal(filled, original))
    assert isinstance(filled["host"], np.ndarray)
    assert jax.random.key_impl(filled["key"]) == "rbg"


def test_shapes_are_filled_like_arrays():
    original = {"a": jnp.arange(3.0), "key": jax.random.split(jax.random.key(0, impl="rbg"), 2)}
    filled = fill(jax.eval_shape(lambda: original), copy_to_host(original))
    assert bool(eqx.tree_equal(filled, original))
    assert describe_leaves(jax.eval_shape(lambda: original)) == describe_leaves(original)


def test_donating_what_was_filled_leaves_the_copies_alone():
    host = {"['a']": np.arange(4096, dtype=np.float32)}
    filled = fill({"a": jnp.zeros(4096)}, host)
    doubled = jax.jit(lambda s: jax.tree.map(lambda a: 2 * a, s), donate_argnums=0)(filled)
    np.testing.assert_array_equal(host["['a']"], np.arange(4096, dtype=np.float32))
    np.testing.assert_array_equal(doubled["a"], 2 * host["['a']"])


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (
            {"a": Leaf((2, 3), "float32", None)},
            r"c has `a` of shape \(2, 3\) \(float32\), this config of shape \(2, 4\)",
        ),
        ({"a": Leaf((2, 4), "bfloat16", None)}, r"`a` of shape \(2, 4\) \(bfloat16\), .* shape \(2, 4\) \(float32\)"),
        ({"a": Leaf((2, 4), "uint32", "rbg")}, r"`a` of shape \(2, 4\) \(random keys, rbg\)"),
        ({}, "c has no `a`"),
        ({"a": Leaf((2, 4), "float32", None), "b": Leaf((), "int32", None)}, "c has `b`, which this config lacks"),
    ],
)
def test_another_model_is_told_by_its_first_differing_leaf(saved, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_same_leaves(saved, {"a": Leaf((2, 4), "float32", None)}, "c")
    assert "\n" not in str(caught.value)
