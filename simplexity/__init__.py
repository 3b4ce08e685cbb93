"""Train small sequence models on exactly known stochastic processes."""

__version__ = "0.1.0"
