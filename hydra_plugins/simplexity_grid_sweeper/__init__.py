"""Hydra's sweeper over a grid, for launchers that check every run before the first starts."""
