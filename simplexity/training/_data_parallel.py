"""Training over several devices: each has the whole state, and takes its share of every batch."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, PyTree

_AXIS = "devices"


class DataParallel:
    """Devices, of this process and of others, that train one model.

    The batch is drawn as on one device, so that the sequences are the same. The host sees the state as it would with
    one device: what other devices have is a copy of it.

    Args:
        devices: The devices of all processes; those of one process follow each other.
    """

    def __init__(self, devices: Sequence[jax.Device]):  # pyright: ignore[reportInvalidTypeForm]
        self._mesh = Mesh(np.array(devices), (_AXIS,))
        self._copies = NamedSharding(self._mesh, PartitionSpec())

    @property
    def num_devices(self) -> int:
        """The number of devices, of all processes."""
        return self._mesh.size

    def mean_over_batch(self, function: Callable[..., PyTree]) -> Callable[..., PyTree]:
        """`function(model, tokens)`, a mean over the rows of `tokens`, computed by all devices and averaged once.

        Left to itself, the compiler would sum up the weights' gradients over the devices after every token.
        """

        def over_devices(model: Any, tokens: Int[Array, "batch length"]) -> PyTree:
            arrays, static = eqx.partition(model, eqx.is_array)

            def on_one(arrays: PyTree, tokens: Int[Array, "rows length"]) -> PyTree:
                # As one array: on a CPU the devices meet once for each.
                values, restore = ravel_pytree(function(eqx.combine(arrays, static), tokens))
                return restore(jax.lax.pmean(values, _AXIS))

            specs = (PartitionSpec(), PartitionSpec(_AXIS))
            # Unchecked, because with the check a gradient is summed over the devices by differentiation itself.
            sharded = jax.shard_map(on_one, mesh=self._mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False)
            return sharded(arrays, tokens)

        return over_devices

    def copied(self, tree: PyTree) -> PyTree:
        """Within a compiled program: every device gets all of `tree`, of which the compiler may have split an array."""
        return jax.lax.with_sharding_constraint(tree, self._copies)

    def compile(self, program: Any, *arguments: PyTree) -> Callable[..., Any]:
        """Compiles for arguments shaped like these; all processes call the result together.

        Takes and returns arrays of this process's first device.
        """
        compiled = program.lower(*map(self._spread, arguments)).compile()
        return lambda *arguments: _first_copy(compiled(*map(self._spread, arguments)))

    def _spread(self, tree: PyTree) -> PyTree:
        def everywhere(leaf: Array) -> Array:
            copies = [jax.device_put(leaf, device) for device in self._mesh.local_devices]
            return jax.make_array_from_single_device_arrays(leaf.shape, self._copies, copies)

        return _map_arrays(everywhere, tree)


def _first_copy(tree: PyTree) -> PyTree:
    return _map_arrays(lambda leaf: leaf.addressable_data(0), tree)


def _map_arrays(function: Callable[[Array], Array], tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: function(leaf) if eqx.is_array(leaf) else leaf, tree)
