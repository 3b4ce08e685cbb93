"""Hydra's sweeper on today's Optuna: hydra-optuna-sweeper stays on Optuna 2, whose storages fail with SQLAlchemy 2."""
