"""Codes that stand for patients, studies and series, made with a secret of the site.

Plain hashes of patient numbers are guessed back in a second; keyed ones are not, as long as the
secret stays where it is: in a file that only its owner reads, never among the results.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sys
import tempfile
from pathlib import Path

from medseg.errors import InputRefused, OutputError
from medseg.io.atomic import output_error

_CODE_BYTES = 6
_CHECK_BYTES = 4
_SECRET_BYTES = 32
_FEWEST_SECRET_BYTES = 16
_NONCE_BYTES = 16
_TAG_BYTES = 16
_OTHERS_MAY = 0o077


class Pseudonyms:
    """The codes of one site: the same secret gives the same codes in every batch.

    Raises ValueError for a secret of less than 16 bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _FEWEST_SECRET_BYTES:
            msg = f"a secret has at least {_FEWEST_SECRET_BYTES} bytes; got {len(secret)}"
            raise ValueError(msg)
        self._key = hashlib.blake2b(secret, person=b"medseg site").digest()

    @property
    def check(self) -> str:
        """Eight hexadecimal digits that tell whether two secrets are one, and nothing else."""
        return self._digest("", b"check", _CHECK_BYTES)

    @property
    def key(self) -> bytes:
        """For `veiled`, of what only this site is to read; 32 bytes."""
        return hashlib.blake2b(key=self._key, person=b"veil", digest_size=32).digest()

    def patient(self, patient_id: str) -> str:
        """Twelve hexadecimal digits for a patient."""
        return self._digest(patient_id, b"patient")

    def study(self, uid: str) -> str:
        """Twelve hexadecimal digits for a study."""
        return self._digest(uid, b"study")

    def series(self, uid: str) -> str:
        """Twelve hexadecimal digits for a series."""
        return self._digest(uid, b"series")

    def job_digest(self, text: str) -> str:
        """Twelve hexadecimal digits for all that a result depends on."""
        return self._digest(text, b"job")

    def _digest(self, value: str, person: bytes, size: int = _CODE_BYTES) -> str:
        data = value.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(data, key=self._key, digest_size=size, person=person).hexdigest()


def site_secret(path: Path | None = None, *, make: bool = True) -> bytes:
    """The secret in the file at `path`, else in the user's folder of settings; made on first use.

    Two processes that make it at once end with the same one. Without `make` it has to be there.

    Raises OutputError: `not-private` where others may read it, `secret-damaged` where it is too
    short, `folder-missing` without a home, and those of `output_error` where it cannot be read or
    made; InputRefused (`path-missing`) where it has to be there and is not.
    """
    place = _settings_folder() / "medseg" / "site-secret" if path is None else path
    try:
        if not place.exists():
            if not make:
                detail, remedy = "there is none of this user", "fetch a copy of the site's secret"
                raise InputRefused("path-missing", "the site's secret", detail, remedy)
            _make(place)
        secret = place.read_bytes().strip()
        mode = place.stat().st_mode
    except OSError as error:
        raise output_error(error, place) from error
    if os.name == "posix" and mode & _OTHERS_MAY:
        detail, remedy = "others may read the site's secret", f"chmod 600 {place.name}"
        raise OutputError("not-private", place.name, detail, remedy)
    if len(secret) < _FEWEST_SECRET_BYTES:
        detail = f"the site's secret has {len(secret)} bytes, at least {_FEWEST_SECRET_BYTES} are"
        remedy = "fetch it from a backup, or remove the file: all codes change then"
        raise OutputError("secret-damaged", place.name, f"{detail} wanted", remedy)
    return secret


def _make(place: Path) -> None:
    """A new secret under another name, then a link to it: who comes second leaves it alone."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent)  # 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(_SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, place)
        except FileExistsError:
            return
        except OSError:  # a file system without links
            Path(name).replace(place)
    finally:
        Path(name).unlink(missing_ok=True)


def _settings_folder() -> Path:
    """XDG_CONFIG_HOME or ~/.config, ~/Library/Application Support on macOS, APPDATA on Windows."""
    name = "APPDATA" if sys.platform == "win32" else "XDG_CONFIG_HOME"
    given = os.environ.get(name, "")
    if given and Path(given).is_absolute():
        return Path(given)
    try:
        home = Path.home()
    except RuntimeError as error:
        detail, remedy = "there is no home folder to keep it in", "give a file for it"
        raise OutputError("folder-missing", "the site's secret", detail, remedy) from error
    return (
        home / "Library" / "Application Support" if sys.platform == "darwin" else home / ".config"
    )


def veiled(data: bytes, key: bytes) -> bytes:
    """The data unreadable without the key, and so that `unveiled` sees any change to them."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    mixed = _mixed(data, key, nonce)
    return nonce + _tag(nonce + mixed, key) + mixed


def unveiled(data: bytes, key: bytes) -> bytes:
    """What was given to `veiled`.

    Raises ValueError where the key is another one, or the data were altered.
    """
    nonce, rest = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
    tag, mixed = rest[:_TAG_BYTES], rest[_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(nonce + mixed, key)):
        msg = "made with another key, or altered"
        raise ValueError(msg)
    return _mixed(mixed, key, nonce)


def _mixed(data: bytes, key: bytes, nonce: bytes) -> bytes:
    """The data with a key stream over it; the same again takes it off."""
    seed = hashlib.blake2b(nonce, key=key, person=b"stream").digest()
    stream = hashlib.shake_256(seed).digest(len(data))
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")
    return mixed.to_bytes(len(data), "little")


def _tag(data: bytes, key: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=_TAG_BYTES, person=b"tag").digest()
