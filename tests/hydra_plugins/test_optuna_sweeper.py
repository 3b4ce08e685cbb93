import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hydra_plugins.simplexity_optuna_sweeper._search_space import as_override, search_space


def parsed(*lines):
    return OverridesParser.create().parse_overrides(list(lines))


@pytest.mark.parametrize(
    ("sweep", "distribution"),
    [
        ("interval(0.1, 2)", FloatDistribution(0.1, 2.0)),
        ("tag(log, interval(1e-4, 1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("int(interval(1, 8))", IntDistribution(1, 8)),
        ("range(1, 4)", IntDistribution(1, 3)),
        ("range(8, 2, -2)", IntDistribution(4, 8, step=2)),
        ("range(0.0, 0.3, 0.1)", FloatDistribution(0.0, 0.2, step=0.1)),
        ("choice(16, 32)", CategoricalDistribution(["16", "32"])),
        ("mess3,rrxor", CategoricalDistribution(["mess3", "rrxor"])),
        ("'a b','c,d'", CategoricalDistribution(["'a b'", "'c,d'"])),
    ],
)
def test_sweeps_become_distributions(sweep, distribution):
    assert search_space(parsed(f"key={sweep}", "fixed=3")) == {"key": distribution}


@pytest.mark.parametrize("sweep", ["tag(linear, interval(1, 2))", "range(3, 3)", "interval(2, 1)"])
def test_sweeps_without_a_counterpart(sweep):
    with pytest.raises(ValueError, match="`key`: the search over"):
        search_space(parsed(f"key={sweep}"))


@pytest.mark.parametrize("value", [1e-05, 0.1, 3, "'a b'", "mess3"])
def test_values_survive_as_overrides(value):
    (override,) = parsed(as_override("key", value))
    assert override.value() == (value.strip("'") if isinstance(value, str) else value)
