"""PET: SUV by body weight from the tags of each vendor, with factors worked out by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_builders import CANARY, COLUMNS, ROWS, Slices, raw, series, set_pixels, write
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

import medseg
from medseg.errors import InputRefused
from medseg.io.dicom import describe_dicom, read_dicom

STORED, SLOPE = 1000, 0.5  # 500 Bq/ml
HALF_LIFE_S = 3600.0
# 70 kg x 1000 g/kg / 3.5e8 Bq = 2e-4 g/Bq; an hour of a half-life of an hour doubles it.
AT_INJECTION, AN_HOUR_LATER = 2e-4, 4e-4


def pet(units: str = "BQML", decay: str = "START") -> Slices:
    """500 Bq/ml (or counts) of 350 MBq that 70 kg got at 10:00, scanned at 11:00."""
    slices = series("PT", slices=4)
    for ds in slices:
        set_pixels(ds, np.full((ROWS, COLUMNS), STORED, np.int16))
        ds.RescaleSlope, ds.RescaleIntercept = SLOPE, 0
        ds.Units, ds.DecayCorrection = units, decay
        ds.CorrectedImage = ["DECY", "ATTN", "SCAT"]
        ds.PatientWeight = 70
        ds.SeriesDate, ds.SeriesTime = "20240307", "110000"
        ds.AcquisitionDate, ds.AcquisitionTime = "20240307", "110000.00"
        given = Dataset()
        given.Radiopharmaceutical = CANARY
        given.RadiopharmaceuticalStartTime = "100000"
        given.RadionuclideTotalDose, given.RadionuclideHalfLife = 350e6, HALF_LIFE_S
        ds.RadiopharmaceuticalInformationSequence = Items([given])
    return slices


def every(slices: Slices, **values: object) -> Slices:
    """Set tags on every slice, those of the dose in its sequence; None takes one away."""
    for ds in slices:
        for name, value in values.items():
            given = ds.RadiopharmaceuticalInformationSequence[0]
            place = given if name.startswith("Radio") else ds
            if value is None:
                delattr(place, name)
            else:
                setattr(place, name, value)
    return slices


def private(slices: Slices, group: int, creator: str, **elements: tuple[int, str, Any]) -> Slices:
    for ds in slices:
        block = ds.private_block(group, creator, create=True)
        for element, vr, value in elements.values():
            block.add_new(element, vr, value)
    return slices


def philips(slices: Slices, suv: float | None = None, activity: float | None = None) -> Slices:
    values = {"suv": (0x00, "DS", suv), "activity": (0x09, "DS", activity)}
    there = {name: one for name, one in values.items() if one[2] is not None}
    return private(slices, 0x7053, "Philips PET Private Group", **there)


def ge(slices: Slices, scanned: str) -> Slices:
    return private(slices, 0x0009, "GEMS_PETD_01", scanned=(0x0D, "DT", scanned))


def overnight() -> Slices:
    return every(
        pet(),
        RadiopharmaceuticalStartTime="233000",
        SeriesTime="003000",
        AcquisitionTime="003000",
    )


def dated() -> Slices:
    """An injection three hours before midnight UTC of a series on the clock of UTC+2."""
    slices = every(pet(), RadiopharmaceuticalStartDateTime="20240306210000+0000")
    return every(
        slices,
        TimezoneOffsetFromUTC="+0200",
        RadiopharmaceuticalStartTime="230000",
        SeriesTime="000000",
        AcquisitionTime="000000",
    )


def late_series() -> Slices:
    """A series that was made in the afternoon of what was acquired at 11."""
    return ge(every(pet(), SeriesTime="150000"), "20240307110000.00")


SUV: dict[str, tuple[Callable[[], Slices], float]] = {
    "START": (pet, 500 * AN_HOUR_LATER),
    "ADMIN": (lambda: pet(decay="ADMIN"), 500 * AT_INJECTION),
    "ADMIN needs no times": (
        lambda: every(
            pet(decay="ADMIN"), SeriesTime=None, RadiopharmaceuticalStartTime=None, SeriesDate=None
        ),
        500 * AT_INJECTION,
    ),
    "injected before midnight": (overnight, 500 * AN_HOUR_LATER),
    "date, time and time zone": (dated, 500 * AN_HOUR_LATER),
    "an injection two half-lives ago": (
        lambda: every(pet(), RadiopharmaceuticalStartTime="090000"),
        500 * 2 * AN_HOUR_LATER,
    ),
    "the first bed counts": (
        lambda: [*every(pet()[:2]), *every(pet()[2:], AcquisitionTime="110500")],
        500 * AN_HOUR_LATER,
    ),
    "GE's private time": (late_series, 500 * AN_HOUR_LATER),
    "Philips' SUV factor": (lambda: philips(pet("CNTS"), 0.01, 7.0), 500 * 0.01),
    "Philips' activity factor": (
        lambda: philips(pet("CNTS"), None, 3.0),
        500 * 3.0 * AN_HOUR_LATER,
    ),
    "Philips' SUV factor is 0": (
        lambda: philips(pet("CNTS", "ADMIN"), 0.0, 3.0),
        500 * 3.0 * AT_INJECTION,
    ),
    "GML": (lambda: pet("GML"), 500.0),
    "GML by body weight": (lambda: every(pet("GML"), SUVType="BW"), 500.0),
}


@pytest.mark.parametrize("case", SUV)
def test_suv_is_what_the_tags_come_to_by_hand(tmp_path: Path, case: str) -> None:
    build, value = SUV[case]
    volume = medseg.read(write(build(), tmp_path), pet="SUVbw")
    assert (volume.modality, volume.unit) == ("PT", "SUVbw")
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, value, rtol=1e-6)


def nobody_injected(slices: Slices) -> Slices:
    for ds in slices:
        del ds.RadiopharmaceuticalInformationSequence
    return slices


def injected_twice(slices: Slices) -> Slices:
    for ds in slices:
        given = ds.RadiopharmaceuticalInformationSequence
        given.append(copy.deepcopy(given[0]))
    return slices


def suv_type_in_words() -> Slices:
    slices = pet("GML")
    for ds in slices:
        raw(ds, 0x00541006, "CS", b"LBM (Janma)")
    return slices


def half(slices: Slices, **values: object) -> Slices:
    every(slices[1:2], **values)
    return slices


NO_SUV: dict[str, tuple[Callable[[], Slices], str]] = {
    "no unit": (lambda: every(pet(), Units=None), "Units is absent"),
    "another unit": (lambda: pet("PROPCPS"), "Units is PROPCPS"),
    "a unit of nobody's": (lambda: pet("CANARY"), "Units is another one"),
    "two units": (lambda: half(pet(), Units="GML"), "Units differ"),
    "SUV by lean body mass": (lambda: every(pet("GML"), SUVType="LBM"), "SUVType is not BW"),
    "SUVType that is no code": (suv_type_in_words, "SUVType is not BW"),
    "no weight": (lambda: every(pet(), PatientWeight=None), "PatientWeight is absent"),
    "weight 0": (lambda: every(pet(), PatientWeight=0), "PatientWeight is 0 kg"),
    "weight in g": (lambda: every(pet(), PatientWeight=70000), "PatientWeight is 70000 kg"),
    "two weights": (lambda: half(pet(), PatientWeight=71), "PatientWeight differs"),
    "no dose": (lambda: every(pet(), RadionuclideTotalDose=None), "RadionuclideTotalDose is abs"),
    "dose in MBq": (lambda: every(pet(), RadionuclideTotalDose=350), "TotalDose is 350 Bq"),
    "no half-life": (lambda: every(pet(), RadionuclideHalfLife=None), "HalfLife is absent"),
    "half-life 0": (lambda: every(pet(), RadionuclideHalfLife=0), "HalfLife is 0 s"),
    "nothing injected": (lambda: nobody_injected(pet()), "InformationSequence does not hold one"),
    "two injections": (lambda: injected_twice(pet()), "InformationSequence does not hold one"),
    "no time of injection": (
        lambda: every(pet(), RadiopharmaceuticalStartTime=None),
        "the time of the injection or of the series is absent",
    ),
    "a time to the hour only": (
        lambda: every(pet(), RadiopharmaceuticalStartTime="10"),
        "the time of the injection or of the series is absent",
    ),
    "two times of injection": (
        lambda: every(pet(), RadiopharmaceuticalStartDateTime="20240307093000"),
        "contradict each other",
    ),
    "a time zone and none of the series": (
        lambda: every(pet(), RadiopharmaceuticalStartDateTime="20240307100000+0200"),
        "contradict each other or the series",
    ),
    "injected after the scan": (
        lambda: every(
            pet(),
            RadiopharmaceuticalStartTime="113000",
            RadiopharmaceuticalStartDateTime="20240307113000",
        ),
        "the scan starts -1800 s after",
    ),
    "injected after the scan, without a date": (
        lambda: every(pet(), RadiopharmaceuticalStartTime="110500"),
        "the scan starts 86100 s after",
    ),
    "injected the day before": (
        lambda: every(pet(), RadiopharmaceuticalStartDateTime="20240306100000"),
        "the scan starts 90000 s after",
    ),
    "a long half-life without a date": (
        lambda: every(pet(), RadionuclideHalfLife=282240),
        "date of the injection is absent",
    ),
    "no decay correction": (lambda: pet(decay="NONE"), "DecayCorrection is NONE"),
    "unsaid decay correction": (
        lambda: every(pet(), DecayCorrection=None),
        "DecayCorrection is absent",
    ),
    "not corrected for decay": (lambda: every(pet(), CorrectedImage=["ATTN"]), "hold DECY"),
    "not corrected for attenuation": (lambda: every(pet(), CorrectedImage=["DECY"]), "hold ATTN"),
    "an intercept": (lambda: half(pet(), RescaleIntercept=3), "RescaleIntercept is not 0"),
    "a series made later": (lambda: every(pet(), SeriesTime="150000"), "SeriesTime is absent or l"),
    "no time of the series": (
        lambda: every(pet(), SeriesTime=None, RadiopharmaceuticalStartDateTime="20240307100000"),
        "SeriesTime is absent",
    ),
    "no time of acquisition": (lambda: half(pet(), AcquisitionTime=None), "AcquisitionTime is abs"),
    "GE's private time after an image": (
        lambda: ge(every(pet(), SeriesTime="150000"), "20240307113000"),
        "SeriesTime is absent or later",
    ),
    "counts": (lambda: pet("CNTS"), r"\(7053,1000\) and \(7053,1009\) are absent or 0"),
    "counts with factors of 0": (lambda: philips(pet("CNTS"), 0.0, 0.0), "are absent or 0"),
    "counts with a negative factor": (lambda: philips(pet("CNTS"), -0.01), "factor .* is -0.01"),
    "counts with an intercept": (
        lambda: every(philips(pet("CNTS"), 0.01), RescaleIntercept=1),
        "RescaleIntercept is not 0",
    ),
}


@pytest.mark.parametrize("case", NO_SUV)
def test_suv_is_refused_where_the_tags_do_not_allow_it(tmp_path: Path, case: str) -> None:
    build, detail = NO_SUV[case]
    folder = write(build(), tmp_path)
    with pytest.raises(InputRefused, match=detail) as caught:
        medseg.read(folder, pet="SUVbw")
    assert caught.value.code == "suv-not-computable"
    assert "--raw-units" in caught.value.remedy
    stored = medseg.read(folder, pet="stored")  # the way out always is one
    assert stored.unit in ("Bq/ml", "unknown")
    assert "suv" not in stored.meta


def test_pet_is_read_in_the_unit_of_its_tags_unless_suv_is_asked_for(tmp_path: Path) -> None:
    folder = write(pet(), tmp_path)
    as_it_is, asked = medseg.read(folder), medseg.read(folder, unit="SUVbw")
    assert (as_it_is.unit, asked.unit) == ("Bq/ml", "SUVbw")
    assert np.all(as_it_is.array == 500)
    assert medseg.read_volumes(folder, pet="SUVbw")[0].unit == "SUVbw"


def test_counts_become_activity_or_suv_and_stay_counts_on_request(tmp_path: Path) -> None:
    activity = write(philips(pet("CNTS"), None, 3.0), tmp_path / "activity")
    suv = write(philips(pet("CNTS"), 0.01, 3.0), tmp_path / "suv")
    assert read_dicom(activity).unit == "Bq/ml"
    np.testing.assert_allclose(read_dicom(activity).array, 1500)
    assert read_dicom(suv).unit == "SUVbw"
    counts = read_dicom(suv, pet="stored")
    assert counts.unit == "unknown"
    np.testing.assert_allclose(counts.array, 500)


def test_counts_without_a_factor_have_no_unit_and_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="CNTS") as caught:
        read_dicom(write(pet("CNTS"), tmp_path))
    assert caught.value.code == "suv-not-computable"


def test_a_private_block_is_found_wherever_its_creator_reserved_it(tmp_path: Path) -> None:
    slices = pet("CNTS")
    private(slices, 0x7053, "ANOTHER CREATOR", decoy=(0x00, "DS", 9.0))
    volume = read_dicom(write(philips(slices, 0.01), tmp_path), pet="SUVbw")
    np.testing.assert_allclose(volume.array, 5.0, rtol=1e-6)


def test_factor_and_parts_stand_in_the_provenance_without_names_and_times(tmp_path: Path) -> None:
    suv = medseg.read(write(pet(), tmp_path), pet="SUVbw").meta["suv"]
    assert suv == {
        "method": "body weight and dose",
        "decay_correction": "START",
        "half_life_s": 3600.0,
        "decay_s": 3600.0,
        "scan_start": "SeriesTime",
        "weight_kg": 70.0,
        "dose_bq": 350e6,
        "decayed_dose_bq": 175e6,
        "factor": pytest.approx(AN_HOUR_LATER, rel=1e-12),
    }
    text = json.dumps(dict(medseg.read(tmp_path, pet="SUVbw").meta))
    for word in (CANARY, "2024", "110000", "100000"):
        assert word not in text


def test_padding_stays_zero(tmp_path: Path) -> None:
    slices = pet()
    for ds in slices:
        values = np.full((ROWS, COLUMNS), STORED, np.int16)
        values[0] = -7
        set_pixels(ds, values)
        ds.PixelPaddingValue = -7
        ds["PixelPaddingValue"].VR = "SS"
    array = read_dicom(write(slices, tmp_path), pet="SUVbw").array
    assert np.all(array[:, 0] == 0)
    np.testing.assert_allclose(array[:, 1:], 0.2, rtol=1e-6)


def test_the_wish_for_suv_means_nothing_to_other_images(tmp_path: Path) -> None:
    volume = read_dicom(write(series(), tmp_path), pet="SUVbw")
    assert (volume.unit, "suv" in volume.meta) == ("HU", False)


def test_a_listing_says_where_suv_cannot_be_had(tmp_path: Path) -> None:
    (fine,) = describe_dicom(write(pet(), tmp_path / "fine"))
    assert (fine.status, fine.unit, fine.warnings) == ("read", "Bq/ml", ())
    (light,) = describe_dicom(write(every(pet(), PatientWeight=None), tmp_path / "light"))
    assert (light.status, dict(light.warnings)) == (
        "read",
        {"suv-not-computable": "PatientWeight is absent"},
    )
    (counts,) = describe_dicom(write(pet("CNTS"), tmp_path / "counts"))
    assert (counts.status, counts.code) == ("refused", "suv-not-computable")


@pytest.fixture
def sarcoma(shared_data: Path) -> Path:
    return shared_data / "dicom" / "sarcoma_pet_rtstruct"


def test_a_real_series_in_suv_is_taken_as_it_is(sarcoma: Path) -> None:
    volume = read_dicom(sarcoma, pet="SUVbw")
    assert volume.unit == "SUVbw"
    assert volume.array.max() == pytest.approx(6.3759, abs=1e-4)
    assert dict(volume.meta["suv"]) == {"method": "stored as SUVbw"}


def test_a_real_series_given_in_activity_comes_back_in_its_suv(
    sarcoma: Path, tmp_path: Path
) -> None:
    per_bq = 66.0 * 1000 / 413949888  # its PatientWeight and RadionuclideTotalDose; ADMIN
    for path in sarcoma.iterdir():
        ds = dcmread(path)
        if ds.Modality != "PT":
            continue
        ds.Units = "BQML"
        del ds.SUVType
        ds.RescaleSlope = f"{float(ds.RescaleSlope) / per_bq:.10g}"
        ds.save_as(tmp_path / path.name)
    before, after = read_dicom(sarcoma), read_dicom(tmp_path, pet="SUVbw")
    assert read_dicom(tmp_path).unit == "Bq/ml"
    np.testing.assert_allclose(after.array, before.array, rtol=1e-6)
    assert after.meta["suv"]["decay_correction"] == "ADMIN"
