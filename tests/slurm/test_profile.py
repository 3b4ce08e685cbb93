"""That what a profile asks for is what a job on a real SLURM gets."""

import json

import pytest

pytestmark = pytest.mark.slurm


def test_every_key_arrives(dev_cluster, tmp_path):
    cluster = dev_cluster("--preempt-mode=requeue")
    cluster.slurm("scontrol", "update", "NodeName=n2", "AvailableFeatures=a100", "ActiveFeatures=a100")
    sweep = cluster.sweep(
        tmp_path / "sweep",
        1,
        partition="high", account="my_group", constraint="a100", cpus_per_task=2, memory="150M",
        time_limit_minutes=17, signal_lead_s=77, sbatch_options={"nice": "5", "no-kill": ""},
        setup=["export FROM_SETUP=\"$TMPDIR, $ODD\"", f"env >{tmp_path}/environment"],
        environment={"ODD": "it's $HOME"}, scratch_folder=f"{tmp_path}/scratch of mine", cache_folder="/shared/cache",
        work={"steps": 5},
    )  # fmt: skip
    sweep.wait_for_end()
    record = cluster.slurm("scontrol", "--oneliner", "show", "job", f"{sweep.job_id}_0")
    for field in (
        "Partition=high", "Account=my_group", "Features=a100", "NodeList=n2", "CPUs/Task=2", "MinMemoryNode=150M",
        "TimeLimit=00:17:00", "Nice=5", "Requeue=1", "NumNodes=1",
    ):  # fmt: skip
        assert f" {field} " in record
    lines = (tmp_path / "environment").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    assert environment["ODD"] == "it's $HOME"
    assert environment["TMPDIR"] == f"{tmp_path}/scratch of mine"
    assert environment["FROM_SETUP"] == f"{tmp_path}/scratch of mine, it's $HOME"
    assert environment["SIMPLEXITY_CACHE"] == "/shared/cache"
    assert (tmp_path / "scratch of mine").is_dir()
    assert json.loads(sweep.lines(0, "arguments")[0])[-1] == "0"
