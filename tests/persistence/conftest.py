import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, UInt

from simplexity.persistence import OrbaxCheckpointer


class State(eqx.Module):
    """Every kind of leaf that a training state may have."""

    step: Int[Array, ""]
    model: eqx.nn.MLP
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


def make_state(
    seed: int = 0, width: int = 4, depth: int = 1, optimizer: optax.GradientTransformation | None = None
) -> State:
    model = eqx.nn.MLP(3, 3, width, depth, key=jax.random.key(seed))
    return State(
        step=jnp.asarray(seed, jnp.int32),
        model=model,
        optimizer_state=(optimizer or optax.adam(1e-3)).init(eqx.filter(model, eqx.is_array)),
        sampling_state=None,
        key=jax.random.key(seed),
        keys=jax.random.split(jax.random.key(seed, impl="rbg"), 3),
        words=jnp.asarray([seed, 2**32 - 1], jnp.uint32),
        finite=jnp.asarray(seed % 2 == 0),
        half=jnp.asarray([1.0, 2.5, seed], jnp.bfloat16),
        nothing=jnp.zeros((0, 3)),
        table=np.arange(4.0).reshape(2, 2) / (3 + seed),
        scalar=np.float32(seed / 7),
        special=jnp.asarray([jnp.nan, -jnp.inf, -0.0, 1e-45]),
    )


def same_bits(a: PyTree, b: PyTree) -> bool:
    """Whether two trees are equal to the last bit, NaN and the sign of zero included, with the same types of leaves."""
    leaves_a, leaves_b = jax.tree.leaves(a), jax.tree.leaves(b)
    return jax.tree.structure(a) == jax.tree.structure(b) and all(map(_same_leaf, leaves_a, leaves_b))


def _same_leaf(a: object, b: object) -> bool:
    if not eqx.is_array(a):
        return a is b
    if type(a) is not type(b) or a.dtype != b.dtype or a.shape != b.shape:
        return False
    if isinstance(a, jax.Array):
        if a.weak_type != b.weak_type or a.committed != b.committed:
            return False
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.fixture
def checkpointer(tmp_path: Path) -> Iterator[Callable[..., OrbaxCheckpointer]]:
    """Makes checkpointers in `tmp_path`/checkpoints and closes them."""
    made = []

    def make(
        directory: Path = tmp_path / "checkpoints",
        max_to_keep: int = 3,
        keep_every_steps: int | None = None,
        save_every_steps: int | None = None,
        save_every_minutes: float | None = None,
    ) -> OrbaxCheckpointer:
        made.append(OrbaxCheckpointer(directory, max_to_keep, keep_every_steps, save_every_steps, save_every_minutes))
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
