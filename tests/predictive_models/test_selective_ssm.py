"""The selective state-space model against the recurrence of its paper, in numpy, one token and one state at a time."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import SelectiveSSM


def _norm(norm, x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean() + 1e-5) * norm.scale


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def _mix(mixer, x: np.ndarray) -> np.ndarray:
    """What a layer adds to the vectors `x` of one sequence."""
    units, state_size = mixer.log_rates.shape
    rows = np.array([_norm(mixer.norm, row) for row in x]) @ mixer.inner_and_gate.weight + mixer.inner_and_gate.bias
    size = len(mixer.convolution)
    h = np.zeros((units, state_size))
    added = np.empty_like(x)
    for t in range(len(x)):
        u = np.array(mixer.convolution_bias, np.float64)
        for back in range(min(size, t + 1)):
            u += mixer.convolution[size - 1 - back] * rows[t - back, :units]
        u = _silu(u)
        parts = u @ np.asarray(mixer.step_and_projections)
        low, write, read = np.split(parts, [mixer.rank, mixer.rank + state_size])
        step = np.log1p(np.exp(low @ mixer.step.weight + mixer.step.bias))
        for unit in range(units):
            for state in range(state_size):
                kept = np.exp(-step[unit] * np.exp(mixer.log_rates[unit, state]))
                h[unit, state] = kept * h[unit, state] + step[unit] * write[state] * u[unit]
        y = h @ read + mixer.skip * u
        added[t] = (y * _silu(rows[t, units:])) @ np.asarray(mixer.output.weight) + mixer.output.bias
    return added


@pytest.mark.parametrize("model", ["selective_ssm"], indirect=True)
def test_forward_is_the_recurrence_of_the_paper(model: SelectiveSSM, tokens: jax.Array) -> None:
    row = tokens[0]
    logits, activations = eqx.filter_jit(lambda model: (model(row), model.activations(row)))(model)
    x = np.asarray(model.embedding, np.float64)[np.asarray(row)]
    for mixer in model.layers:
        x = x + _mix(mixer, x)
    expected = np.array([_norm(model.final_norm, at) for at in x]) @ np.asarray(model.head.weight).T + model.head.bias
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
    layers = [[f"layer_{index}.ssm/states", f"layer_{index}.ssm", f"layer_{index}"] for index in range(2)]
    assert list(activations) == ["embedding", *layers[0], *layers[1], "final_norm"]


def test_states_start_with_the_rates_and_step_sizes_of_mamba() -> None:
    model = eqx.filter_jit(SelectiveSSM)(32, 1, 4, 2, 3, vocab_size=2, key=jax.random.key(0))
    mixer = model.layers[0]
    np.testing.assert_allclose(np.exp(mixer.log_rates), np.tile(np.arange(1, 5), (64, 1)), rtol=1e-6)
    steps = np.asarray(jax.nn.softplus(mixer.step.bias))
    assert 0.001 <= steps.min() < 0.004
    assert 0.03 < steps.max() <= 0.1001


def test_bad_sizes_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="`state_size` must be at least 1, got 0"):
        SelectiveSSM(8, 1, 0, 2, 3, vocab_size=2, key=jax.random.key(0))


def test_a_state_that_is_ablated_writes_nothing() -> None:
    @jax.jit
    def compute(key: jax.Array) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
        model, tokens = SelectiveSSM(8, 1, 2, 1, 2, vocab_size=2, key=key), jnp.zeros((1, 4), int)
        ablated = model.forward(tokens, edit={"layer_0.ssm/states": jnp.zeros_like})
        return ablated[1], model.forward(tokens)[1]

    ablated, plain = compute(jax.random.key(0))
    assert not np.allclose(ablated["layer_0.ssm"], plain["layer_0.ssm"], atol=1e-9)
