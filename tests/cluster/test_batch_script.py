"""The text against a golden file; what it does is tested on a real SLURM, in tests/slurm."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from simplexity.cluster import ArraySlice, ClusterProfile, batch_script

GOLDEN = Path(__file__).with_name("golden_batch_script.sh")
PATH = os.environ["PATH"]
CONTRACT = Path(__file__).parents[2] / "simplexity" / "cluster" / "requeue.sh"

PROFILE: dict[str, Any] = {
    "partition": "preemptible", "account": "group", "qos": "long", "constraint": "a100|h100", "gres": None,
    "gpus_per_node": 2, "cpus_per_task": 4, "memory": "16G", "time_limit_minutes": 240, "signal_lead_s": 120,
    "nodes": 2, "tasks_per_node": 2, "sbatch_options": {"exclude": "n7", "exclusive": ""},
    "setup": ["module load cuda"], "environment": {"JAX_PLATFORMS": "cuda", "ODD": "it's $HOME"},
    "scratch_folder": "/scratch/me", "cache_folder": "/shared/a cache", "container": None,
}  # fmt: skip


def script(**changes) -> str:
    arguments: dict[str, Any] = {
        "job_name": "seeds and sizes", "task_command": ["python", "-m", "simplexity.execute_run"],
        "sweep_folder": Path("/data/it's mine/sweep"), "script_path": Path("/data/it's mine/sweep/array_1001.sh"),
        "working_folder": Path("/home/me/$x"), "array": ArraySlice(1001, (0, 1, 2, 5)), "parallelism": 2,
        "profile": ClusterProfile(**PROFILE),
    }  # fmt: skip
    return batch_script(**arguments | changes)


def test_the_text():
    """After a deliberate change: write `script()` to the golden file, and read the difference."""
    text = script()
    assert CONTRACT.read_text() in text
    assert text.replace(CONTRACT.read_text(), "(the contract)\n") == GOLDEN.read_text()


def test_it_is_bash():
    assert subprocess.run(["bash", "-n"], input=script(), text=True, capture_output=True).stderr == ""


def test_a_single_process_takes_no_options_for_several():
    text = script(profile=ClusterProfile(**{**PROFILE, "nodes": 1, "tasks_per_node": 1}))
    assert "srun --mpi=none --export=ALL --cpus-per-task=4 python" in text


def test_what_is_not_asked_for_is_left_to_the_cluster():
    none: dict[str, Any] = dict.fromkeys(
        ["partition", "account", "qos", "constraint", "gpus_per_node", "memory", "scratch_folder"]
    )
    text = script(profile=ClusterProfile(**{**PROFILE, **none}))
    assert not any(f"--{word}" in text for word in ("partition", "account", "qos", "constraint", "gpus", "mem"))
    assert "TMPDIR" not in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweep_folder": Path("sweep")}, "`sweep_folder` must be absolute, got sweep"),
        ({"array": ArraySlice(0, ())}, "`task_command` and `array` must not be empty"),
        ({"task_command": []}, "`task_command` and `array` must not be empty"),
    ],
)
def test_mistakes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        script(**changes)


def test_a_worker_is_told_its_place_and_notes_down_what_killed_it(tmp_path):
    folder = tmp_path / "it's mine"
    (folder / "sweep/workers").mkdir(parents=True)
    text = script(
        sweep_folder=folder, script_path=folder / "array_1.sh", array=ArraySlice(0, (0, 1, 2)), has_workers=True
    )
    assert text.endswith('python -m simplexity.execute_run "${TASK[@]}"\n')
    asks = 'echo "{\\"run\\":4}" >"${RECORDS[0]}"; note_deaths 137; printf "%s\n" "$LOG" "${TASK[@]}"'
    head = text.partition("\nmkdir ")[0]
    done = subprocess.run(
        ["bash"],
        input=f"{head}\n{asks}\n",
        text=True,
        capture_output=True,
        env={"SLURM_ARRAY_TASK_ID": "2", "PATH": PATH},
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"{folder}/logs/array_1_2", "--place", "array_1/2/3", str(folder)]
    record = (folder / "sweep/workers/array_1_2.jsonl").read_text()
    assert record == '{"run":4}\n{"died":"its process was killed by SIGKILL"}\n'
