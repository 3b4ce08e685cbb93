import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt

from simplexity.persistence import OrbaxCheckpointer


class Linear(eqx.Module):
    weight: Float[Array, "out in"]
    bias: Float[Array, " out"]


class Model(eqx.Module):
    layers: list[Linear]
    activation: Callable[[Array], Array]


class State(eqx.Module):
    """Every kind of leaf that a training state may have."""

    step: Int[Array, ""]
    model: Model
    optimizer_state: PyTree
    sampling_state: None
    key: PRNGKeyArray
    keys: PRNGKeyArray
    words: UInt[Array, "2"]
    finite: Bool[Array, ""]
    half: Float[Array, "3"]
    nothing: Float[Array, "0 3"]
    table: Float[np.ndarray, "2 2"]
    scalar: np.float32
    special: Float[Array, "4"]


def _make_state(seed: int = 0, width: int = 4, depth: int = 1, num_moments: int = 2) -> State:
    """Made by NumPy: drawing it by JAX would compile a program per shape."""
    normal = np.random.default_rng(seed).standard_normal
    sizes = [3, *[width] * depth, 3]

    def linear(num_in: int, num_out: int) -> Linear:
        return Linear(_array(normal((num_out, num_in))), _array(normal(num_out)))

    layers = [linear(*pair) for pair in itertools.pairwise(sizes)]
    moments = [[linear(*pair) for pair in itertools.pairwise(sizes)] for _ in range(num_moments)]
    return State(
        step=_array(seed, np.int32),
        model=Model(layers, jax.nn.relu),
        optimizer_state=(moments, optax.ScaleByScheduleState(_array(seed, np.int32))),
        sampling_state=None,
        key=jax.random.key(seed),
        keys=jax.random.wrap_key_data(_array(normal((3, 4)) * 100, np.uint32), impl="rbg"),
        words=_array([seed, 2**32 - 1], np.uint32),
        finite=_array(seed % 2 == 0, np.bool_),
        half=_array([1.0, 2.5, seed], jnp.bfloat16),
        nothing=_array(np.zeros((0, 3))),
        table=np.arange(4.0).reshape(2, 2) / (3 + seed),
        scalar=np.float32(seed / 7),
        special=_array([np.nan, -np.inf, -0.0, 1e-45]),
    )


def _array(values: Any, dtype: Any = np.float32) -> Array:
    return jax.device_put(np.asarray(values).astype(dtype))


def _same_bits(a: PyTree, b: PyTree) -> bool:
    """Whether two trees are equal to the last bit, NaN and the sign of zero included, with the same types of leaves."""
    leaves_a, leaves_b = jax.tree.leaves(a), jax.tree.leaves(b)
    return jax.tree.structure(a) == jax.tree.structure(b) and all(map(_same_leaf, leaves_a, leaves_b))


def _same_leaf(a: Any, b: Any) -> bool:
    if not eqx.is_array(a):
        return a is b
    if type(a) is not type(b) or a.dtype != b.dtype or a.shape != b.shape:
        return False
    if isinstance(a, jax.Array):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        # What differs in these would be compiled for again.
        if a.weak_type != b.weak_type or a.committed != b.committed:
            return False
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.fixture
def make_state() -> Callable[..., State]:
    """`make_state(seed, width, depth, num_moments)`."""
    return _make_state


@pytest.fixture
def same_bits() -> Callable[[PyTree, PyTree], bool]:
    return _same_bits


@pytest.fixture
def checkpointer(tmp_path: Path) -> Iterator[Callable[..., OrbaxCheckpointer]]:
    """Makes checkpointers in `tmp_path`/checkpoints and closes them."""
    made = []

    def make(directory: Path = tmp_path / "checkpoints", **settings: Any) -> OrbaxCheckpointer:
        settings = {
            "max_to_keep": 3,
            "keep_every_steps": None,
            "save_every_steps": None,
            "save_every_minutes": None,
            **settings,
        }
        made.append(OrbaxCheckpointer(directory, **settings))
        made[-1].open()
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)
