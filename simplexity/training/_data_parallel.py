"""Training over several devices: each has the whole state and takes its share of every batch.

A machine without a GPU is several devices too: each of its cores is one, with one thread. XLA's other way to use the
cores is to split single operations over threads, but those of small models take microseconds, less than it takes to
start another thread on a share. What a device computes does not depend on the number of cores, so a run that is resumed
on another machine with the same number of devices computes the same numbers.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, PyTree

from simplexity.host import num_usable_cores

_AXIS = "devices"
# Measured on two cores with GRUs: below about twice this, the all-reduce costs more than a second device saves.
_FEWEST_TOKENS = 512
# XLA reads the number of its threads from this variable when it makes its client for the CPU.
_THREADS = "PJRT_NPROC"
# A run's calls have a few lengths, again and again: one, and what is left of it before a line and before a validation.
_MOST_NUMBERS = 8


class _Copied(NamedTuple):
    """A tree with arrays of the first device, and the same tree with their copies on all devices."""

    tree: PyTree
    copies: PyTree


class DataParallel:
    """Devices, of this process and of others, that train one model.

    The batch is drawn as on one device, so that the sequences are the same. The host sees the state as it would with
    one device; the other devices have copies of it.

    Args:
        devices: The devices of all processes, ordered by process.
    """

    def __init__(self, devices: Sequence[jax.Device]):  # pyright: ignore[reportInvalidTypeForm]
        self._mesh = Mesh(np.array(devices), (_AXIS,))
        self._copies = NamedSharding(self._mesh, PartitionSpec())

    @property
    def devices(self) -> tuple[Any, ...]:
        """The devices, in order."""
        return tuple(self._mesh.devices.flat)

    @property
    def num_devices(self) -> int:
        """The number of devices, of all processes."""
        return self._mesh.size

    def mean_over_batch(self, function: Callable[..., PyTree]) -> Callable[..., PyTree]:
        """`function(model, tokens)`, a mean over the rows of `tokens`, with one share of the rows per device.

        One all-reduce averages the results. Without it, the compiler would sum up the gradients of the weights over the
        devices after every token.
        """

        def over_devices(model: Any, tokens: Int[Array, "batch length"]) -> PyTree:
            arrays, static = eqx.partition(model, eqx.is_array)

            def on_one_device(arrays: PyTree, tokens: Int[Array, "rows length"]) -> PyTree:
                # All results as one array, because on a CPU there would be a barrier for each array.
                values, restore = ravel_pytree(function(eqx.combine(arrays, static), tokens))
                return restore(jax.lax.pmean(values, _AXIS))

            specs = (PartitionSpec(), PartitionSpec(_AXIS))
            # Unchecked, because with the check differentiation itself sums a gradient over the devices.
            sharded = jax.shard_map(
                on_one_device, mesh=self._mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False
            )
            return sharded(arrays, tokens)

        return over_devices

    def copied(self, tree: PyTree) -> PyTree:
        """Within a compiled program: every device gets all of `tree`, even if the compiler has split an array of it."""
        return jax.lax.with_sharding_constraint(tree, self._copies)

    def lower(self, program: Any, *arguments: PyTree) -> Any:
        """A program that is ready to be compiled, for arguments shaped like these.

        Args:
            program: Made by `equinox.filter_jit`.
            *arguments: Its arguments, with arrays of this process's first device.
        """
        return program.lower(*map(self._spread, arguments))

    def on_first_device(self, compiled: Callable[..., Any]) -> Callable[[PyTree, PyTree, int], PyTree]:
        """Compiled `train_steps(arguments, state, num_steps)`, for arrays of this process's first device.

        All processes have to call it together. Copying a small model to the other devices takes longer than several
        of its steps, so the state that a call returns stays on all devices, and the next call copies only those arrays
        that have been replaced meanwhile. The arguments, which are not donated, are copied once, and the numbers of
        steps of the last few calls are kept.
        """
        arguments_on_devices = state_on_devices = None
        numbers_on_devices: dict[int, Array] = {}

        def on_devices(number: int) -> Array:
            copies = numbers_on_devices.pop(number, None)
            # A program of `make_train_steps` donates it too, a run's does not.
            if copies is None or copies.is_deleted():
                copies = self._everywhere(jax.device_put(np.int32(number)))
            numbers_on_devices[number] = copies
            if len(numbers_on_devices) > _MOST_NUMBERS:
                del numbers_on_devices[next(iter(numbers_on_devices))]  # the one that was used longest ago
            return copies

        def call(arguments: PyTree, state: PyTree, num_steps: int) -> PyTree:
            nonlocal arguments_on_devices, state_on_devices
            arguments_on_devices = self._copied_anew(arguments, arguments_on_devices)
            copies = self._copied_anew(state, state_on_devices).copies
            # The call donates the copies: if it fails, the next one must not take them for those of its state.
            state_on_devices = None
            # The caller has only seen the first device's result. On a CPU, the devices are threads of one pool: where
            # two calls are under way, one may hold the thread that the other's all-reduce waits for, for ever.
            jax.block_until_ready(copies)
            result = compiled(arguments_on_devices.copies, copies, on_devices(num_steps))
            state_on_devices = _Copied(_map_arrays(lambda copies: copies.addressable_data(0), result), result)
            return state_on_devices.tree

        return call

    def _copied_anew(self, tree: PyTree, before: "_Copied | None") -> "_Copied":
        """A tree with its copies; those of arrays that were in the tree before are taken from there."""
        if before is None:
            return _Copied(tree, self._spread(tree))
        if tree is before.tree:
            return before

        def copied(leaf: Any, leaf_before: Any, copies: Any) -> Any:
            return copies if leaf is leaf_before else self._spread(leaf)

        return _Copied(tree, jax.tree.map(copied, tree, before.tree, before.copies))

    def _spread(self, tree: PyTree) -> PyTree:
        return _map_arrays(self._everywhere, tree)

    def _everywhere(self, leaf: Array) -> Array:
        copies = [jax.device_put(leaf, device) for device in self._mesh.local_devices]
        return jax.make_array_from_single_device_arrays(leaf.shape, self._copies, copies)


def configure_cpu_devices(tokens_per_step: int, number: int | None = None) -> None:
    """Makes JAX see the CPU as one device or several, of one thread each. No effect after JAX's first computation.

    What the environment sets is kept (JAX_NUM_CPU_DEVICES, PJRT_NPROC).

    Args:
        tokens_per_step: Sequences per update times predictions per sequence.
        number: The number of devices; None for one per core, or fewer if the step has too few tokens for so many.
    """
    os.environ.setdefault(_THREADS, "1")
    if jax.config.jax_num_cpu_devices > 0:  # pyright: ignore[reportAttributeAccessIssue]
        return
    with suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", number or num_cpu_devices(tokens_per_step))


def num_cpu_devices(tokens_per_step: int) -> int:
    """As how many devices a CPU trains best: one per core, or fewer if the step has too few tokens for so many."""
    return min(num_usable_cores(), max(1, tokens_per_step // _FEWEST_TOKENS))


def share_among_cpu_devices(batch_size: int) -> DataParallel | None:
    """This process's CPU devices that share a batch: as many as divide it evenly; None if that is one."""
    devices = jax.devices("cpu")
    number = next(number for number in range(len(devices), 0, -1) if batch_size % number == 0)
    return DataParallel(devices[:number]) if number > 1 else None


def _map_arrays(function: Callable[[Array], Array], tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: function(leaf) if eqx.is_array(leaf) else leaf, tree)
