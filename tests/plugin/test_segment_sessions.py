"""Where work is kept, and the question whether to go on with it; without Qt."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest
from medseg_napari.controller import controller_of
from medseg_napari.session import CaseList, Filter, Reading, Session
from medseg_napari.view.facts import StudySource
from medseg_napari.view.opening import open_study
from medseg_napari.widgets.preferences import Preferences
from medseg_napari.widgets.segment_sessions import (
    CASE_KEY,
    default_folder,
    free_folder,
    offer_of,
    offers,
    resumed,
    session_source,
)
from medseg_napari.widgets.segment_show import remarks, show_session
from session_cases import image, output, session

import medseg
from medseg.types import Volume


def opened(viewer, path: Path | None, **chosen):
    source = StudySource(None if path is None else str(path), **chosen)
    return open_study(viewer, image(), name="study", source=source)[0]


def test_the_folder_is_the_one_of_the_list_of_cases(viewer, tmp_path: Path) -> None:
    path = tmp_path / "case 1.nii.gz"
    medseg.write(image(), path)
    layer = opened(viewer, path)
    cases = CaseList(tmp_path, tmp_path / "medseg", "ab")
    assert default_folder(layer, "ab") == cases.folder("case 1")


def test_a_study_that_was_made_and_one_without_a_reader_have_no_folder(viewer, tmp_path) -> None:
    assert default_folder(opened(viewer, None), "AB") is None
    assert default_folder(opened(viewer, tmp_path / "a.nii"), "") is None
    assert default_folder(opened(viewer, tmp_path / "a.nii"), "A/B") is None


def test_a_volume_among_several_of_a_folder_has_a_folder_of_its_own(viewer, tmp_path) -> None:
    one = opened(viewer, tmp_path / "scan", series="S1", volume=1)
    two = opened(viewer, tmp_path / "scan", series="S1", volume=2)
    assert default_folder(one, "AB") != default_folder(two, "AB")


def test_work_on_another_series_of_the_same_folder_is_not_offered(viewer, tmp_path) -> None:
    layer = opened(viewer, tmp_path / "scan", series="S1")
    folder = default_folder(layer, "AB")
    source = session_source(layer.metadata["medseg"])
    Session.begin(image(), output(), "AB", folder=folder, source=source).close()
    assert [one.folder.name for one in offers(layer)] == ["AB"]
    assert offers(opened(viewer, tmp_path / "scan", series="S2")) == []


def test_a_list_of_cases_says_where_the_work_is_kept(viewer, tmp_path: Path) -> None:
    layer = opened(viewer, tmp_path / "a.nii")
    layer.metadata[CASE_KEY] = tmp_path / "elsewhere" / "a"
    assert default_folder(layer, "ab") == tmp_path / "elsewhere" / "a" / "AB"


def test_a_session_finds_pet_again_in_the_unit_of_its_measures(viewer, tmp_path: Path) -> None:
    pet = Volume(image().array, image().geometry, "PT", "SUVbw")
    layer = open_study(viewer, pet, source=StudySource(str(tmp_path / "pet")))[0]
    facts = layer.metadata["medseg"]
    assert session_source(facts) == {"path": str(tmp_path / "pet"), "pet": "SUVbw"}


def crash(folder: Path) -> None:
    work = session(folder)
    work.mark([3], "accept")
    work.delete([7])
    os._exit(1)


def test_work_that_was_cut_off_is_offered_first_and_comes_back(viewer, tmp_path: Path) -> None:
    layer = opened(viewer, tmp_path / "study.nii")
    base = tmp_path / "medseg" / "study"
    session(base / "ZZ", reader="ZZ").close()
    context = multiprocessing.get_context("spawn")
    other = context.Process(target=crash, args=(base / "AB",))
    other.start()
    other.join()
    found = offers(layer)
    assert [one.folder.name for one in found] == ["AB", "ZZ"]
    assert found[0].is_unfinished and found[0].can_resume
    assert "AB's session (2 steps, last" in found[0].words
    assert "was not closed" in found[0].words
    assert "Go on with it?" in found[1].words and "not closed" not in found[1].words
    work = Session.resume(image(), found[0].folder, "AB")
    controller = show_session(viewer, work, name="objects", source=StudySource())
    assert controller_of(viewer) is controller
    assert (controller.objects.data == 7).sum() == 0
    assert work.undo_name == "Delete lesion 7"
    assert work.review(3).decision == "accept"


def test_only_ones_own_work_is_offered_to_go_on_with(viewer, tmp_path: Path) -> None:
    layer = opened(viewer, tmp_path / "study.nii")
    base = tmp_path / "medseg" / "study"
    session(base / "CD", reader="cd").close()
    session(base / "AB", reader="AB").close()
    own, other = offers(layer, " cd ")
    assert (own.folder.name, own.can_resume) == ("CD", True)
    assert (other.folder.name, other.can_resume) == ("AB", False)
    assert "Go on with it?" in own.words
    assert "another reader's" in other.words and "Go on" not in other.words
    with pytest.raises(ValueError, match="AB's session .* is another reader's"):
        resumed(other, image(), "CD")
    assert Reading.of(base / "AB").reader == "AB"
    again = resumed(own, image(), "CD")
    assert again.store.folder == base / "CD"
    again.close()
    unknown = [one for one in offers(layer) if one.folder.name == "AB"]
    assert resumed(unknown[0], image(), "").reader == "AB"


def test_work_stays_whose_it_is_whoever_opens_it(tmp_path: Path) -> None:
    session(tmp_path).close()
    Session.resume(image(), tmp_path, "CD").close()
    assert Reading.of(tmp_path).reader == "AB"


def test_a_session_that_is_open_or_damaged_cannot_be_resumed(tmp_path: Path) -> None:
    work = session(tmp_path / "AB")
    offer = offer_of(tmp_path / "AB")
    assert offer is not None
    assert not offer.can_resume and "open in another window" in offer.words
    work.close()
    (tmp_path / "AB" / "session.json").write_text("{", encoding="utf-8")
    damaged = offer_of(tmp_path / "AB")
    assert damaged is not None
    assert not damaged.can_resume and "cannot be read" in damaged.words
    assert offer_of(tmp_path / "nobody") is None


def test_keeping_both_takes_a_folder_without_a_session(tmp_path: Path) -> None:
    folder = tmp_path / "study" / "AB"
    session(folder).close()
    first = free_folder(folder)
    assert first == tmp_path / "study" / "AB-2"
    session(first).close()
    assert free_folder(folder) == tmp_path / "study" / "AB-3"


def test_small_objects_are_hidden_and_said_not_deleted(viewer) -> None:
    work = Session.begin(image(), output(), "AB")
    volumes = work.frame(["volume_ml"])["volume_ml"]
    least = float(volumes.median())
    wishes = Preferences(min_volume_ml=least)
    controller = show_session(viewer, work, name="objects", source=StudySource(), wishes=wishes)
    hidden = int((volumes < least).sum())
    assert hidden > 0
    assert len(work.selection.ids) == len(work.instances) - hidden
    assert sum(one.count for one in work.totals().values()) == len(output())
    said = remarks(work, controller)
    assert any(line.startswith(f"{hidden} objects of less than") for line in said)
    assert any("out-of-domain" in line for line in said)
    assert any("not kept" in line for line in said)


def test_the_objects_lie_over_the_image_with_its_classes(viewer) -> None:
    opened(viewer, None)
    work = Session.begin(image(), output(), "AB")
    layer = show_session(viewer, work, name="objects", source=StudySource()).objects
    inside = [item.id for item in work.instances if (layer.data == item.id).any()]
    assert set(inside) == {1, 3, 7, 12, 40}
    assert tuple(layer.scale) == pytest.approx(tuple(viewer.layers["study"].scale))


def test_keys_of_review_are_those_of_preferences(viewer) -> None:
    opened(viewer, None)
    work = Session.begin(image(), output(), "AB")
    wishes = Preferences(accept="A", unsure="")
    show_session(viewer, work, name="objects", source=StudySource(), wishes=wishes)
    bound = {str(key) for key in viewer.keymap}
    assert {"A", "N", "W"} <= bound
    assert not {"G", "U"} & bound
    work.selection.choose([3])
    next(act for key, act in viewer.keymap.items() if str(key) == "A")(viewer)
    assert work.review(3).decision == "accept"


def test_a_kept_filter_stands_above_the_wish_to_hide_small_objects(viewer, tmp_path) -> None:
    work = Session.begin(image(), output(), "AB", folder=tmp_path)
    wanted = Filter(kinds=frozenset(["lesion"]))
    work.show(filter=wanted)
    work.keep_view()
    work.close()
    again = Session.resume(image(), tmp_path, "AB")
    wishes = Preferences(min_volume_ml=1e3)
    show_session(viewer, again, name="objects", source=StudySource(), wishes=wishes)
    assert again.selection.filter == wanted


def test_a_session_keeps_what_was_said_of_an_image_that_cannot_say_it(
    viewer, tmp_path: Path
) -> None:
    path = tmp_path / "a.nii.gz"
    medseg.write(image(), path)
    said = medseg.read(path, modality="CT", unit="HU")
    layer = open_study(viewer, said, source=StudySource(str(path)))[0]
    source = session_source(layer.metadata["medseg"])
    assert source == {"path": str(path), "modality": "CT", "unit": "HU"}
    cases = CaseList(tmp_path, tmp_path / "medseg", "AB")
    cases.open("a", said, output(), source=source).close()
    found = cases.read_volume("a")
    assert (found.modality, found.unit) == ("CT", "HU")
