import pytest

from simplexity.cluster._step_tasks import StepTasks, coordinator_port, first_host, step_tasks, tasks_on_node

# As a task of `srun --nodes=2 --ntasks-per-node=2` sees them on the second node.
STEP = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_LAUNCH_NODE_IPADDR": "10.1.2.3",
    "SLURM_NODEID": "1",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
}
PORT = 61440 + 77


def of(resolves=True, **changes) -> StepTasks | None:
    return step_tasks(STEP | changes, lambda host: resolves)


def test_process_0_is_on_the_first_node():
    assert of() == StepTasks(f"gpu07:{PORT}", f"[::]:{PORT}", num_processes=4, process_id=3, local_gpus=None)


def test_where_node_names_are_no_host_names_the_address_of_the_batch_script_is_taken():
    assert of(resolves=False).coordinator_address == f"10.1.2.3:{PORT}"


def test_on_one_node_no_other_machine_can_connect():
    tasks = of(SLURM_STEP_NUM_NODES="1", SLURM_STEP_NODELIST="gpu07", SLURM_STEP_TASKS_PER_NODE="4", SLURM_NODEID="0")
    assert (tasks.coordinator_address, tasks.bind_address) == (f"127.0.0.1:{PORT}", f"127.0.0.1:{PORT}")


@pytest.mark.parametrize(
    "environment",
    [
        {},
        STEP | {"SLURM_STEP_NUM_TASKS": "1"},
        # The batch script of a job with four tasks.
        {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": "gpu[07-08]"},
    ],
)
def test_a_process_alone_has_no_tasks(environment):
    assert step_tasks(environment) is None


@pytest.mark.parametrize(
    ("node_list", "first"),
    [
        ("n1", "n1"),
        ("n1,m[3-4]", "n1"),
        ("n[1-2]", "n1"),
        ("n[001,007-015],host2", "n001"),
        ("rack[2-3]n[07,09-12].site,login", "rack2n07.site"),
        ("n[3]-ib[0-1]", "n3-ib0"),
    ],
)
def test_first_host(node_list, first):
    assert first_host(node_list) == first


@pytest.mark.parametrize(("node", "tasks"), [(0, 2), (2, 2), (3, 1), (4, 5), (5, 5)])
def test_tasks_on_node(node, tasks):
    assert tasks_on_node("2(x3),1,5(x2)", node) == tasks


def test_jobs_and_their_restarts_do_not_share_a_port():
    incarnations = [(job, 0, restart) for job in range(50_000, 50_100) for restart in range(12)]
    ports = {coordinator_port(*incarnation) for incarnation in incarnations}
    assert len(ports) == len(incarnations)
    assert all(61440 <= port <= 65535 for port in ports)
    assert coordinator_port(7, 1, 0) not in {coordinator_port(job, 0, 0) for job in range(1, 100)}


@pytest.mark.parametrize(
    ("visible", "local_id", "own"),
    [
        ("0,1,2,3", "0", (0, 1)),
        ("0,1,2,3", "1", (2, 3)),
        ("4,6", "1", (1,)),
        ("GPU-8f,GPU-91", "0", (0,)),
        # Bound by SLURM, so that each task sees its own only; and none.
        ("2", "1", None),
        ("", "1", None),
    ],
)
def test_tasks_share_the_gpus_of_their_node(visible, local_id, own):
    assert of(CUDA_VISIBLE_DEVICES=visible, SLURM_LOCALID=local_id).local_gpus == own


def test_gpus_that_cannot_be_shared_are_refused():
    with pytest.raises(ValueError, match="2 tasks on a node cannot share its 3 GPUs evenly"):
        of(CUDA_VISIBLE_DEVICES="0,1,2")
