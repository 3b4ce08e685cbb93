"""What a process of several says before it connects to the others."""

import socket

from simplexity.host import PreemptionGuard
from simplexity.running._processes import in_all_tasks


def test_a_machine_whose_name_has_no_address_says_so(monkeypatch, capfd):
    step = {"NUM_TASKS": "2", "NUM_NODES": "1", "ID": "0", "NODELIST": "n1", "TASKS_PER_NODE": "2"}
    variables = {f"SLURM_STEP_{name}": value for name, value in step.items()}
    variables |= {"SLURM_JOB_ID": "7", "SLURM_NODEID": "0", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "gethostname", lambda: "n1")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert in_all_tasks(lambda: 0, PreemptionGuard()) == 1
    assert capfd.readouterr().err == (
        "no address is known for this machine's name, n1 (Name or service not known), and the processes of a run "
        "connect by it: add it to /etc/hosts\n"
    )
