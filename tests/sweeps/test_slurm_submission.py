"""Submissions that SLURM refuses, by an sbatch that does as a test wants."""

from dataclasses import replace

import pytest

from simplexity.cluster import SlurmError, SubmissionLimits
from simplexity.host import PreemptionGuard
from simplexity.sweeps import _scheduler_state, _slurm_submission, _worker_submission, num_workers, retry, submit_runs
from simplexity.sweeps._launch_settings import launch_from_json, launch_to_json

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
TOO_MANY = SlurmError(f"`sbatch` failed: sbatch: error: AssocMaxSubmitJobLimit sbatch: error: {POLICY}")
TOO_LONG = SlurmError(f"`sbatch` failed: sbatch: error: QOSMaxWallDurationPerJobLimit sbatch: error: {POLICY}")


@pytest.fixture
def sbatch(monkeypatch):
    """Answers of the next submissions: a job id, or an error to raise."""
    answers = []

    def submit(script):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(_slurm_submission, "submit", submit)
    monkeypatch.setattr(_slurm_submission, "slurm_is_installed", lambda: True)
    monkeypatch.setattr(_slurm_submission, "cluster_configuration", lambda: {"MaxArraySize": "2"})
    monkeypatch.setattr(_scheduler_state, "queued_tasks", lambda jobs: {})
    return answers


def test_a_refused_array_says_what_was_submitted_before_and_how_to_go_on(make_sweep, slurm_launch, sbatch):
    sweep = make_sweep(*[{}] * 5, launch=slurm_launch())
    sbatch += ["7", TOO_MANY]
    with pytest.raises(SlurmError) as caught:
        submit_runs(sweep, sweep.read_manifest(), range(5))
    assert "; the same command with hydra.launcher.workers=auto submits as many" in str(caught.value)
    assert "`cluster." not in str(caught.value)
    assert "2 of 5 runs were submitted before that, as 7; for the others: simplexity retry " in str(caught.value)
    assert [submission.indices for submission in sweep.read_submissions()] == [(0, 1)]


@pytest.mark.parametrize(
    ("said", "profile", "keys"),
    [
        ("Invalid generic resource (gres) specification", {"gpus_per_node": 2}, "`cluster.gpus_per_node`=2, null"),
        ("Invalid generic resource (gres) specification", {"gres": "gpu:a100:1"}, "`cluster.gres`=gpu:a100:1, null"),
        ("invalid partition specified: nope", {"partition": "nope"}, "`cluster.partition`=nope or choose"),
        ("Invalid account or account/partition combination", {"account": "x"}, "`cluster.account`=x"),
        ("Invalid qos specification", {"qos": "long"}, "`cluster.qos`=long"),
        ("Invalid feature specification", {"constraint": "a100"}, "`cluster.constraint`=a100"),
        ("Memory specification can not be satisfied", {"memory": "9T"}, "`cluster.memory`=9T"),
        ("Requested node configuration is not available", {"cpus_per_task": 99}, "`cluster.cpus_per_task`=99"),
        ("Requested time limit is invalid", {"time_limit_minutes": 99}, "`cluster.time_limit_minutes`=99"),
    ],
)
def test_a_refusal_names_the_key_to_change(make_sweep, slurm_launch, sbatch, said, profile, keys):
    sweep = make_sweep({}, launch=slurm_launch(**profile))
    sbatch.append(SlurmError(f"`sbatch` failed: sbatch: error: {said}"))
    with pytest.raises(SlurmError) as caught:
        submit_runs(sweep, sweep.read_manifest(), [0])
    assert said in str(caught.value)
    assert "; change `cluster." in str(caught.value)
    assert keys in str(caught.value)


def test_a_refused_retry_lists_nothing_as_started(make_sweep, slurm_launch, sbatch, capfd):
    sweep = make_sweep({}, {}, launch=slurm_launch())
    sbatch += [SlurmError("`sbatch` failed: no"), "8"]
    again = {"failed": True, "missing": True, "changed_image": False}
    with PreemptionGuard() as guard, pytest.raises(SlurmError):
        retry(sweep, guard, **again)
    assert capfd.readouterr().out == ""
    sbatch[:] = ["8"]
    with PreemptionGuard() as guard:
        retry(sweep, guard, **again)
    assert capfd.readouterr().out.splitlines()[:2] == ["again: #0 seed=0", "again: #1 seed=1"]


@pytest.fixture
def limits(monkeypatch):
    """Sets what SLURM says of its limits."""

    def allow(**fields):
        monkeypatch.setattr(_worker_submission, "submission_limits", lambda profile: SubmissionLimits(**fields))

    allow()
    return allow


