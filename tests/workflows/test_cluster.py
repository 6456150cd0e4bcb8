"""Clusters: what is refused, what a file may say, and a scheduler with TLS for real."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from batch_runs import QUICK, jobs_of, nothing_left, run_all, states
from medseg_workflows import cluster
from medseg_workflows.cluster import refuse_open
from medseg_workflows.cluster_file import Kubernetes, Local, Running, Slurm, Ssh, read_cluster
from medseg_workflows.options import chosen_cluster

from medseg.errors import MedsegError

READY_S = 60.0


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:8786", "tcp://localhost:8786", "tcp://[::1]:8786", "tls://10.0.0.7:8786"],
)
def test_a_scheduler_that_nobody_else_reaches_or_with_tls_is_taken(address: str) -> None:
    refuse_open(address, insecure=False)


@pytest.mark.parametrize("address", ["tcp://10.0.0.7:8786", "tcp://dask.example.org:8786"])
def test_a_scheduler_on_the_network_without_tls_is_refused(address: str) -> None:
    with pytest.raises(MedsegError, match=r"whoever reaches it can run code.*--insecure"):
        refuse_open(address, insecure=False)
    refuse_open(address, insecure=True)


def write_cluster(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "CLUSTER.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('kind = "local"\nworkers = 3', Local),
        ('kind = "running"\naddress = "tls://dask:8786"', Running),
        ('kind = "ssh"\nhosts = ["node1", "node2"]\nworkers_per_host = 2', Ssh),
        ('kind = "slurm"\nworkers = 8\nmemory = "16GB"\nqueue = "gpu"', Slurm),
        ('kind = "kubernetes"\nworkers = 4\nimage = "medseg:0.1"', Kubernetes),
    ],
)
def test_a_file_says_where_a_batch_runs(tmp_path: Path, text: str, kind: type) -> None:
    assert isinstance(read_cluster(write_cluster(tmp_path, text)), kind)


def test_workers_of_ssh_are_those_of_all_hosts(tmp_path: Path) -> None:
    text = 'kind = "ssh"\nhosts = ["node1", "node2"]\nworkers_per_host = 3'
    found = read_cluster(write_cluster(tmp_path, text))
    assert isinstance(found, Ssh) and found.workers == 6


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("kind = 'cloud'", "kind"),
        ("kind = 'local'\nworkers = 0", "workers"),
        ("kind = 'local'\nworker = 2", "worker"),
        ("kind = 'slurm'\nworkers = 2", "memory"),
        ("kind = 'running'\naddress = 'x'\n[tls]\nca_file = 'ca.pem'", "tls.certificate"),
        ("kind = ", "Invalid value"),
    ],
)
def test_a_file_with_faults_is_refused_with_the_place(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(MedsegError, match=f"CLUSTER.toml: .*{what}"):
        read_cluster(write_cluster(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MedsegError, match="cluster-invalid"):
        read_cluster(tmp_path / "CLUSTER.toml")


def test_as_many_workers_as_are_said_or_fit() -> None:
    assert chosen_cluster(3, None, None, memory_mb=None) == Local(workers=3)
    everything = psutil.virtual_memory().total / 2**20
    assert chosen_cluster(None, None, None, memory_mb=2 * everything) == Local(workers=1)


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ('kind = "ssh"\nhosts = ["node1"]', "asyncssh"),
        ('kind = "slurm"\nworkers = 1\nmemory = "1GB"', "dask-jobqueue"),
        ('kind = "kubernetes"\nworkers = 1\nimage = "medseg"', "dask-kubernetes"),
    ],
)
def test_a_package_that_a_cluster_needs_is_named(
    tmp_path: Path, text: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(cluster, "import_module", absent)
    options = replace(QUICK, cluster=read_cluster(write_cluster(tmp_path, text)))
    with pytest.raises(MedsegError, match=f"pip install {package}"):
        run_all(tmp_path / "root", tmp_path / "out", jobs_of("fine"), options)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def process(words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed at the end, with its children."""
    command = [sys.executable, "-m", *words]
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=dict(os.environ)) as one:
        try:
            yield one
        finally:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(one.pid).children(recursive=True):
                    child.kill()
            one.kill()


def scheduler(stack: ExitStack, port: int, *words: str) -> subprocess.Popen[bytes]:
    one = stack.enter_context(
        process(["distributed.cli.dask_scheduler", "--port", str(port), "--no-dashboard", *words])
    )
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return one
        time.sleep(0.05)
    pytest.fail("the scheduler does not start")


