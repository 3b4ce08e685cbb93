"""Hydra, initialised on the packaged configs for as long as something is composed."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import hydra

from ._site import CONFIG_MODULE


@contextmanager
def composing() -> Iterator[None]:
    """Hydra initialised on the packaged configs, its state before put back afterwards."""
    with warnings.catch_warnings():
        ignore_equal_names()
        with hydra.initialize_config_module(CONFIG_MODULE, version_base="1.3"):
            yield


def ignore_equal_names() -> None:
    """Lets our launchers have the names of hydra-submitit-launcher's."""
    warnings.filterwarnings("ignore", message=r"\s*'hydra/launcher/submitit_\w+' is validated against ConfigStore")
