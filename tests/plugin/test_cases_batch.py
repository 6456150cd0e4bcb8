"""The folder of a batch as a list of cases: read where the batch read, never named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_folder import CANARY, OTHER, Site, dicom_study, nifti_study, phantom
from medseg_napari.controller import controller_of
from medseg_napari.session import READERS, BatchCase, CaseList, find_session
from medseg_napari.widgets.cases_page import title_of
from medseg_napari.widgets.cases_table import cells
from medseg_napari.widgets.cases_work import CasesWork, page_of
from medseg_napari.widgets.preferences import Preferences

from medseg.errors import InputRefused, MedsegError
from medseg.measurement import measure

WISHES = Preferences()
PATIENCE_MS = 60_000


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Two finished studies, of DICOM (3) and NIfTI (5), and one that failed (7)."""
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "settings"))
    made = Site(tmp_path)
    images = {3: dicom_study(made.root, 3), 5: nifti_study(made.root, 5)}
    failed = made.job(7, {"image": dicom_study(made.root, 7)})
    made.run({seed: made.job(seed, {"image": one}) for seed, one in images.items()}, [failed])
    return made


@pytest.fixture
def work(viewer, site: Site) -> Iterator[CasesWork]:
    made = CasesWork(viewer)
    made.open_list(site.out, None, "AB", secret=site.secret)
    yield made
    made.leave()


def case_list(site: Site, reader: str = "AB", *, secret: Path | None = None) -> CaseList:
    return CaseList(site.out, site.out / READERS, reader, secret=secret or site.secret)


def study(site: Site, seed: int) -> str:
    return site.codes.study(str(seed))


def files_under(folder: Path) -> set[str]:
    return {str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file()}


def test_finished_and_failed_studies_are_listed_in_the_order_of_the_tables(site: Site) -> None:
    rows = [cells(row) for row in case_list(site).rows()]
    wanted = sorted((3, 5, 7), key=lambda seed: site.codes.patient(str(seed)))
    assert [row[0] for row in rows] == [study(site, seed) for seed in wanted]
    notes = {row[0]: row[2] for row in rows}
    assert notes[study(site, 7)] == "gantry-tilt: resample it first"
    assert notes[study(site, 3)] == notes[study(site, 5)] == ""


def test_a_study_with_two_models_is_two_cases_that_name_them(site: Site) -> None:
    images = {"image": nifti_study(site.root, 9)}
    site.run({9: site.job(9, images)})
    site.run({9: site.job(9, images, OTHER)})
    ids = {case.id for case in case_list(site).cases}
    assert {f"{study(site, 9)}-phantom-lesions", f"{study(site, 9)}-shells"} <= ids
    assert study(site, 9) not in ids


@pytest.mark.parametrize("seed", [3, 5])
def test_a_reader_begins_on_the_objects_and_the_image_of_the_batch(
    work: CasesWork, site: Site, seed: int
) -> None:
    volume, objects = phantom(seed)
    before = files_under(site.out / "done")
    assert work.show(study(site, seed), work.read(study(site, seed)), WISHES) == []
    session = work.session
    assert session is not None and session.volume is not None
    assert (session.volume.array == volume.array).all()
    assert (session.volume.modality, session.volume.unit) == ("MR", "arbitrary")
    wanted = measure(objects, volume)[["instance_id", "volume_ml", "recist_long_mm"]]
    found = measure(session.instances, session.volume)[wanted.columns]
    assert found.to_numpy() == pytest.approx(wanted.to_numpy(), rel=1e-6)
    assert session.store is not None
    assert session.store.folder == site.out / READERS / study(site, seed) / "AB"
    assert files_under(site.out / "done") == before


def test_the_page_of_a_case_is_called_by_its_code_whatever_its_layers_are(
    work: CasesWork, site: Site
) -> None:
    case = study(site, 5)
    work.show(case, work.read(case), WISHES)
    controller = controller_of(work.viewer)
    assert controller is not None
    controller.objects.name = "Doe, Jane: objects"
    assert title_of(work.viewer) == case
    _, about = page_of(controller.session, title_of(work.viewer))
    assert about.title == case


@pytest.mark.parametrize("seed", [3, 5])
def test_a_case_that_was_left_opens_as_it_was(work: CasesWork, site: Site, seed: int) -> None:
    case = study(site, seed)
    work.show(case, work.read(case), WISHES)
    assert work.session is not None
    gone = next(iter(work.session.instances)).id
    work.session.delete([gone])
    work.finish("done")
    assert work.show(case, work.read(case), WISHES) == []
    assert gone not in {item.id for item in work.session.instances}
    assert len(work.session.output) == len(phantom(seed)[1])
    kept = find_session(work.cases.folder(case))
    assert kept is not None
    said = kept.saved.source
    assert said["batch"] == next(one.name for one in (site.out / "done").glob(f"{case}-*"))
    image = work.cases.read_volume(case, said)
    assert (image.array == phantom(seed)[0].array).all()
    assert (image.modality, image.unit) == ("MR", "arbitrary")


def test_the_list_and_the_readers_folders_name_nobody(work: CasesWork, site: Site) -> None:
    for case in work.cases.cases:
        work.show(case.id, work.read(case.id), WISHES)
        assert CANARY not in repr((work.viewer.layers, case, work.layer.metadata))
        assert CANARY not in str(work.layer.source)
        if work.session is None:
            work.begin_by_hand(WISHES)
        work.finish("done")
    shown = [cells(row) for row in work.cases.rows()]
    assert CANARY not in repr(shown) and str(site.root) not in repr(shown)
    for path in (site.out / READERS).rglob("*"):
        assert CANARY not in str(path)
        assert path.is_dir() or CANARY.encode() not in path.read_bytes()


