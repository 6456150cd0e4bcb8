"""What one study leaves in a folder: masks, table, summary and picture, all of them or none."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medseg.io import write
from medseg.io.atomic import atomic_path, staged
from medseg.io.tables import write_table
from medseg.measurement import ClassTotal, Study, study, summarise
from medseg.types import InputWarning, Instance, Instances, Volume
from medseg.types.views import panoptic_map, semantic_map

if TYPE_CHECKING:
    import pandas as pd

    from medseg.io.dicom_out import DicomObjects

LABEL_MAP = "instances.nii.gz"
SEGMENTATION = "instances.seg.nrrd"
TABLE = "instances.csv"
PREVIEW = "preview.png"
SUMMARY = "summary.json"
FILES = (LABEL_MAP, SEGMENTATION, TABLE, PREVIEW, SUMMARY)

View = Literal["semantic", "panoptic"]
VIEWS: Mapping[View, tuple[str, ...]] = MappingProxyType(
    {
        "semantic": ("semantic.nii.gz", "semantic.json"),
        "panoptic": ("panoptic.nii.gz", "panoptic.json"),
    }
)
"""Files of other views of the same result."""

_SAID = ("versions", "input_sha256")
_VERSIONS_OF = ("medseg", "torch", "monai", "numpy")
_ML_DECIMALS = 6
_MM_DECIMALS = 3


@dataclass(frozen=True)
class Summary:
    """What `summary.json` says of a run: JSON-able, without paths and without patient data.

    `hidden_voxels` counts, for each instance that loses some, the voxels that the label map gives
    to another one. `study` has the burden in each organ and a proposal of RECIST targets; None
    where no table was made. `inputs` has one entry a channel. `provenance` is what `segment`
    recorded: model, device, every default that was applied.
    """

    classes: Mapping[str, ClassTotal]
    hidden_voxels: Mapping[int, int]
    warnings: tuple[InputWarning, ...]
    inputs: Mapping[str, Mapping[str, Any]]
    provenance: Mapping[str, Any]
    versions: Mapping[str, str]
    study: Study | None = None
    files: tuple[str, ...] = FILES

    def as_dict(self) -> dict[str, Any]:
        """All of it, in an order that is the same in every run."""
        return {
            "object_count": sum(total["count"] for total in self.classes.values()),
            "classes": {
                name: {**total, "volume_ml": round(total["volume_ml"], _ML_DECIMALS)}
                for name, total in self.classes.items()
            },
            **({} if self.study is None else {"study": _rounded(self.study)}),
            "hidden_voxels": {str(number): n for number, n in sorted(self.hidden_voxels.items())},
            "warnings": [one._asdict() for one in self.warnings],
            "inputs": {name: dict(facts) for name, facts in self.inputs.items()},
            **dict(sorted(self.provenance.items())),
            "versions": dict(self.versions),
            "files": list(self.files),
        }

    def in_words(self) -> str:
        """Counts and total volumes in one line."""
        parts = [
            f"{total['count']} {name} ({total['volume_ml']:.3f} ml)"
            for name, total in self.classes.items()
        ]
        return ", ".join(parts) or "no objects"


def write_results(
    volume: Volume | Mapping[str, Volume],
    instances: Instances,
    out: Path,
    *,
    table: pd.DataFrame,
    dicom: DicomObjects | None = None,
    views: Sequence[View] = (),
) -> Summary:
    """Write `FILES` into the folder `out`, which must be there; older ones are replaced.

    What other results of an earlier run lie there stays, and is named in a warning
    (`earlier-results`): it may be of another study.

    `volume` is what was segmented, several channels by name with the first on the instances' grid;
    `table` comes from `measure`; `dicom`, where given, is written too, and so are `views`: the
    class of each voxel, or its one segment with a list of what they are. The same values give the
    same bytes. All files are written beside the old ones first and take their places at the end,
    `summary.json` last: an error before that leaves `out` as it was.

    Raises OutputError where a file cannot be written.
    """
    from medseg.io.preview import write_preview  # matplotlib loads here, not for a table alone

    volumes = {"image": volume} if isinstance(volume, Volume) else dict(volume)
    image = next(iter(volumes.values()))
    summary = summary_of(volumes, instances, table)
    if dicom is not None:
        warnings = tuple(dict.fromkeys([*summary.warnings, *dicom.warnings]))
        summary = replace(summary, warnings=warnings, files=(*FILES[:-1], *dicom.files, FILES[-1]))
    others = [name for view in dict.fromkeys(views) for name in VIEWS[view]]
    summary = replace(summary, files=(*summary.files[:-1], *others, SUMMARY))
    replaced = (*summary.files, *(dicom.empty if dicom is not None else ()))
    summary = replace(summary, warnings=(*summary.warnings, *_left_there(out, replaced)))
    with staged(out, summary.files) as stage:
        write(without_overlaps(instances), stage / LABEL_MAP)
        write(instances, stage / SEGMENTATION)
        write_table(table, stage / TABLE)
        write_preview(image, instances, stage / PREVIEW)
        _write_views(instances, stage, others)
        if dicom is not None:
            dicom.save(stage)
        _write_text(json.dumps(summary.as_dict(), indent=2) + "\n", stage / SUMMARY)
    if dicom is not None:
        dicom.remove_empty(out)
    return summary


def _left_there(out: Path, replaced: Sequence[str]) -> list[InputWarning]:
    """A warning where results lie in `out` that are not among those to be `replaced`."""
    from medseg.io.dicom_out import FILES as DICOM_FILES

    known = [*DICOM_FILES.values(), *(name for names in VIEWS.values() for name in names)]
    left = [name for name in known if name not in replaced and (out / name).is_file()]
    if not left:
        return []
    detail = (
        f"{', '.join(left)} in the same folder are of an earlier run, perhaps of another study: "
        "remove them, or give every study a folder of its own"
    )
    return [InputWarning("earlier-results", detail)]


def _write_views(instances: Instances, stage: Path, names: Sequence[str]) -> None:
    geometry = instances.geometry
    if "semantic.nii.gz" in names:
        write(Volume(semantic_map(instances), geometry), stage / "semantic.nii.gz")
        values = {str(one.label): one.name for one in instances.classes}
        _write_text(json.dumps({"classes": values}, indent=2) + "\n", stage / "semantic.json")
    if "panoptic.nii.gz" in names:
        drawn, segments = panoptic_map(instances)
        write(Volume(drawn, geometry), stage / "panoptic.nii.gz")
        _write_text(json.dumps({"segments": segments}, indent=2) + "\n", stage / "panoptic.json")


def summary_of(
    volumes: Mapping[str, Volume], instances: Instances, table: pd.DataFrame | None = None
) -> Summary:
    """The summary of a run without writing anything; `table` comes from `measure`."""
    hidden = hidden_voxels(instances)
    known = instances.provenance.get("input_sha256", {})
    given = [*instances.warnings, *(one for image in volumes.values() for one in image.warnings)]
    if hidden:
        detail = (
            f"objects overlap, and {LABEL_MAP} gives each voxel to the higher score: it hides "
            f"{sum(hidden.values())} voxels of {len(hidden)} objects; {SEGMENTATION} has them all"
        )
        given.append(InputWarning("overlap-hidden", detail))
    return Summary(
        classes=summarise(instances),
        hidden_voxels=hidden,
        warnings=tuple(dict.fromkeys(given)),
        inputs={name: _facts(image, known.get(name)) for name, image in volumes.items()},
        provenance={key: one for key, one in instances.provenance.items() if key not in _SAID},
        versions=versions(),
        study=None if table is None else study(instances, table),
    )


def _rounded(found: Study) -> dict[str, Any]:
    total_mm = found["targets"]["sum_of_diameters_mm"]
    return {
        "organs": [
            {**one, "volume_ml": round(one["volume_ml"], _ML_DECIMALS)} for one in found["organs"]
        ],
        "targets": {
            **found["targets"],
            "sum_of_diameters_mm": None if total_mm is None else round(total_mm, _MM_DECIMALS),
        },
    }


@cache
def versions() -> Mapping[str, str]:
    """The versions that a result depends on; reads metadata alone, so nothing is imported."""
    found = {}
    for name in _VERSIONS_OF:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return MappingProxyType({**found, "python": platform.python_version()})


def volume_sha256(volume: Volume) -> str:
    """SHA-256 of the voxels, their type, shape and affine; not of any tag or path.

    Hashes the text `<dtype> <z> <y> <x>` and a line end, the little-endian C-ordered voxels, and
    the affine as 16 little-endian float64.
    """
    array = volume.array.astype(volume.array.dtype.newbyteorder("<"), order="C", copy=False)
    shape = " ".join(str(length) for length in array.shape)
    affine = (volume.geometry.affine + 0.0).astype("<f8")  # -0.0 and 0.0 are one affine
    digest = hashlib.sha256(f"{array.dtype.str} {shape}\n".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)
    digest.update(affine.tobytes())
    return digest.hexdigest()


def hidden_voxels(instances: Instances) -> dict[int, int]:
    """Voxels of each instance that a label map gives to another; those that lose none are out."""
    labels = instances.to_labelmap(on_overlap="higher_score")
    lost = {
        item.id: int(np.count_nonzero(labels[item.box][item.mask] != item.id))
        for item in instances.items
    }
    return {number: voxels for number, voxels in lost.items() if voxels}


def without_overlaps(instances: Instances) -> Instances:
    """The instances as a label map shows them: each voxel goes to the higher score.

    One that is hidden wholly is left out.
    """
    labels = instances.to_labelmap(on_overlap="higher_score")
    return replace(
        instances, items=[part for item in instances.items if (part := _visible(item, labels))]
    )


def _visible(item: Instance, labels: Any) -> Instance | None:
    mask = labels[item.box] == item.id
    if np.array_equal(mask, item.mask):
        return item
    z, y, x = (part.start for part in item.box)
    return Instance.from_mask(
        mask,
        id=item.id,
        class_name=item.class_name,
        kind=item.kind,
        score=item.score,
        offset=(z, y, x),
    )


def _facts(volume: Volume, sha256: str | None) -> dict[str, Any]:
    geometry = volume.geometry
    return {
        "sha256": sha256 or volume_sha256(volume),
        "shape_zyx": list(geometry.shape),
        "spacing_mm_zyx": [round(mm, 6) for mm in geometry.spacing_mm],
        "modality": volume.modality,
        "unit": volume.unit,
        **{key: volume.meta[key] for key in ("series", "volume", "suv") if volume.meta.get(key)},
    }


def _write_text(text: str, path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())
