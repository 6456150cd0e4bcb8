"""CLUSTER.toml: where the workers of a batch are, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from medseg.errors import MedsegError

if TYPE_CHECKING:
    from distributed.security import Security


class Tls(BaseModel):
    """Files of one certificate authority, and a certificate of it with its key, as PEM."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca_file: str
    certificate: str
    key: str


class _Cluster(BaseModel):
    """`wait_s` is how long there may be no worker: those of a queue come when it is their turn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tls: Tls | None = None
    wait_s: float = Field(default=110.0, gt=0)

    def security(self) -> Security | None:
        """What Dask wants to know for TLS; None without `[tls]`: then Dask's configuration."""
        if self.tls is None:
            return None
        from distributed.security import Security

        files = {"cert": self.tls.certificate, "key": self.tls.key}
        return Security(
            tls_ca_file=self.tls.ca_file,
            require_encryption=True,
            **{
                f"tls_{role}_{what}": path
                for role in ("client", "scheduler", "worker")
                for what, path in files.items()
            },
        )


class Local(_Cluster):
    """Processes on this machine."""

    kind: Literal["local"] = "local"
    workers: int = Field(default=1, ge=1)


class Running(_Cluster):
    """A scheduler that somebody else started: `tcp://`, `tls://`, or its file."""

    kind: Literal["running"] = "running"
    address: str


class Ssh(_Cluster):
    """Workers on hosts that SSH reaches; the scheduler runs on the first unless said."""

    kind: Literal["ssh"]
    hosts: Annotated[Sequence[str], Field(min_length=1)]
    scheduler: str = ""
    workers_per_host: int = Field(default=1, ge=1)
    python: str = ""
    connect: Mapping[str, Any] = {}

    @property
    def workers(self) -> int:
        """On all hosts."""
        return len(self.hosts) * self.workers_per_host

    def tls_settings(self) -> dict[str, Any]:
        """Dask's settings that say the same as `security`; none without `[tls]`."""
        if self.tls is None:
            return {}
        files = {"cert": self.tls.certificate, "key": self.tls.key}
        return {
            "distributed.comm.require-encryption": True,
            "distributed.comm.tls.ca-file": self.tls.ca_file,
            **{
                f"distributed.comm.tls.{role}.{what}": path
                for role in ("client", "scheduler", "worker")
                for what, path in files.items()
            },
        }


class Slurm(_Cluster):
    """Jobs of SLURM, one worker each."""

    kind: Literal["slurm"]
    wait_s: float = Field(default=86_400.0, gt=0)
    workers: int = Field(ge=1)
    memory: str
    cores: int = Field(default=1, ge=1)
    queue: str | None = None
    account: str | None = None
    walltime: str | None = None
    interface: str | None = None
    local_directory: str | None = None
    shared_temp_directory: str | None = None
    python: str = ""
    directives: Sequence[str] = ()
    prologue: Sequence[str] = ()
    worker_arguments: Sequence[str] = ()


class Kubernetes(_Cluster):
    """Pods that the operator of dask-kubernetes makes; `spec` is a whole DaskCluster."""

    kind: Literal["kubernetes"]
    wait_s: float = Field(default=900.0, gt=0)
    workers: int = Field(ge=1)
    image: str
    namespace: str | None = None
    spec: Mapping[str, Any] = {}


ClusterFile = Local | Running | Ssh | Slurm | Kubernetes
_ANY: TypeAdapter[ClusterFile] = TypeAdapter(Annotated[ClusterFile, Field(discriminator="kind")])


def read_cluster(path: Path) -> ClusterFile:
    """The cluster that a CLUSTER.toml describes.

    Raises MedsegError `cluster-invalid` with what is wrong.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
        return _ANY.validate_python(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "kind"
        detail = f"{place}: {first['msg']}"
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        detail = error.strerror or "" if isinstance(error, OSError) else str(error)
    raise MedsegError("cluster-invalid", path.name, detail, "mend the file (docs: batch)")