def test_a_failed_study_is_begun_by_hand(work: CasesWork, site: Site) -> None:
    work.show(study(site, 7), work.read(study(site, 7)), WISHES)
    assert work.session is None
    work.begin_by_hand(WISHES)
    assert work.session is not None and len(work.session.instances) == 0
    work.finish("second read")
    assert work.cases.status(study(site, 7)) == "second read"


def test_images_that_were_moved_are_missed_in_one_line(work: CasesWork, site: Site) -> None:
    shutil.rmtree(site.root / f"{CANARY}_3")
    (site.root / f"{CANARY}_5.nii.gz").write_bytes(b"cut short")
    with pytest.raises(InputRefused, match="16 of its 16 image files are not where") as moved:
        work.read(study(site, 3))
    assert "put them back" in str(moved.value)
    with pytest.raises(InputRefused) as cut:
        work.read(study(site, 5))
    for error in (moved, cut):
        assert str(error.value).startswith(study(site, 3 if error is moved else 5))
        assert "\n" not in str(error.value) and CANARY not in str(error.value)
    assert len(work.cases.rows()) == 3


def test_without_the_secret_the_list_opens_and_says_what_is_missing(
    site: Site, tmp_path: Path
) -> None:
    cases = CaseList(site.out, site.out / READERS, "AB")
    assert len(cases) == 3
    assert "the site's secret: is not here" in cases.problem and "copy it" in cases.problem
    with pytest.raises(InputRefused, match="copy it from where the batch ran"):
        cases.read_volume(study(site, 3))
    assert not list((tmp_path / "settings").rglob("*"))  # none is made: it would be another one


def test_another_sites_secret_opens_no_image(site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("0" * 64)
    other.chmod(0o600)
    cases = case_list(site, secret=other)
    assert "[secret-other]" in cases.problem
    with pytest.raises(MedsegError, match="another one than that of this batch"):
        cases.read_volume(study(site, 3))


def test_work_on_a_result_that_was_superseded_goes_on_and_says_so(
    work: CasesWork, site: Site
) -> None:
    case = study(site, 5)
    work.show(case, work.read(case), WISHES)
    work.finish("done")
    images = {"image": nifti_study(site.root, 5)}
    site.run({5: site.job(5, images, state="newer")})
    work.open_list(site.out, None, "AB", secret=site.secret)
    (line,) = work.show(case, work.read(case), WISHES)
    assert "another result of this study" in line
    work.leave()
    work.open_list(site.out, None, "CD", secret=site.secret)
    assert work.show(case, work.read(case), WISHES) == []


def test_an_older_result_that_is_planned_anew_is_no_case(site: Site) -> None:
    job = site.job(5, {"image": nifti_study(site.root, 5)}, state="newer")
    old = site.job(5, {})
    aside = site.out / "done" / old.key
    site.run({5: job})
    shutil.copytree(site.out / "superseded" / old.key, aside)
    keys = {case.key for case in case_list(site).cases if isinstance(case, BatchCase)}
    assert job.key in keys and old.key not in keys


def test_a_batch_without_a_result_or_of_another_version_is_no_list(site: Site) -> None:
    place = site.root.parent / "empty"
    place.mkdir()
    empty = Site(place)
    empty.run({})
    with pytest.raises(InputRefused, match="no study is finished yet"):
        case_list(empty)
    text = (site.out / "batch.json").read_text(encoding="utf-8")
    (site.out / "batch.json").write_text(text.replace('"version": 1', '"version": 2', 1))
    with pytest.raises(InputRefused, match="of another version"):
        case_list(site)


def test_other_channels_are_shown_beside_the_one_that_was_measured(viewer, site: Site) -> None:
    images = {"t1": nifti_study(site.root, 5), "flair": nifti_study(site.root, 11)}
    site.run({5: site.job(9, images)})
    work = CasesWork(viewer)
    work.open_list(site.out, None, "AB", secret=site.secret)
    case = study(site, 9)
    read = work.read(case)
    assert (read.image.array == phantom(5)[0].array).all()
    work.show(case, read, WISHES)
    assert [layer.name for layer in viewer.layers] == [
        f"{case}: flair", case, f"{case}: objects"
    ]  # fmt: skip
    work.leave()
    assert not len(viewer.layers)


def test_the_panel_lists_a_batch_and_opens_its_cases(window, qtbot, site: Site) -> None:
    from medseg_napari.widgets.cases import CasesPanel

    place = site.root.parent / "settings" / "medseg" / "site-secret"
    panel = CasesPanel(window)
    window.window.add_dock_widget(panel, name="Cases", area="right")
    panel.studies.studies.setText(str(site.out))
    panel.studies.reader.setText("ab")
    panel.studies.open.click()
    assert "it alone tells where a batch found its images" in panel.banner.text.text()
    assert panel.model.rowCount() == 3
    panel.open_case(study(site, 3))
    qtbot.waitUntil(lambda: not panel.watcher.is_busy, timeout=PATIENCE_MS)
    assert "copy it" in panel.banner.text.text() and panel.work.current is None
    place.parent.mkdir(parents=True)
    shutil.copy2(site.secret, place)
    panel.studies.open.click()
    assert not panel.banner.isVisible()
    row = panel.model.place(study(site, 3))
    panel.table.activated.emit(panel.model.index(row, 0))
    qtbot.waitUntil(lambda: panel.work.session is not None, timeout=PATIENCE_MS)
    assert panel.model.data(panel.model.index(row, 2)) == "0 steps, open"
    assert CANARY not in window.title
    panel.watcher.stop()
    panel.work.leave()
