"""What clusters that nobody has at hand ask Dask for: workers, memory, TLS, and no dashboard."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.config
import pytest
from medseg_workflows import cluster
from medseg_workflows.cluster_file import Kubernetes, Slurm, Ssh

TLS = {"ca_file": "ca.pem", "certificate": "medseg.pem", "key": "medseg.key"}


class Asked(SimpleNamespace):
    """Stands in for a class of clusters: keeps what it is told."""

    def __init__(self, *hosts: Any, **given: Any) -> None:
        comm = deepcopy(dask.config.get("distributed.comm"))
        super().__init__(hosts=hosts, given=given, comm=comm, workers=None, closed=False)

    def scale(self, workers: int) -> None:
        self.workers = workers

    def close(self, **_: Any) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(SLURMCluster=Asked, KubeCluster=Asked)
    monkeypatch.setattr(cluster, "import_module", lambda _name: module)
    monkeypatch.setattr("distributed.SSHCluster", Asked)


def asked(wanted: Ssh | Slurm | Kubernetes, out: Path) -> Asked:
    with cluster._made(wanted, out) as made:
        assert not made.closed
    assert made.closed
    return made


def test_a_worker_of_slurm_is_a_job_of_one_process_with_tls(tmp_path: Path) -> None:
    wanted = Slurm(kind="slurm", workers=16, cores=2, memory="8GB", worker_arguments=["--x", "1"])
    made = asked(wanted, tmp_path)
    told = made.given
    assert made.workers == 16
    assert (told["processes"], told["cores"], told["job_cpu"], told["memory"]) == (1, 1, 2, "8GB")
    assert told["protocol"] == "tls://" and told["security"].require_encryption
    assert told["scheduler_options"]["dashboard"] is False
    assert told["worker_extra_args"] == ["--x", "1"]


def test_keys_of_slurm_lie_in_out_and_not_where_the_command_was_given(tmp_path: Path) -> None:
    made = asked(Slurm(kind="slurm", workers=1, memory="8GB"), tmp_path)
    assert made.given["shared_temp_directory"] == str(tmp_path / "tmp")
    said = Slurm(kind="slurm", workers=1, memory="8GB", shared_temp_directory="/shared")
    assert asked(said, tmp_path).given["shared_temp_directory"] == "/shared"


def test_pods_have_one_thread_and_no_dashboard(tmp_path: Path) -> None:
    made = asked(Kubernetes(kind="kubernetes", workers=8, image="medseg:1"), tmp_path)
    assert (made.given["n_workers"], made.given["image"]) == (8, "medseg:1")
    words = " ".join(made.given["worker_command"])
    assert "--nthreads 1" in words and "--no-dashboard" in words


def test_hosts_of_ssh_have_their_workers_and_the_first_the_scheduler(tmp_path: Path) -> None:
    wanted = Ssh(kind="ssh", hosts=["node1", "node2"], workers_per_host=4)
    made = asked(wanted, tmp_path)
    assert made.hosts == (["node1", "node1", "node2"],)
    worker, scheduler = made.given["worker_options"], made.given["scheduler_options"]
    assert (worker["nthreads"], worker["n_workers"]) == (1, 4)
    assert scheduler["dashboard"] is False
    assert "protocol" not in worker and made.given["security"] is None


def test_hosts_of_ssh_are_told_to_use_tls_and_where_its_files_are(tmp_path: Path) -> None:
    made = asked(Ssh(kind="ssh", hosts=["node1"], tls=TLS), tmp_path)
    for role in ("worker_options", "scheduler_options"):
        assert made.given[role]["protocol"] == "tls://"
    assert made.given["security"].require_encryption
    assert made.comm["require-encryption"] is True  # settings go to every host
    assert made.comm["tls"]["ca-file"] == "ca.pem"
    for role in ("client", "scheduler", "worker"):
        assert made.comm["tls"][role] == {"cert": "medseg.pem", "key": "medseg.key"}
    assert not dask.config.get("distributed.comm.require-encryption")
