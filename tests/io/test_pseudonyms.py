"""Codes for patients, studies and series, the site's secret, and what only it can read."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.errors import OutputError
from medseg.io.pseudonyms import Pseudonyms, site_secret, unveiled, veiled

SECRET = b"a secret of sixteen bytes or more"
KEY = bytes(range(32))
PINNED = ("670f32c928fa", "43d1611323c6", "0b9402301490", "94a5f6a5166a", "98e9d3da")
POSIX = pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")


def test_codes_of_a_secret_are_the_same_in_every_version() -> None:
    codes = Pseudonyms(SECRET)
    assert codes.patient("4711") == PINNED[0]
    assert codes.study("1.2.3") == PINNED[1]
    assert codes.series("1.2.3") == PINNED[2]
    assert codes.job_digest("1.2.3") == PINNED[3]
    assert codes.check == PINNED[4]


def test_another_secret_gives_other_codes() -> None:
    one, other = Pseudonyms(SECRET), Pseudonyms(SECRET[:-1])
    for name in ("patient", "study", "series", "job_digest"):
        assert getattr(one, name)("4711") != getattr(other, name)("4711")
    assert one.check != other.check
    assert one.key != other.key


def test_one_text_has_another_code_as_patient_study_and_series() -> None:
    codes = Pseudonyms(SECRET)
    found = {codes.patient("1"), codes.study("1"), codes.series("1"), codes.job_digest("1")}
    assert len(found) == 4


def test_a_short_secret_is_no_secret() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes; got 3"):
        Pseudonyms(b"abc")


def test_text_that_is_no_unicode_has_a_code() -> None:
    assert len(Pseudonyms(SECRET).study(os.fsdecode(b"caf\xe9"))) == 12


def test_the_secret_is_made_once_in_the_folder_of_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    first = site_secret()
    assert len(first) == 64
    assert site_secret() == first
    (made,) = [one for one in tmp_path.rglob("*") if one.is_file()]
    assert made.read_bytes().strip() == first


@POSIX
def test_nobody_else_reads_the_secret(tmp_path: Path) -> None:
    place = tmp_path / "settings" / "secret"
    site_secret(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    place.chmod(0o640)
    with pytest.raises(OutputError, match="others may read the site's secret"):
        site_secret(place)


def test_processes_that_make_the_secret_at_once_end_with_the_same(tmp_path: Path) -> None:
    place = tmp_path / "secret"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: site_secret(place), range(32)))
    assert len(found) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]


def test_a_file_system_without_links_keeps_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_link)
    first = site_secret(tmp_path / "secret")
    assert site_secret(tmp_path / "secret") == first
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]


def test_without_a_home_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError

    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(OutputError, match="no home folder"):
        site_secret()


def test_a_secret_that_lost_its_content_is_not_replaced(tmp_path: Path) -> None:
    place = tmp_path / "secret"
    site_secret(place)
    place.write_bytes(b"")
    with pytest.raises(OutputError, match="has 0 bytes") as caught:
        site_secret(place)
    assert caught.value.code == "secret-damaged"


@given(st.binary(max_size=500))
def test_what_is_veiled_comes_back_with_its_key_alone(data: bytes) -> None:
    hidden = veiled(data, KEY)
    assert unveiled(hidden, KEY) == data
    with pytest.raises(ValueError, match="another key, or altered"):
        unveiled(hidden, KEY[::-1])


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_veiled_file_that_was_altered_is_not_read(data: bytes, draw: st.DataObject) -> None:
    hidden = bytearray(veiled(data, KEY))
    place = draw.draw(st.integers(0, len(hidden) - 1))
    hidden[place] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match="altered"):
        unveiled(bytes(hidden), KEY)
    with pytest.raises(ValueError, match="altered"):
        unveiled(bytes(hidden[: place // 2]), KEY)


def test_a_veil_shows_nothing_and_is_another_each_time() -> None:
    text = b"/archive/CANARY/0001.dcm" * 40
    one, other = veiled(text, KEY), veiled(text, KEY)
    assert one != other
    assert b"CANARY" not in one
    assert len({one[n : n + 24] for n in range(32, len(one), 24)}) == 40
