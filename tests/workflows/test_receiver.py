from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from medseg_workflows.receiver import Listen, Receiver
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pynetdicom import AE
from pynetdicom.association import Association

from medseg import phantom
from medseg.errors import MedsegError
from medseg.types import Geometry, Volume

HERE = Listen("MEDSEG", "127.0.0.1", 0)
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> list[FileDataset]:
    folder = tmp_path_factory.mktemp("sent")
    array = np.arange(4 * 24 * 24, dtype=np.int16).reshape(4, 24, 24)
    made = Volume(array, Geometry.identity(array.shape), modality="CT", unit="HU")
    return [dcmread(file) for file in phantom.write_dicom_series(made, folder / "series")]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(tmp_path / "inbox", HERE) as running:
        yield running


def associate(receiver: Receiver, title: str = "SCANNER", called: str = "MEDSEG") -> Association:
    client = AE(ae_title=title)
    client.add_requested_context(CT)
    client.add_requested_context("1.2.840.10008.1.1")
    return client.associate("127.0.0.1", receiver.port, ae_title=called)


def send(receiver: Receiver, datasets: list[FileDataset]) -> list[int]:
    association = associate(receiver)
    answers = [association.send_c_store(one).Status for one in datasets]
    association.release()
    return answers


def files_in(inbox: Path) -> list[Path]:
    return sorted(one for one in inbox.rglob("*") if one.is_file())


def test_what_is_sent_lies_whole_in_one_folder_a_study(
    receiver: Receiver, tmp_path: Path, slices: list[FileDataset]
) -> None:
    assert set(send(receiver, slices)) == {0x0000}
    files = files_in(tmp_path / "inbox")
    assert len(files) == len(slices) and len({file.parent for file in files}) == 1
    sent = {str(one.SOPInstanceUID): one for one in slices}
    for file in files:
        kept = dcmread(file)
        assert kept.PixelData == sent[str(kept.SOPInstanceUID)].PixelData
        assert kept.PatientName == slices[0].PatientName


def test_names_of_files_say_nothing_of_who_was_sent(
    receiver: Receiver, tmp_path: Path, slices: list[FileDataset]
) -> None:
    send(receiver, slices[:1])
    (file,) = files_in(tmp_path / "inbox")
    said = f"{file.parent.name}/{file.name}"
    assert str(slices[0].StudyInstanceUID) not in said
    assert str(slices[0].SOPInstanceUID) not in said


def test_the_same_object_twice_is_one_file_and_another_of_its_uid_is_two(
    receiver: Receiver, tmp_path: Path, slices: list[FileDataset]
) -> None:
    send(receiver, [slices[0], slices[0]])
    assert len(files_in(tmp_path / "inbox")) == 1
    other = dcmread(Path(slices[0].filename))
    other.InstanceNumber = 99
    send(receiver, [other])
    assert len(files_in(tmp_path / "inbox")) == 2


def test_an_open_association_keeps_its_folder_unfinished(
    receiver: Receiver, tmp_path: Path, slices: list[FileDataset]
) -> None:
    association = associate(receiver)
    association.send_c_store(slices[0])
    assert len(receiver.unfinished()) == 1
    association.abort()
    association.join(5)
    end = time.monotonic() + 10
    while receiver.unfinished() and time.monotonic() < end:
        time.sleep(0.01)
    assert not receiver.unfinished()
    assert len(files_in(tmp_path / "inbox")) == 1


def test_an_object_without_a_study_is_not_taken(
    receiver: Receiver, tmp_path: Path, slices: list[FileDataset]
) -> None:
    nameless = dcmread(Path(slices[0].filename))
    del nameless.StudyInstanceUID
    assert send(receiver, [nameless]) == [0xC000]
    assert not files_in(tmp_path / "inbox")


def test_without_room_the_sender_is_told_and_nothing_is_half_there(
    receiver: Receiver, tmp_path: Path, slices: list[FileDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert send(receiver, slices[:1]) == [0xA700]
    assert not files_in(tmp_path / "inbox")


def test_only_named_peers_may_send(tmp_path: Path, slices: list[FileDataset]) -> None:
    with Receiver(tmp_path / "inbox", HERE, peers=["SCANNER"]) as running:
        assert associate(running, "STRANGER").is_rejected
        assert associate(running, called="OTHER").is_rejected
        assert send(running, slices[:1]) == [0x0000]


def test_it_answers_an_echo(receiver: Receiver) -> None:
    association = associate(receiver)
    assert association.send_c_echo().Status == 0x0000
    association.release()


def test_an_address_that_others_reach_needs_peers(tmp_path: Path) -> None:
    with pytest.raises(MedsegError, match=r"\[peers-missing\]"):
        Receiver(tmp_path / "inbox", Listen("MEDSEG", "0.0.0.0", 0))
    assert not (tmp_path / "inbox").exists()


def test_a_port_that_is_taken_is_said(tmp_path: Path, receiver: Receiver) -> None:
    taken = Receiver(tmp_path / "inbox", Listen("MEDSEG", "127.0.0.1", receiver.port))
    with pytest.raises(MedsegError, match=r"\[port-taken\]"), taken:
        pass


@pytest.mark.parametrize(
    ("words", "listen"),
    [
        ("MEDSEG@11112", Listen("MEDSEG", "127.0.0.1", 11112)),
        ("A B@10.0.0.7:104", Listen("A B", "10.0.0.7", 104)),
        ("X@[::1]:104", Listen("X", "::1", 104)),
        ("X@localhost:104", Listen("X", "localhost", 104)),
    ],
)
def test_where_to_listen_is_read_from_words(words: str, listen: Listen) -> None:
    assert Listen.parse(words) == listen
    assert listen.is_loopback == (listen.host != "10.0.0.7")


@pytest.mark.parametrize(
    "words", ["11112", "@11112", "TOO-LONG-FOR-AN-AE@1", "X@", "X@70000", " @1"]
)
def test_words_that_name_no_place_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match="AE@PORT"):
        Listen.parse(words)