@pytest.fixture
def sbatch_of_workers(sbatch, monkeypatch):
    monkeypatch.setattr(_worker_submission, "submit", _slurm_submission.submit)
    return sbatch


@pytest.mark.parametrize(
    ("workers", "parallelism", "steps", "limits", "number"),
    [
        (3, None, 4, {}, 3),
        (9, None, 4, {}, 6),
        (6, None, 4, {"max_array_size": 4}, 4),
        (6, None, 4, {"max_array_size": 4, "max_jobs": 2}, 2),
        (6, None, 4, {"max_jobs": 0}, 1),
        ("auto", None, 4, {}, 1),
        ("auto", None, 10_000, {}, 2),
        ("auto", None, 1_000_000, {}, 6),
        ("auto", 4, 1_000_000, {}, 4),
        ("auto", None, 1_000_000, {"max_jobs": 5}, 5),
    ],
)
def test_as_many_workers_as_are_allowed_and_worth_it(
    make_sweep, slurm_launch, workers, parallelism, steps, limits, number
):
    launch = replace(slurm_launch(), workers=workers, array_parallelism=parallelism)
    runs = make_sweep(*[{"steps": steps}] * 6, launch=launch).read_manifest().runs
    assert num_workers(launch, runs, SubmissionLimits(**limits)) == number


@pytest.mark.parametrize(
    ("workers", "limits", "number"), [(3, {}, 2), (1, {}, 1), ("auto", {}, 2), ("auto", {"max_jobs": 1}, 1)]
)
def test_workers_that_share_a_gpu_need_fewer_tasks(make_sweep, slurm_launch, workers, limits, number):
    profile = replace(slurm_launch(gres="gpu:a100:1").profile, tasks_per_gpu=4)
    launch = replace(slurm_launch(), workers=workers, profile=profile)
    runs = make_sweep(*[{"steps": 1_000_000}] * 6, launch=launch).read_manifest().runs
    assert num_workers(launch, runs, SubmissionLimits(**limits)) == number


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workers": None}, "`workers` must be a number or auto with `cluster.tasks_per_gpu`=2"),
        ({"workers": 2, "on_failure": "stop"}, "`on_failure` must be continue with `cluster.tasks_per_gpu`=2"),
    ],
)
def test_what_cannot_share_a_gpu_is_refused(slurm_launch, changes, message):
    profile = replace(slurm_launch(gpus_per_node=1).profile, tasks_per_gpu=2)
    with pytest.raises(ValueError, match=message):
        replace(slurm_launch(), profile=profile, **changes)


def test_a_submission_that_slurm_refuses_is_halved(make_sweep, slurm_launch, sbatch_of_workers, limits, caplog):
    sweep = make_sweep(*[{}] * 6, launch=replace(slurm_launch(), workers=5))
    sbatch_of_workers += [TOO_MANY, SlurmError(f"`sbatch` failed: {POLICY}"), "7"]
    assert submit_runs(sweep, sweep.read_manifest(), range(6)) == ["7"]
    (submission,) = sweep.read_submissions()
    assert (submission.indices, submission.num_workers) == ((0, 1, 2, 3, 4, 5), 1)
    assert "#SBATCH --array=0\n" in sweep.script_path(0).read_text()
    assert [record.getMessage()[-12:] for record in caplog.records] == ["submitting 2", "submitting 1"]
    assert submission.tasks(3) == ["7_0"]


@pytest.mark.parametrize(
    ("workers", "refusal", "remedy"),
    [
        ("auto", TOO_MANY, "; wait until some of your jobs have ended"),
        # Fewer workers would not be allowed either.
        (2, TOO_LONG, "; change `cluster.account`="),
    ],
)
def test_a_refusal_of_any_worker_is_an_error(
    make_sweep, slurm_launch, sbatch_of_workers, limits, workers, refusal, remedy
):
    sweep = make_sweep({}, {}, launch=replace(slurm_launch(), workers=workers))
    sbatch_of_workers.append(refusal)
    with pytest.raises(SlurmError) as caught:
        submit_runs(sweep, sweep.read_manifest(), range(2))
    assert remedy in str(caught.value)
    assert sweep.read_submissions() == []


def test_runs_of_several_processes_have_no_workers(slurm_launch):
    with pytest.raises(ValueError, match="`workers` must be null where a run has several processes"):
        replace(slurm_launch(tasks_per_node=2), workers=3)


def test_a_manifest_from_before_there_were_workers_has_none(slurm_launch):
    record = launch_to_json(slurm_launch())
    del record["workers"]
    assert launch_from_json(record).workers is None
