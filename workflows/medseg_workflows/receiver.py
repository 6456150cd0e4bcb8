"""A DICOM receiver: what a scanner or an archive sends (C-STORE) becomes files in the inbox."""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import re
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from medseg.errors import MedsegError, OutputError
from medseg.io.atomic import atomic_path, writable_folder

if TYPE_CHECKING:
    from pynetdicom.events import Event
    from pynetdicom.transport import ThreadedAssociationServer

SUCCESS, NO_ROOM, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
"""Answers to C-STORE (PS3.4 B.2.3)."""

_LISTEN = re.compile(
    r"(?P<title>[^@\\]{1,16})@(?:(?P<host>\[[0-9a-fA-F:]+\]|[^:@]+):)?(?P<port>\d+)"
)
_STUDY, _INSTANCE = "StudyInstanceUID", "SOPInstanceUID"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where a receiver listens: its AE title, an address and a port (0: a free one)."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, words: str) -> Self:
        """`AE@PORT`, on this machine alone, or `AE@HOST:PORT`; ValueError for anything else."""
        found = _LISTEN.fullmatch(words)
        if found is None or not found["title"].strip():
            msg = f"wanted AE@PORT or AE@HOST:PORT, such as MEDSEG@11112; got {words!r}"
            raise ValueError(msg)
        if int(found["port"]) > 65535:
            msg = f"wanted AE@PORT with a port up to 65535; got {words!r}"
            raise ValueError(msg)
        host = (found["host"] or "127.0.0.1").strip("[]")
        return cls(found["title"].strip(), host, int(found["port"]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Receiver:
    """Takes what is sent to it into `inbox`, one folder a study, each file whole or not at all.

    The folders and files have names that stand for UIDs. `peers` are the AE titles that may send;
    none means all, which is refused where other machines can reach the address: an AE title is no
    password, so keep the port inside a network that is trusted.

    Raises MedsegError (`extra-missing` without pynetdicom, `port-taken`, `peers-missing`), and
    OutputError for an inbox that cannot be written to.
    """

    def __init__(self, inbox: Path, listen: Listen, peers: Sequence[str] = ()) -> None:
        if not listen.is_loopback and not peers:
            raise MedsegError(
                "peers-missing",
                "--listen",
                "other machines could send, and nothing says which may",
                "name the AE titles that may send with --from",
            )
        self._inbox = writable_folder(inbox)
        self._listen, self._peers = listen, tuple(peers)
        self._server: ThreadedAssociationServer | None = None
        self._lock = threading.Lock()
        self._open: dict[int, set[Path]] = defaultdict(set)

    @property
    def port(self) -> int:
        """The port that it listens on, once it does."""
        return 0 if self._server is None else int(self._server.server_address[1])

    def unfinished(self) -> set[Path]:
        """The folders into which an association that is still open has written."""
        with self._lock:
            return set().union(*self._open.values())

    def __enter__(self) -> Self:
        self._server = self._started()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _started(self) -> ThreadedAssociationServer | None:
        try:
            from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
        except ImportError as error:
            raise MedsegError(
                "extra-missing", "--listen", "needs pynetdicom", "pip install 'medseg[batch]'"
            ) from error
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its lines quote headers
        own = AE(ae_title=self._listen.title)
        own.require_called_aet = True
        own.require_calling_aet = list(self._peers)
        for context in AllStoragePresentationContexts:
            if context.abstract_syntax is not None:
                own.add_supported_context(context.abstract_syntax, list(ALL_TRANSFER_SYNTAXES))
        own.add_supported_context("1.2.840.10008.1.1")  # C-ECHO
        over = [(one, self._forget) for one in (evt.EVT_CONN_CLOSE, evt.EVT_RELEASED)]
        try:
            return own.start_server(
                (self._listen.host, self._listen.port),
                block=False,
                evt_handlers=[
                    (evt.EVT_C_STORE, self._store),
                    (evt.EVT_ABORTED, self._forget),
                    *over,
                ],
            )
        except OSError as error:
            detail = f"port {self._listen.port} cannot be listened on ({error.strerror})"
            raise MedsegError("port-taken", "--listen", detail, "give another port") from error

    def _store(self, event: Event) -> int:
        try:
            data = event.encoded_dataset()
            study, instance = _uids(data)
        except (AttributeError, InvalidDicomError, ValueError, KeyError, EOFError):
            return NOT_UNDERSTOOD
        folder = self._inbox / _code(study)
        with self._lock:
            self._open[id(event.assoc)].add(folder)
        try:
            _keep(data, writable_folder(folder), _code(instance))
        except OutputError:
            return NO_ROOM
        return SUCCESS

    def _forget(self, event: Event) -> None:
        with self._lock:
            self._open.pop(id(event.assoc), None)


def _uids(data: bytes) -> tuple[str, str]:
    """StudyInstanceUID and SOPInstanceUID; ValueError where one is missing."""
    tags = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=[_STUDY, _INSTANCE])
    study, instance = (str(tags.get(name) or "") for name in (_STUDY, _INSTANCE))
    if not study or not instance:
        msg = "an object without study or instance"
        raise ValueError(msg)
    return study, instance


def _code(uid: str) -> str:
    """A name for a file that no UID can lead out of the inbox."""
    return hashlib.blake2b(uid.encode(), digest_size=12).hexdigest()


def _keep(data: bytes, folder: Path, name: str) -> None:
    """Write an object, unless the same is there already.

    Another one of the same UID stays beside it: which of the two holds is not for the receiver to
    say, and planning refuses the series.
    """
    number = 0
    while True:
        place = folder / (f"{name}.dcm" if number == 0 else f"{name}.{number}.dcm")
        if not place.exists():
            break
        if place.read_bytes() == data:
            return
        number += 1
    with atomic_path(place) as temporary:
        temporary.write_bytes(data)
