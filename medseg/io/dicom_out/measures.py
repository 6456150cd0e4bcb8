"""Which measures of a table stand in a structured report, under which codes and units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medseg.io.tables import printed
from medseg.types import Modality

if TYPE_CHECKING:
    import pandas as pd


class Reported(NamedTuple):
    """How a column is told: the concept, what of it (mean, maximum), how it was got, the unit.

    None as concept or unit stands for those of the image's values.
    """

    name: Code | None
    derivation: Code | None
    method: Code | None
    unit: Code | None


class Measured(NamedTuple):
    """One measure of one object; `text` is the number as the CSV prints it."""

    column: str
    text: str
    name: Code
    derivation: Code | None
    method: Code | None
    unit: Code


ML = Code("mL", "UCUM", "milliliter")
MM = Code("mm", "UCUM", "millimeter")
ONE = Code("1", "UCUM", "no units")
_SUV = codes.UCUM.StandardizedUptakeValueBodyWeight
SCORE = Reported(codes.DCM.Probability, None, None, ONE)
_SUVBW = codes.DCM.Suvbw
_MEAN, _MAXIMUM = codes.SCT.Mean, codes.SCT.Maximum

COLUMNS: Mapping[str, Reported] = MappingProxyType(
    {
        "volume_ml": Reported(
            codes.SCT.Volume, None, codes.DCM.SumOfSegmentedVoxelMethodForVolume, ML
        ),
        "recist_long_mm": Reported(codes.SCT.LongAxis, None, None, MM),
        "recist_short_mm": Reported(codes.SCT.ShortAxis, None, None, MM),
        "diameter_3d_mm": Reported(codes.IBSI.Maximum3DDiameterOfAMesh, None, None, MM),
        "intensity_mean": Reported(None, _MEAN, None, None),
        "intensity_std": Reported(None, codes.SCT.StandardDeviation, None, None),
        "intensity_min": Reported(None, codes.SCT.Minimum, None, None),
        "intensity_max": Reported(None, _MAXIMUM, None, None),
        "intensity_median": Reported(None, codes.SCT.Median, None, None),
        "suv_max": Reported(_SUVBW, _MAXIMUM, None, _SUV),
        "suv_mean": Reported(_SUVBW, _MEAN, None, _SUV),
        "suv_peak_local": Reported(_SUVBW, codes.DCM.PeakValueWithinROI, None, _SUV),
    }
)
"""The columns of `medseg.measure` that a report tells, in its order."""

_VALUES: Mapping[str, tuple[Code, Code]] = MappingProxyType(
    {
        "HU": (codes.DCM.AttenuationCoefficient, codes.UCUM.HounsfieldUnit),
        "SUVbw": (_SUVBW, _SUV),
        "Bq/ml": (
            codes.DCM.NuclearMedicineTomographicActivity,
            codes.UCUM.BecquerelsPerMilliliter,
        ),
    }
)
_WITHOUT_UNIT: Mapping[Modality, tuple[Code, Code]] = MappingProxyType(
    {
        "CT": (codes.DCM.AttenuationCoefficient, ONE),
        "MR": (codes.DCM.MRSignalIntensity, ONE),
        "PT": (codes.DCM.NuclearMedicineTomographicActivity, ONE),
    }
)


def measured(
    table: pd.DataFrame, modality: Modality, *, with_score: bool
) -> dict[int, list[Measured]]:
    """The measures of each instance by its id; what is missing or not finite has no entry.

    `with_score` says that scores are a model's, not the 1 of a drawn object.
    """
    text = printed(table)
    wanted = {**COLUMNS, **({"score": SCORE} if with_score else {})}
    columns = {name: text[name].tolist() for name in wanted if name in text.columns}
    units = text["intensity_unit"].tolist() if "intensity_unit" in text.columns else None
    found: dict[int, list[Measured]] = {}
    for row, number in enumerate(table["instance_id"].tolist()):
        cells = {name: str(values[row]) for name, values in columns.items()}
        unit = str(units[row]) if units is not None else ""
        found[int(number)] = list(_row(cells, wanted, unit, modality))
    return found


def _row(
    cells: Mapping[str, str], wanted: Mapping[str, Reported], unit: str, modality: Modality
) -> Iterator[Measured]:
    name_of_values, unit_of_values = _VALUES.get(unit, _WITHOUT_UNIT[modality])
    suv = "suv_max" in cells and cells["suv_max"] not in ("", "nan")
    for column, text in cells.items():
        if text in ("", "nan", "inf", "-inf", "None", "<NA>"):
            continue
        if suv and column in ("intensity_mean", "intensity_max"):
            continue  # told as SUV already
        told = wanted[column]
        yield Measured(
            column,
            text,
            told.name or name_of_values,
            told.derivation,
            told.method,
            told.unit or unit_of_values,
        )
