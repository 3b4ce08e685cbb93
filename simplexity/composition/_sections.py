"""What a config may hold: the table of its sections and their constructors, and the domains of its numbers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union


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
        named_by_user: What keys of any other name hold; None if there are none.
        optional: Whether it may be missing, which means the same as null: it was added after users had files of their
            own in its place.
    """

    keys: Mapping[str, Union["Section", Target, Any]] = field(default_factory=dict)
    constructor: str | None = None
    built_from: Mapping[str, str] = field(default_factory=dict)
    nullable: bool = False
    named_by_user: Target | None = None
    optional: bool = False


@dataclass(frozen=True)
class Optional:
    """A key that a config may lack.

    Args:
        annotation: What it holds.
    """

    annotation: Any


def _generator(nullable: bool) -> Section:
    return Section(
        keys={"instance": Target(cheap=True)},
        constructor="simplexity.generative_processes.DataGenerator",
        built_from={"process": "instance"},
        nullable=nullable,
    )


def _own_functions(*arguments: str, optional: bool = False) -> Section:
    """The user's own functions, which the program calls with `arguments`."""
    return Section(named_by_user=Target(supplied=dict.fromkeys(arguments), takes=arguments), optional=optional)


CONFIG = Section(
    keys={
        "seed": int,
        "from_run": Optional(str | None),
        "figures": bool | Literal["auto"],
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
        "validation": Section(
            constructor="simplexity.training.ValidationSettings",
            keys={"functions": _own_functions("state", "scores", optional=True)},
            nullable=True,
        ),
        "analysis": Section(
            constructor="simplexity.analysis.AnalysisSettings",
            keys={"functions": _own_functions("model", "process", "words")},
            nullable=True,
        ),
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
                "snapshots": Section(
                    constructor="simplexity.persistence.SnapshotSchedule", nullable=True, optional=True
                ),
                "on_complete": Optional(Literal["auto", "keep", "weights", "compact"]),
                "resume": Literal["auto", "never", "required", "strict"],
            }
        ),
    }
)
"""The whole config, and the defaults groups that may be set to null on the command line."""

ADDED_KEYS: Mapping[str, Any] = {"analysis": None, "figures": False, "require_gpu": False, "all_devices": False}
"""Keys of the root that configs frozen by earlier versions lack, with the values that mean what those versions did."""

GENERATOR_GROUP = "generative_process"
GENERATORS = ("training_data_generator", "validation_data_generator")


class Domain(NamedTuple):
    """Where a number must lie, as a test and in words.

    Only numbers whose constructors do not check them have one: optax takes any learning rate, jax any seed.
    """

    contains: Callable[[float], bool]
    rule: str


_POSITIVE = Domain(lambda value: 0 < value < math.inf, "must be positive and finite")
_NOT_NEGATIVE = Domain(lambda value: 0 <= value < math.inf, "must be at least 0 and finite")
_DECAY_RATE = Domain(lambda value: 0 <= value < 1, "must lie in [0, 1)")

_BY_PATH: Mapping[str, Domain] = {
    # jax keeps 32 bits of a seed: larger ones would repeat the runs of smaller ones.
    "seed": Domain(lambda value: 0 <= value < 2**32, "must lie in [0, 4294967295]"),
    "predictive_model.load_checkpoint_step": _NOT_NEGATIVE,
}
_OF_OPTAX: Mapping[str, Domain] = {
    "learning_rate": _POSITIVE,
    "weight_decay": _NOT_NEGATIVE,
    "eps": _NOT_NEGATIVE,
    "b1": _DECAY_RATE,
    "b2": _DECAY_RATE,
    "momentum": _DECAY_RATE,
    # Of schedules, which are factors of the learning rate.
    "init_value": _NOT_NEGATIVE,
    "peak_value": _NOT_NEGATIVE,
    "end_value": _NOT_NEGATIVE,
    "alpha": _NOT_NEGATIVE,
    "warmup_steps": _NOT_NEGATIVE,
    "decay_steps": _POSITIVE,
    "patience": _NOT_NEGATIVE,
    "cooldown": _NOT_NEGATIVE,
    "min_scale": _NOT_NEGATIVE,
    "accumulation_size": _POSITIVE,
}
# Functions of the parameters. optax takes a string for a mask that is true everywhere.
_FUNCTIONS_OF_OPTAX = {
    "mask": "weights_only",
    "weight_decay_mask": "weights_only",
    "muon_weight_dimension_numbers": "hidden_matrices",
}
_SIZE = Domain(lambda value: value >= 1, "must be at least 1")
# Of our models, which are too expensive to construct before all of the config is known to be valid.
_OF_MODELS: Mapping[str, Domain] = dict.fromkeys(
    ("hidden_size", "num_layers", "model_size", "num_heads", "head_size", "state_size", "expansion", "conv_size"), _SIZE
) | {"mlp_size": Domain(_SIZE.contains, f"{_SIZE.rule}, or null for attention only")}


def broken_rule(path: str, value: Any) -> str | None:
    """The rule that a number, or a string, at `path` of the config breaks, or None."""
    function = _FUNCTIONS_OF_OPTAX.get(path.removeprefix("training.optimizer.instance."))
    if function is not None and isinstance(value, str):
        return f"must be null, or a section as {{_target_: simplexity.training.{function}}}, got the string '{value}'"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    domain = _BY_PATH.get(path)
    if domain is None and path.startswith(("training.optimizer.", "training.schedule.")):
        domain = _OF_OPTAX.get(path.rpartition(".")[2])
    elif path.startswith("predictive_model.instance."):
        domain = _OF_MODELS.get(path.rpartition(".")[2])
    if domain is None or domain.contains(value):
        return None
    return f"{domain.rule}, got {value}"
