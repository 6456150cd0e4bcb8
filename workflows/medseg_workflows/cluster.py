"""Where a batch runs: a cluster that is made for it, or a scheduler that runs already."""

from __future__ import annotations

import ipaddress
import logging
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from medseg import __version__
from medseg.errors import MedsegError, MissingExtraError
from medseg_workflows.cluster_file import ClusterFile, Kubernetes, Local, Running, Slurm, Ssh

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

_SETTINGS: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 10_000,  # attempts are counted in OUT
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.http.routes": [],  # no page shows keys, not even without a dashboard
    "distributed.worker.http.routes": [],
    "distributed.scheduler.no-workers-timeout": None,  # the run watches that itself
    "distributed.comm.timeouts.connect": "60s",
    "distributed.deploy.lost-worker-timeout": "1 hour",  # one that restarts is not lost
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.interval": "5s",  # nobody looks at what Dask measures:
    "distributed.admin.tick.interval": "500ms",  # its cores belong to the studies
    "distributed.worker.profile.enabled": False,
}
_SUBJECT = "Dask"
CONNECT_S = 60.0
"""How long a scheduler may take to answer for the first time."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A client of a cluster; `own` where the cluster was made for this run.

    `workers` is how many there should be, 0 where nobody said. `revive`, called now and then,
    starts workers again that nobody else does.
    """

    client: Client
    own: bool
    workers: int
    revive: Callable[[], None] = lambda: None


@contextmanager
def connected(wanted: ClusterFile, out: Path, *, insecure: bool) -> Iterator[Connected]:
    """Start or find the cluster, and leave or stop it at the end.

    Raises MedsegError: `scheduler-insecure` for one on the network without TLS unless `insecure`,
    `scheduler-missing`, `extra-missing`, `cluster-failed`.
    """
    try:
        import dask.config
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("batch", "medseg batch") from error
    own_places = {"temporary-directory": str(out / "tmp")}
    with dask.config.set(_SETTINGS | own_places), _silent():
        if isinstance(wanted, Running):
            require_closed(wanted, insecure=insecure)
            with _client(Client, wanted.address, wanted.security()) as client:
                yield Connected(client, own=False, workers=0)
            return
        with _made(wanted, out) as cluster:
            refuse_open(str(cluster.scheduler_address), insecure=insecure)
            with _client(Client, cluster, None) as client:
                revive = reviver(cluster) if isinstance(wanted, Local) else lambda: None
                yield Connected(client, own=True, workers=wanted.workers, revive=revive)


def require_closed(wanted: ClusterFile, *, insecure: bool) -> None:
    """Refuse a scheduler that is open, or would be, before anything is done; see `refuse_open`.

    Raises MedsegError `scheduler-insecure`.
    """
    if isinstance(wanted, Running):
        refuse_open(wanted.address, insecure=insecure)
    elif isinstance(wanted, Ssh) and wanted.tls is None and not _dask_encrypts():
        refuse_open(f"tcp://{wanted.scheduler or wanted.hosts[0]}", insecure=insecure)


def require_cluster(wanted: ClusterFile, *, insecure: bool) -> None:
    """See that what makes the cluster is installed, and that a scheduler is not open and answers.

    Raises MedsegError `scheduler-insecure`, `scheduler-missing`, `extra-missing`.
    """
    if type(wanted) in _NEEDED:
        _needed(wanted)
    require_closed(wanted, insecure=insecure)
    if not isinstance(wanted, Running):
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtraError("batch", "medseg batch") from error
    with _silent(), _client(Client, wanted.address, wanted.security()):
        return


def refuse_open(address: str, *, insecure: bool) -> None:
    """Refuse a scheduler that listens on the network without TLS: who reaches it can run code.

    Raises MedsegError `scheduler-insecure`.
    """
    if insecure or address.endswith(".json") or not address.startswith("tcp://"):
        return
    host = urlsplit(address).hostname or ""
    with suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise MedsegError(
        "scheduler-insecure",
        _SUBJECT,
        "the scheduler is on the network without TLS, and whoever reaches it can run code",
        "use tls://, or add --insecure on a network where nobody else is",
    )


