"""The page of a case: whole in itself, true to the session, and safe to open."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from medseg_napari.page import MOST_PICTURED, Case, CaseAbout, case_page, write_case_page
from medseg_napari.session import Session
from session_cases import GRID, image, many, output, split

from medseg.errors import OutputError
from medseg.types import Geometry, InputWarning, Instances

PICTURE = re.compile(r'src="data:image/png;base64,([^"]+)"')


def worked() -> Session:
    work = Session.begin(image(), output(), "AB")
    work.mark([3, 12], "accept")
    work.mark([40], "reject")
    work.mark([7], "unsure")
    work.comment(3, "<script>alert(1)</script> & more")
    return work


ABOUT = CaseAbout("case 1", {"model": "toy 1"})


def without_pictures(work: Session, about: CaseAbout = ABOUT) -> str:
    """The page of a session whose image is not at hand: drawing is what takes time."""
    return case_page(replace(Case.of(work), volume=None), about)


@pytest.fixture(scope="module")
def pictured() -> str:
    """The page of `worked` with its pictures."""
    return case_page(Case.of(worked()), ABOUT)


def test_nothing_outside_the_page_is_needed(pictured: str) -> None:
    text = pictured
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert "url(" not in text and "@import" not in text
    style = resources.files("medseg.evaluation").joinpath("house.css.jinja")
    assert text.count("<style>") == 1
    assert style.read_text(encoding="utf-8").strip() in text


def test_every_object_has_a_picture_and_a_row(pictured: str) -> None:
    work, text = worked(), pictured
    ids = [item.id for item in work.instances]
    assert sorted(int(n) for n in re.findall(r'id="object-(\d+)"', text)) == sorted(ids)
    found = PICTURE.findall(text)
    assert len(found) == len(ids)
    pixels = imread(BytesIO(base64.b64decode(found[0])))
    assert pixels.shape[1] > 2 * pixels.shape[0]
    assert text.count("<tr>") == 1 + len(ids)


def test_pictures_differ_where_objects_do_and_outline_them_in_their_color(
    pictured: str,
) -> None:
    found = PICTURE.findall(pictured)
    assert len(set(found)) == len(found)
    lesions = imread(BytesIO(base64.b64decode(found[0])))[..., :3]
    spread = lesions.max(axis=-1) - lesions.min(axis=-1)
    assert np.count_nonzero(spread > 0.3) > 50


def test_lesions_come_first_the_largest_of_all_at_the_top(pictured: str) -> None:
    work = worked()
    order = [int(n) for n in re.findall(r'id="object-(\d+)"', pictured)]
    sizes = {item.id: item.voxel_count for item in work.instances}
    lesions = order[:-1]
    assert order[-1] == 1  # the organ
    assert lesions == sorted(lesions, key=lambda n: (-sizes[n], n))


def test_counts_leave_out_what_was_rejected_and_say_so(pictured: str) -> None:
    totals, text = worked().totals()["tumour"], pictured
    assert totals.count == 3 and totals.kept_count == 2
    assert re.search(r"tumour<b>2</b><span>[^<]*1 more rejected</span>", text)
    assert "rejected by AB" in text and "accepted by AB" in text and "unsure by AB" in text


def test_what_was_written_by_people_or_files_is_shown_as_text() -> None:
    work = worked()
    odd = replace(work.output, warnings=(InputWarning("odd", "<img src=x onerror=y>"),))
    text = without_pictures(work)
    assert "<script>" not in text and "&lt;script&gt;" in text
    warned = without_pictures(Session.begin(image(), odd, "AB"), CaseAbout("<b>bold</b>"))
    assert "<img src=x" not in warned and "<b>bold" not in warned


def test_a_reader_s_diameter_stands_in_the_place_of_the_mask_s() -> None:
    nothing = replace(output(), items=[output().items[0]])
    work = Session.begin(image(), nothing, "AB")
    work.move_line(12, "long", (0.0, 0.0, 0.0), (0.0, 30.0, 40.0))
    text = case_page(Case.of(work), ABOUT)
    found = re.search(r'id="object-12".*?</figcaption>', text, flags=re.DOTALL)
    assert found is not None
    assert "50.0 ×" in found.group() and "mm as drawn by hand" in found.group()
    assert "before its mask was changed" not in text


def test_a_diameter_that_was_drawn_on_another_mask_says_so() -> None:
    work = Session.begin(image(), replace(output(), items=[output().items[0]]), "AB")
    work.move_line(12, "long", (0.0, 0.0, 0.0), (0.0, 30.0, 40.0))
    work.apply(split(work, 12, 5))
    text = case_page(Case.of(work), ABOUT)
    captions = re.findall(r"<figcaption>.*?</figcaption>", text, flags=re.DOTALL)
    said = ["mm as drawn by hand before its mask was changed" in one for one in captions]
    assert sorted(said) == [False, True]
    assert "edited after lines" in text


def test_the_same_work_gives_the_same_pictures(pictured: str) -> None:
    again = case_page(Case.of(worked()), ABOUT)
    assert PICTURE.findall(again) == PICTURE.findall(pictured)


def test_a_page_shows_what_was_there_when_it_was_asked_for() -> None:
    work = worked()
    case = replace(Case.of(work), volume=None)
    before = case_page(case, ABOUT)
    work.delete([12])
    work.mark([3], "reject")
    assert case_page(case, ABOUT) == before


def test_beyond_so_many_objects_the_page_says_how_many_have_no_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medseg_napari.page.page.MOST_PICTURED", 2)
    work = Session.begin(*many(5), "AB")
    text = case_page(Case.of(work), ABOUT)
    assert len(PICTURE.findall(text)) == 2
    assert "The 2 largest; 3 more stand in the table alone." in text
    assert text.count("<tr>") == 6
    assert MOST_PICTURED > 20


def test_an_empty_case_and_one_without_its_image_have_a_page() -> None:
    nothing = Instances(GRID, [], output().classes)
    assert "No object." in case_page(Case.of(Session.begin(image(), nothing, "AB")), ABOUT)
    blind = case_page(Case.of(Session.begin(None, output(), "AB")), ABOUT)
    assert not PICTURE.findall(blind) and "<tr>" in blind


def test_pictures_of_another_grid_are_refused() -> None:
    case = Case.of(worked())
    moved = Geometry.from_spacing(GRID.shape, (3.0, 0.9, 0.7), (0.0, 0.0, 0.0))
    elsewhere = replace(case, volume=replace(image(), geometry=moved))
    with pytest.raises(ValueError, match="different grids"):
        case_page(elsewhere, ABOUT)


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    counted: list[tuple[int, int]] = []
    start = replace(output(), items=output().items[:2])
    case = Case.of(Session.begin(image(), start, "AB"))
    path = tmp_path / "case.html"
    write_case_page(case, path, ABOUT, progress=lambda *said: counted.append(said))
    assert counted == [(1, 2), (2, 2)]
    assert path.read_text(encoding="utf-8").endswith("</html>")
    with pytest.raises(OutputError, match="folder-missing"):
        write_case_page(replace(case, volume=None), tmp_path / "none" / "case.html", ABOUT)
    assert [one.name for one in tmp_path.iterdir()] == ["case.html"]
