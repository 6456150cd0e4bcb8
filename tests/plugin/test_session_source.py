"""A session knows its image again, reads it as it was said at first, and keeps its view."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from medseg_napari.session import Filter, Order, Session, find_session
from medseg_napari.session.source import image_sum
from medseg_napari.session.view_state import KeptView, read_view, view_state
from session_cases import image, output

from medseg.errors import MedsegError
from medseg.types import Volume


def begun(folder: Path, volume: Volume | None = None, source: dict[str, str] | None = None):
    work = Session.begin(volume or image(), output(), "AB", folder=folder, source=source)
    work.mark([3], "accept")
    work.close()
    return work


def test_an_image_that_changed_is_refused_and_the_session_stays_as_it_is(tmp_path: Path) -> None:
    begun(tmp_path)
    changed = image()
    changed.array[4, 5, 6] += 1
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(MedsegError, match=r"other values .* \[image-changed\]; open the image"):
        Session.resume(changed, tmp_path, "AB")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    again = Session.resume(image(), tmp_path, "AB")
    assert again.review(3).decision == "accept"
    again.close()


def test_the_same_voxels_in_another_memory_order_are_the_same_image() -> None:
    volume = image()
    turned = replace(volume, array=np.asfortranarray(volume.array))
    big_endian = replace(volume, array=volume.array.astype(">f4"))
    assert image_sum(turned) == image_sum(volume) == image_sum(big_endian)
    assert image_sum(replace(volume, array=volume.array.astype(np.float64))) != image_sum(volume)


def test_what_was_said_of_the_image_at_first_is_what_it_is_measured_as(tmp_path: Path) -> None:
    begun(tmp_path, source={"path": "a.nii", "modality": "CT", "unit": "HU"})
    unsaid = replace(image(), modality="unknown", unit="unknown")
    again = Session.resume(unsaid, tmp_path, "AB")
    assert (again.volume.modality, again.volume.unit) == ("CT", "HU")
    again.close()
    other = replace(image(), modality="MR", unit="arbitrary")
    with pytest.raises(MedsegError, match=r"modality CT, and now with MR \[image-changed\]"):
        Session.resume(other, tmp_path, "AB")


def test_a_session_without_a_sum_goes_on_with_any_image_of_its_grid(tmp_path: Path) -> None:
    Session.begin(None, output(), "AB", folder=tmp_path).close()
    Session.resume(image(), tmp_path, "AB").close()


def test_columns_filter_and_order_come_back(tmp_path: Path) -> None:
    work = Session.begin(image(), output(), "AB", folder=tmp_path)
    wanted = Filter(kinds=frozenset(["lesion"]), score=(0.45, math.inf))
    work.show(filter=wanted, order=Order("score", descending=True))
    work.keep_view(["instance_id", "score"])
    work.keep_view()
    ids = work.selection.ids.tolist()
    assert ids == [12, 40, 7]
    work.close()
    again = Session.resume(image(), tmp_path, "AB")
    assert again.selection.ids.tolist() == ids
    assert again.view == KeptView(("instance_id", "score"), wanted, Order("score", descending=True))
    again.close()


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(),
        Filter(classes=frozenset(["tumour"]), organs=frozenset([""])),
        Filter(marks=frozenset(["accept", ""]), volume_ml=(0.5, 2.0)),
    ],
)
def test_a_view_passes_through_json(wanted: Filter) -> None:
    view = KeptView(("mark",), wanted, Order("volume_ml"))
    assert read_view(json.loads(json.dumps(view_state(view), allow_nan=False))) == view


@pytest.mark.parametrize("said", [{}, {"columns": 3}, {"columns": [], "filter": {"score": 1}}])
def test_a_view_that_makes_no_sense_gives_the_defaults(said: dict[str, object]) -> None:
    assert read_view(said) == KeptView()


def test_a_kept_column_that_is_gone_does_not_keep_the_session_shut(tmp_path: Path) -> None:
    begun(tmp_path)
    path = tmp_path / "session.json"
    state = json.loads(path.read_text(encoding="utf-8"))
    state["view"] = view_state(KeptView(("lost",), Filter(), Order("lost")))
    path.write_text(json.dumps(state), encoding="utf-8")
    again = Session.resume(image(), tmp_path, "AB")
    assert again.selection.ids.tolist() == [1, 3, 7, 12, 40]
    again.close()
    found = find_session(tmp_path)
    assert found is not None and not found.crashed