def require_same(client: Client, out: Path, root: Path) -> None:
    """See that every worker has this medseg, OUT and the folder of studies under their paths.

    Raises MedsegError `version-other`, `path-not-shared`.
    """
    token = secrets.token_hex(16)
    probe = out / "tmp" / f"probe.{token}"
    probe.write_text(token, encoding="ascii")
    try:
        said = client.run(look_around, str(probe), str(root))
    except Exception as error:
        detail = f"a worker cannot load medseg ({type(error).__name__})"
        remedy = f"install medseg {__version__} with the extra batch on every worker"
        raise MedsegError("version-other", _SUBJECT, detail, remedy) from error
    finally:
        probe.unlink(missing_ok=True)
    for version, found, there in said.values():
        if version != __version__:
            detail = f"a worker has medseg {version}, this is {__version__}"
            raise MedsegError("version-other", _SUBJECT, detail, "install the same version")
        if found != token or not there:
            what = "the folder of studies" if found == token else "OUT"
            detail = f"{what} is not there, under the same path, on every worker"
            raise MedsegError("path-not-shared", _SUBJECT, detail, "put it on a shared disk")


def look_around(probe: str, root: str) -> tuple[str, str, bool]:
    """The version of medseg here, what a file holds, and whether a folder or file is there."""
    try:
        found = Path(probe).read_text(encoding="ascii")
    except OSError:
        found = ""
    return __version__, found, has_entries(Path(root))


def has_entries(root: Path) -> bool:
    """Whether a folder of studies is there: where its disk is missing its place may be, empty."""
    try:
        return root.is_file() or next(root.iterdir(), None) is not None
    except OSError:
        return False


@contextmanager
def _made(wanted: Local | Ssh | Slurm | Kubernetes, out: Path) -> Iterator[Any]:
    kinds = {"local": _local, "ssh": _ssh, "slurm": _slurm, "kubernetes": _kubernetes}
    try:
        cluster = kinds[wanted.kind](wanted, out)
    except (MedsegError, KeyboardInterrupt):
        raise
    except Exception as error:
        detail = f"the cluster does not start ({type(error).__name__})"
        raise MedsegError("cluster-failed", _SUBJECT, detail, "run with --debug") from error
    try:
        yield cluster
    finally:
        with suppress(Exception):  # what is left of it ends with this process
            cluster.close(timeout=10)


def _local(wanted: Any, out: Path) -> Any:
    from distributed import LocalCluster

    folder = out / "tmp" / "dask"
    folder.mkdir(mode=0o700, exist_ok=True)
    return LocalCluster(
        n_workers=wanted.workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,  # the child has a limit; the worker holds nothing
        dashboard_address="127.0.0.1:0",
        scheduler_kwargs={"dashboard": False},
        worker_dashboard_address="127.0.0.1:0",
        preload="medseg_workflows.deaf",
        host="127.0.0.1",
        protocol="tls://",  # else anyone on this machine could run code as this user
        security=_temporary(),
        local_directory=str(folder),
        silence_logs=logging.CRITICAL,
    )


def _dask_encrypts() -> bool:
    """Whether Dask's own configuration asks for TLS, which an SSH cluster without `[tls]` takes."""
    try:
        import dask.config
        import distributed
    except ImportError as error:
        raise MissingExtraError("batch", "medseg batch") from error
    del distributed  # brings the defaults of its part of the configuration
    return bool(dask.config.get("distributed.comm.require-encryption"))


def _temporary() -> Security:
    """Certificates that live as long as this process."""
    from distributed.security import Security

    try:
        made: Security = Security.temporary()
    except ImportError as error:
        raise MissingExtraError("batch", "TLS between workers") from error
    return made


