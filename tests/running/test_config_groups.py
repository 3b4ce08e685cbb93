"""What the config groups offer reaches a run: processes, models, optimizers, schedules, loggers and tokens, mixed."""

import re
import sys

import pytest

from tests.running.program import ROOT, call_program

TINY = (
    "training.num_train_steps=12",
    "training.sequence_len=8",
    "training.log_every=4",
    "validation.every=6",
    "validation.batch_size=8",
    "validation.num_batches=2",
    "analysis.length=3",
)
FINAL = re.compile(r"final loss \d+\.\d+ nats = optimum \d+\.\d+ \+ (?:KL|excess) -?\d+\.\d+ \(-?\d+\.\d+ %\)")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # MLflow asks for it
@pytest.mark.parametrize(
    "overrides",
    [
        ("training.optimizer.instance.learning_rate=0.0005",),
        ("predictive_model.instance.hidden_size=128",),
        ("training_data_generator=my_custom_data",),
        ("generative_process@training_data_generator=rrxor", "training/schedule=cosine"),
        ("training_data_generator=tom_quantum", "training_data_generator.bos_token=auto", "predictive_model=lstm"),
        ("training_data_generator.eos_token=auto", "predictive_model=attention_only", "logging=tensorboard"),
        ("validation_data_generator=even_ones", "training_data_generator=coin", "predictive_model=rnn"),
        ("training/optimizer=adamw", "logging=wandb"),
        ("predictive_model=transformer", "training.carry_state=true", "training/optimizer=sgd", "logging=mlflow"),
    ],
)
def test_overrides_reach_the_run(overrides, tmp_path, monkeypatch, capfd):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "simplexity" / "run_experiment.py")])
    exit_code = call_program("experiment", *TINY, *overrides)
    said = capfd.readouterr()
    assert exit_code == 0, said.err
    assert FINAL.fullmatch(said.out.splitlines()[-1])
