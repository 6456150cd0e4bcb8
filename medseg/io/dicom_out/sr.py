"""The measures of instances as a structured report (TID 1500, PS3.16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as concepts
from pydicom.uid import ExplicitVRLittleEndian

from medseg.io.dicom.tags import quiet_pydicom
from medseg.io.dicom_out.codes import ANATOMY, SIDES, ClassCodes
from medseg.io.dicom_out.headers import evidence_of, take_over
from medseg.io.dicom_out.identity import PLACEHOLDER, Algorithm, identify, uid
from medseg.io.dicom_out.measures import ONE, Measured
from medseg.io.dicom_out.seg import (
    MANUFACTURER,
    SR_NUMBER,
    code_of,
    series_description,
    tracking_id,
    tracking_uid,
)
from medseg.io.dicom_out.source import Source
from medseg.types import Instance, Instances

_PROCEDURES = MappingProxyType(
    {
        "CT": concepts.LN.CTUnspecifiedBodyRegion,
        "MR": concepts.LN.MRIUnspecifiedBodyRegion,
        "PT": concepts.LN.PETUnspecifiedBodyRegion,
    }
)
_GroupOfMeasures = (
    sr.VolumetricROIMeasurementsAndQualitativeEvaluations | sr.MeasurementsAndQualitativeEvaluations
)


def report_dataset(
    instances: Instances,
    source: Source,
    segmentation: Dataset | None,
    *,
    measures: Mapping[int, Sequence[Measured]],
    codes: Mapping[str, ClassCodes],
    algorithm: Algorithm,
    moment: datetime,
) -> Dataset:
    """An unverified Comprehensive 3D SR with one group an instance, which names its segment.

    `segmentation` is the SEG of the same instances, None where there is none to hold: the report
    then says that there are 0 findings. `measures` has the rows of each instance by id.
    """
    evidence = evidence_of(source)
    groups: list[_GroupOfMeasures] = []
    with quiet_pydicom():
        if segmentation is None:
            groups.append(_nothing(source, algorithm))
        else:
            evidence.append(_stub(segmentation, evidence[0]))
            groups += [
                _group(number, item, source, segmentation, measures[item.id], codes, algorithm)
                for number, item in enumerate(instances.items, start=1)
            ]
        ds = sr.Comprehensive3DSR(
            evidence=evidence,
            content=_content(groups, source),
            series_instance_uid=PLACEHOLDER,
            series_number=SR_NUMBER,
            sop_instance_uid=PLACEHOLDER,
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
            transfer_syntax_uid=ExplicitVRLittleEndian,
        )
        plain = Dataset()
        plain.update(ds)
        plain.file_meta = ds.file_meta
        take_over(plain, source)
        plain.SeriesDescription = series_description(algorithm)
        identify(plain, "SR", moment)
    return plain


def _content(groups: Sequence[_GroupOfMeasures], source: Source) -> sr.MeasurementReport:
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=uid("device", MANUFACTURER), name=MANUFACTURER, manufacturer_name=MANUFACTURER
    )
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(concepts.DCM.Device, device)
        ),
        procedure_reported=_PROCEDURES[source.modality],
        imaging_measurements=list(groups),
        title=concepts.DCM.ImagingMeasurementReport,
    )


def _group(
    number: int,
    item: Instance,
    source: Source,
    segmentation: Dataset,
    rows: Sequence[Measured],
    codes: Mapping[str, ClassCodes],
    algorithm: Algorithm,
) -> sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    mine = codes[item.class_name]
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            tracking_uid(item, source, algorithm), tracking_id(item)
        ),
        referenced_segment=sr.ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            number,
            source_series=sr.SourceSeriesForSegmentation(source.series_uid),
        ),
        finding_category=code_of(mine.category),
        finding_type=code_of(mine.type),
        finding_sites=list(_sites(mine)) or None,
        algorithm_id=_identified(algorithm),
        measurements=list(map(_measurement, rows)) or None,
    )


def _sites(mine: ClassCodes) -> Iterator[sr.FindingSite]:
    """Where a lesion lies, or which part of an organ or which of two it is."""
    where = mine.site or (mine.type if mine.category == ANATOMY and mine.modifiers else None)
    if where is None:
        return
    side = next((one for one in mine.modifiers if one in SIDES), None)
    part = next((one for one in mine.modifiers if one not in SIDES), None)
    yield sr.FindingSite(
        code_of(where),
        laterality=None if side is None else code_of(side),
        topographical_modifier=None if part is None else code_of(part),
    )


def _measurement(row: Measured) -> sr.Measurement:
    one = sr.Measurement(
        row.name, float(row.text), row.unit, derivation=row.derivation, method=row.method
    )
    return _exactly(one, row.text)


def _exactly(one: sr.Measurement, text: str) -> sr.Measurement:
    """The measurement with the digits of the CSV, zeros at the end too."""
    one[0].MeasuredValueSequence[0].NumericValue = text
    return one


def _nothing(source: Source, algorithm: Algorithm) -> sr.MeasurementsAndQualitativeEvaluations:
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid("no finding", source.series_uid, algorithm.name, algorithm.version), "no finding"
        ),
        algorithm_id=_identified(algorithm),
        measurements=[_exactly(sr.Measurement(concepts.SCT.NumberOfLesions, 0, ONE), "0")],
    )


def _identified(algorithm: Algorithm) -> sr.AlgorithmIdentification:
    return sr.AlgorithmIdentification(algorithm.name, algorithm.version)


def _stub(segmentation: Dataset, like: Dataset) -> Dataset:
    """The SEG as evidence: which object it is, and no patient, whose values are not checked."""
    ds = Dataset()
    ds.update(like)
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        del ds[keyword]
        setattr(ds, keyword, segmentation[keyword].value)
    return ds