def _ssh(wanted: Any, _: Path) -> Any:
    import dask.config
    from distributed import SSHCluster

    _needed(wanted)
    tls = {} if wanted.tls is None else {"protocol": "tls://"}
    workers = {"nthreads": 1, "n_workers": wanted.workers_per_host, "memory_limit": 0}
    with dask.config.set(wanted.tls_settings()):  # hosts get the settings, and no `security`
        return SSHCluster(
            [wanted.scheduler or wanted.hosts[0], *wanted.hosts],
            connect_options=dict(wanted.connect),
            worker_options=workers | tls,
            scheduler_options={"dashboard": False} | tls,
            remote_python=wanted.python or sys.executable,
            security=wanted.security(),
        )


def _slurm(wanted: Any, out: Path) -> Any:
    cluster = _needed(wanted).SLURMCluster(
        queue=wanted.queue,
        account=wanted.account,
        cores=1,
        processes=1,
        memory=wanted.memory,
        walltime=wanted.walltime,
        interface=wanted.interface,
        job_cpu=wanted.cores,
        job_extra_directives=list(wanted.directives),
        job_script_prologue=list(wanted.prologue),
        local_directory=wanted.local_directory,
        worker_extra_args=list(wanted.worker_arguments),
        python=wanted.python or sys.executable,
        scheduler_options={"dashboard": False, "dashboard_address": None},
        protocol="tls://",
        security=wanted.security() or _temporary(),
        shared_temp_directory=wanted.shared_temp_directory or str(out / "tmp"),  # of keys for TLS
    )
    cluster.scale(wanted.workers)
    return cluster


def _kubernetes(wanted: Any, _: Path) -> Any:
    return _needed(wanted).KubeCluster(
        name=f"medseg-{secrets.token_hex(4)}",
        namespace=wanted.namespace,
        image=wanted.image,
        n_workers=wanted.workers,
        custom_cluster_spec=wanted.spec or None,
        worker_command=["dask", "worker", "--nthreads", "1", "--no-dashboard"],
    )


_NEEDED: dict[type, tuple[str, str, str]] = {
    Ssh: ("asyncssh", "an SSH cluster", "asyncssh"),
    Slurm: ("dask_jobqueue", "a SLURM cluster", "dask-jobqueue"),
    Kubernetes: ("dask_kubernetes.operator", "a Kubernetes cluster", "dask-kubernetes"),
}


def _needed(wanted: ClusterFile) -> Any:
    """The module that makes such a cluster; MedsegError `extra-missing` where it is not there."""
    module, feature, package = _NEEDED[type(wanted)]
    try:
        return import_module(module)
    except ImportError as error:
        detail, remedy = f"{feature} needs {package}", f"pip install {package}"
        raise MedsegError("extra-missing", "medseg batch", detail, remedy) from error


def reviver(cluster: Any) -> Callable[[], None]:
    """Starts workers of a local cluster again whose nanny gave up, as seen at two calls in a row.

    distributed 2026.8 does not where one is killed while it starts.
    """
    before: frozenset[str] = frozenset()

    def revive() -> None:
        nonlocal before
        gone = frozenset(name for name, one in cluster.workers.items() if not one.is_alive())
        for name in gone & before:
            nanny = cluster.workers[name]
            if nanny.status.name in ("closed", "failed"):
                del cluster.workers[name]
            else:
                cluster.loop.add_callback(nanny.restart, 30, "its process is gone")
        cluster.scale(len(cluster.worker_spec))  # makes those that are missing
        before = gone - before

    return revive


@contextmanager
def _client(make: Any, place: Any, security: Security | None) -> Iterator[Client]:
    given = {"scheduler_file": place} if str(place).endswith(".json") else {"address": place}
    if isinstance(place, str) and security is not None:
        given["security"] = security
    try:
        client = make(**given, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, RuntimeError) as error:
        detail = f"no scheduler answers there ({type(error).__name__})"
        remedy = "see that it runs, and that its certificates are those given"
        raise MedsegError("scheduler-missing", _SUBJECT, detail, remedy) from error
    try:
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=10)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep Dask's loggers still: they quote keys and arguments, and what ends is told once."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
