"""What a config's sections are: the one table that maps them to constructors, and what the program itself supplies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union


@dataclass(frozen=True)
class Target:
    """A section with a `_target_`, checked against the signature behind it.

    Args:
        supplied: Parameters that the program passes, here and in nested targets; a config must not. Each with what
            stands for it while the config is checked.
        nullable: Whether null stands for "none".
        cheap: Whether the check may construct it, so that the constructor's own rules are reported with the rest.
        takes: Those of `supplied` that the constructor must have parameters for.
        methods: What the program calls: whatever is constructed must have methods of these names.
    """

    supplied: Mapping[str, Any] = field(default_factory=dict)
    nullable: bool = False
    cheap: bool = False
    takes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A section without a `_target_`.

    Args:
        keys: What each of its keys holds: an annotation, or a section again.
        constructor: Dotted path of the settings class whose signature adds its keys.
        built_from: Parameters of `constructor` that the program supplies, and the key whose built object each one is.
        nullable: Whether null stands for "none".
    """

    keys: Mapping[str, Union["Section", Target, Any]] = field(default_factory=dict)
    constructor: str | None = None
    built_from: Mapping[str, str] = field(default_factory=dict)
    nullable: bool = False


def _generator(nullable: bool) -> Section:
    return Section(
        keys={"instance": Target(cheap=True)},
        constructor="simplexity.generative_processes.DataGenerator",
        built_from={"process": "instance"},
        nullable=nullable,
    )


CONFIG = Section(
    keys={
        "seed": int,
        "figures": bool,
        "require_gpu": bool,
        "all_devices": bool,
        "training_data_generator": _generator(nullable=False),
        "validation_data_generator": _generator(nullable=True),
        "predictive_model": Section(
            keys={
                "instance": Target(supplied={"vocab_size": None, "sequence_len": None, "key": None}),
                "load_checkpoint_step": int | None,
                "load_checkpoint_from": str | None,
            }
        ),
        "training": Section(
            constructor="simplexity.training.TrainingSettings",
            keys={
                "optimizer": Section(keys={"instance": Target(cheap=True)}),
                "schedule": Target(nullable=True, cheap=True),
            },
        ),
        "validation": Section(constructor="simplexity.training.ValidationSettings", nullable=True),
        "logging": Section(
            keys={
                "instance": Target(
                    supplied={"run_directory": Path(), "require_held": int},
                    nullable=True,
                    cheap=True,
                    methods=("start", "log", "progress", "flush", "close"),
                )
            }
        ),
        "persistence": Section(
            keys={
                "instance": Target(
                    supplied={"directory": Path(), "on_commit": print, "require_held": int},
                    nullable=True,
                    cheap=True,
                    takes=("directory", "on_commit"),
                    methods=("open", "next_due_step", "due", "save", "wait", "steps", "restore", "close"),
                ),
                "resume": Literal["auto", "never", "required", "strict"],
            }
        ),
    }
)
"""The whole config, and the defaults groups that may be set to null on the command line."""

ADDED_KEYS: Mapping[str, Any] = {"figures": False, "require_gpu": False, "all_devices": False}
"""Keys of the root that configs frozen by earlier versions lack, with the values that mean what those versions did."""

GENERATOR_GROUP = "generative_process"
GENERATORS = ("training_data_generator", "validation_data_generator")
