"""Settings out of their range, and sequences that a generator cannot draw, are refused by name."""

import pytest

from simplexity.generative_processes import DataGenerator, coin, mess3, nonergodic
from simplexity.training import TrainingSettings, ValidationSettings, check_sequences

VALID = {
    "num_train_steps": 10,
    "batch_size": 2,
    "sequence_len": 4,
    "log_every": 5,
    "carry_state": False,
    "gradient_clip_norm": 1.0,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_train_steps", 0),
        ("num_train_steps", 2**31),
        ("batch_size", 2**31),
        ("batch_size", 0),
        ("sequence_len", -1),
        ("log_every", 0),
        ("gradient_clip_norm", 0.0),
        ("gradient_clip_norm", float("nan")),
    ],
)
def test_number_out_of_its_range_is_named(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .*got {value}"):
        TrainingSettings(**(VALID | {name: value}))


def test_number_of_tokens_per_step_fits_32_bits():
    with pytest.raises(
        ValueError, match=r"`batch_size` must be at most 2147483647 divided by `sequence_len`, got 65536"
    ):
        TrainingSettings(**(VALID | {"batch_size": 2**16, "sequence_len": 2**15}))
    with pytest.raises(ValueError, match="`batch_size` must be at most 2147483647"):
        ValidationSettings(every=1, batch_size=2**31, num_batches=1)


@pytest.mark.parametrize("name", ["every", "batch_size", "num_batches"])
def test_number_of_a_validation_below_one_is_named(name):
    numbers = {"every": 1, "batch_size": 1, "num_batches": 1} | {name: 0}
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        ValidationSettings(**numbers)


def test_continued_batches_are_refused_with_a_beginning():
    generator = DataGenerator(mess3(0.05, 0.85), "auto", None)
    with pytest.raises(ValueError, match="`carry_state` must be false"):
        check_sequences(generator, TrainingSettings(**(VALID | {"carry_state": True})))


def test_continued_batches_are_refused_with_a_mixture():
    mixture = nonergodic([coin(0.1), coin(0.4)], [0.5, 0.5], [[0, 1], [0, 1]])
    settings = TrainingSettings(**(VALID | {"carry_state": True}))
    with pytest.raises(ValueError, match="`carry_state` must be false with a process of several components"):
        check_sequences(DataGenerator(mixture, None, None), settings)
    check_sequences(DataGenerator(coin(0.1), None, None), settings)


def test_rows_without_a_token_to_predict_are_refused():
    generator = DataGenerator(mess3(0.05, 0.85), "auto", "auto")
    with pytest.raises(ValueError, match="`sequence_len` must be at least 2"):
        check_sequences(generator, TrainingSettings(**(VALID | {"sequence_len": 1})))