def worker(stack: ExitStack, address: str, *words: str) -> subprocess.Popen[bytes]:
    threads = ["--nthreads", "1", "--no-dashboard", "--memory-limit", "0"]
    return stack.enter_context(process(["distributed.cli.dask_worker", address, *threads, *words]))


def certificates(folder: Path) -> dict[str, Path]:
    """A certificate that is its own authority, with its key, as PEM files."""
    from distributed.security import Security

    made = Security.temporary()
    texts = {"ca_file": made.tls_ca_file, "certificate": made.tls_client_cert}
    found = {}
    for name, text in {**texts, "key": made.tls_client_key}.items():
        found[name] = folder / f"{name}.pem"
        found[name].write_text(str(text))
    return found


def test_a_scheduler_with_tls_and_two_workers_does_a_batch(tmp_path: Path) -> None:
    files, port = certificates(tmp_path), free_port()
    address = f"tls://127.0.0.1:{port}"
    tls = ["--protocol", "tls", "--tls-ca-file", str(files["ca_file"])]
    tls += ["--tls-cert", str(files["certificate"]), "--tls-key", str(files["key"])]
    lines = [f'{name} = "{path}"' for name, path in files.items()]
    text = "\n".join(['kind = "running"', f'address = "{address}"', "[tls]", *lines])
    options = replace(QUICK, cluster=read_cluster(write_cluster(tmp_path, text)))
    with ExitStack() as stack:
        scheduler(stack, port, *tls, "--host", "127.0.0.1")
        for _ in range(2):
            worker(stack, address, *tls)
        run_all(tmp_path / "root", tmp_path / "out", jobs_of(*["fine"] * 6, "refuse"), options)
        done, failed = states(tmp_path / "out")
        assert len(done) == 6 and list(failed.values()) == ["missing-slices"]
        assert nothing_left(workers=False)  # children end with the run, workers stay
        plain = replace(options, cluster=Running(address=f"tcp://127.0.0.1:{port}"))
        with pytest.raises(MedsegError, match="no scheduler answers"):
            run_all(tmp_path / "root", tmp_path / "b", jobs_of("fine"), plain)


def test_workers_that_come_late_are_waited_for(tmp_path: Path) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    options = replace(QUICK, cluster=Running(address=address, wait_s=60))
    with ExitStack() as stack:
        scheduler(stack, port, "--host", "127.0.0.1")
        slow = tmp_path / "slow_preload.py"
        slow.write_text("import time\ntime.sleep(3)\n")
        worker(stack, address, "--preload", str(slow))
        run_all(tmp_path / "root", tmp_path / "out", jobs_of("fine", "fine"), options)
    assert len(states(tmp_path / "out")[0]) == 2


def test_without_any_worker_a_batch_ends_with_an_error(tmp_path: Path) -> None:
    assert Running(address="tcp://127.0.0.1:1").wait_s < 120
    port = free_port()
    options = replace(QUICK, cluster=Running(address=f"tcp://127.0.0.1:{port}", wait_s=1.0))
    with ExitStack() as stack:
        scheduler(stack, port, "--host", "127.0.0.1")
        with pytest.raises(MedsegError, match="no worker for 1 s.*start workers"):
            run_all(tmp_path / "root", tmp_path / "out", jobs_of("fine"), options)


def test_a_scheduler_that_goes_away_ends_the_batch_which_then_goes_on(tmp_path: Path) -> None:
    root, out, port = tmp_path / "root", tmp_path / "out", free_port()
    options = replace(QUICK, cluster=Running(address=f"tcp://127.0.0.1:{port}", wait_s=60))
    jobs = jobs_of("fine", *["killscheduler"] * 3, "fine")
    with ExitStack() as stack:
        one = scheduler(stack, port, "--host", "127.0.0.1")
        os.environ["CHAOS_SCHEDULER"] = str(one.pid)
        stack.callback(os.environ.pop, "CHAOS_SCHEDULER")
        worker(stack, f"tcp://127.0.0.1:{port}")
        with pytest.raises(MedsegError, match="scheduler-gone.*the same command goes on"):
            run_all(root, out, jobs, options)
    done, failed = states(out)
    assert len(done) < 5 and not failed
    run_all(root, out, jobs, QUICK)
    assert len(states(out)[0]) == 5
    assert nothing_left()
