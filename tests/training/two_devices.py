"""Trains on one device and on two, and compares; run with JAX_NUM_CPU_DEVICES=2."""

from functools import partial
from unittest.mock import patch

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from simplexity.training import DataParallel, make_train_steps
from tests.training.conftest import arrays_of, make_run


def main() -> None:
    devices = jax.devices()
    assert len(devices) == 2
    for carry_state in (False, True):
        run = make_run(carry_state)
        parallel = DataParallel(devices)
        program = make_train_steps(run.optimizer_of, run.settings, run.fresh().model, parallel)
        train_steps = partial(
            parallel.on_first_device(parallel.lower(program, run.arguments, run.fresh(), jnp.int32(20)).compile()),
            run.arguments,
        )
        whole = train_steps(run.fresh(), 20)
        begun = train_steps(run.fresh(), 7)
        with patch.object(jax, "device_put", wraps=jax.device_put) as copied:
            cut = train_steps(begun, 13)
        # Only the number of steps, to the first device and from there to both: all else is on both already.
        assert copied.call_count == 3
        assert arrays_of(whole) == arrays_of(cut)
        assert all(leaf.devices() == {devices[0]} for leaf in jax.tree.leaves(eqx.filter(whole, eqx.is_array)))
        alone = run.train_steps(run.fresh(), 20)
        assert arrays_of((alone.sampling_state, alone.key)) == arrays_of((whole.sampling_state, whole.key))
        for one, other in zip(
            *(jax.tree.leaves(eqx.filter(s, eqx.is_inexact_array)) for s in (alone, whole)), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    main()
