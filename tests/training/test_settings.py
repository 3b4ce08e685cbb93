import pytest

from simplexity.generative_processes import DataGenerator, mess3
from simplexity.predictive_models import GRU
from simplexity.training import TrainingSettings, initial_train_state, make_optimizer, run_keys

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


def test_continued_batches_are_refused_with_a_beginning():
    import optax

    generator = DataGenerator(mess3(0.05, 0.85), "auto", None)
    keys = run_keys(0)
    model = GRU(2, 1, vocab_size=generator.vocab_size, key=keys.initialization)
    settings = TrainingSettings(**(VALID | {"carry_state": True}))
    with pytest.raises(ValueError, match="`carry_state` must be false"):
        initial_train_state(model, make_optimizer(optax.sgd(0.1), None, None), generator, settings, key=keys.data)
