"""SEG and SR written by medseg, read by others: voxels, millimetres, digits, validator, time.

    python benchmarks/dicom_out.py [--lesions 60] [--slices 200] [--size 512]

- 12 orientations, each also turned by (0.2, 0.15, -0.3) rad: overlapping masks, a single voxel, all
  corners; the SEG read by highdicom and by dcmqi's `segimage2itkimage` (the programs of the PyPI
  package, skipped where they are not found). Voxels that differ, and the largest distance in mm
  between a voxel that a reader places and the same one of the source.
- Each number of the report beside the cell of instances.csv; tracking UIDs of SR and SEG.
- `dciodvfy` (Debian: dicom3tools), if found: errors that the source does not have itself.
- Time and peak memory of writing many overlapping lesions, beside highdicom's own way of writing
  overlaps (one array of all segments), which `--peer` runs.

Ends with exit status 1 where something differs.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import SimpleITK
from checking import Check, print_checks
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels
from pydicom.sr.codedict import codes

from medseg.io.dicom_out import FILES, Source, dicom_objects, read_source, write_dicom
from medseg.io.tables import write_table
from medseg.measurement import measure
from medseg.phantom.dicom import write_dicom_series
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

MOMENT = datetime(2026, 1, 2, 3, 4, 5)
CLASSES = (InstanceClass("liver", "organ", 1), InstanceClass("lung nodule", "lesion", 2))
SHAPE = (9, 14, 11)
SPACING_MM = (3.0, 0.8, 1.1)
_TURN_RAD = (0.2, 0.15, -0.3)
_AXES = "xyz"
COLUMNS = {
    ("118565006", ""): "volume_ml",
    ("103339001", ""): "recist_long_mm",
    ("103340004", ""): "recist_short_mm",
    ("L0JK", ""): "diameter_3d_mm",
    ("112031", "373098007"): "intensity_mean",
    ("112031", "386136009"): "intensity_std",
    ("112031", "255605001"): "intensity_min",
    ("112031", "56851009"): "intensity_max",
    ("112031", "373099004"): "intensity_median",
}
"""Code of a measure and of its derivation: the column of the CSV."""


def orientations() -> Iterator[tuple[str, Geometry]]:
    """Row along x, y or x and column along y, z or z, in all signs; each straight and turned."""
    turn = _rotation(*_TURN_RAD)
    for (row, column), signs in itertools.product(
        ((0, 1), (1, 2), (0, 2)), itertools.product((1, -1), (1, -1))
    ):
        x, y = np.eye(3)[row] * signs[0], np.eye(3)[column] * signs[1]
        axes = np.stack([np.cross(x, y), y, x], axis=1)
        names = "".join(
            "-+"[sign > 0] + _AXES[one] for one, sign in zip((row, column), signs, strict=True)
        )
        for name, matrix in ((names, axes), (f"{names} turned", turn @ axes)):
            affine = np.eye(4)
            affine[:3, :3] = matrix * SPACING_MM
            affine[:3, 3] = (-31.5, 12.25, 101.125)
            yield name, Geometry(SHAPE, affine)


def _rotation(a: float, b: float, c: float) -> NDArray[np.float64]:
    one = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    two = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    three = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return np.asarray(three @ two @ one)


def objects(geometry: Geometry, seed: int = 0) -> Instances:
    """Two that overlap, one voxel in a corner, one in the opposite corners, one of parts."""
    rng = np.random.default_rng(seed)
    masks = [np.zeros(geometry.shape, dtype=bool) for _ in range(5)]
    masks[0][1:6, 2:9, 3:8] = True
    masks[1][4:8, 5:12, 5:10] = rng.random((4, 7, 5)) < 0.6
    masks[2][0, 0, 0] = True
    masks[3][[0, -1], [-1, 0], [-1, 0]] = True
    masks[4][2:8, 2:12, 1:9] = rng.random((6, 10, 8)) < 0.1
    items = [
        Instance.from_mask(mask, id=number, class_name=one.name, kind=one.kind, score=0.9)
        for number, mask, one in zip(
            (7, 3, 12, 5, 1), masks, (CLASSES[0], *[CLASSES[1]] * 4), strict=True
        )
    ]
    model = {"model": {"name": "benchmark", "version": "1.0"}}
    return Instances(geometry, [one for one in items if one], CLASSES, (), model)


def write_case(geometry: Geometry, folder: Path) -> tuple[Source, Instances, Path]:
    """A series of that geometry in `folder/source`, and its objects as DICOM and CSV."""
    rng = np.random.default_rng(1)
    image = rng.integers(-1000, 1000, geometry.shape).astype(np.int16)
    volume = Volume(image, geometry, "CT", "HU", slice_thickness_mm=geometry.spacing_mm[0])
    write_dicom_series(volume, folder / "source")
    source = read_source(folder / "source")
    found = objects(source.geometry)
    table = measure(found, source.volume())
    out = folder / "out"
    out.mkdir()
    write_table(table, out / "instances.csv")
    write_dicom(found, source, out, formats=("seg", "sr"), table=table, timestamp=MOMENT)
    return source, found, out


def full_mask(item: Instance, geometry: Geometry) -> NDArray[np.bool_]:
    """The mask on the whole grid."""
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[item.box] = item.mask
    return mask


def by_highdicom(out: Path, found: Instances) -> tuple[int, float]:
    """Voxels that differ, and the largest error in mm of where highdicom places one."""
    read = highdicom.seg.segread(out / FILES["seg"]).get_volume(combine_segments=False)
    differing, worst = 0, 0.0
    for number, item in enumerate(found.items):
        index = np.argwhere(read.array[..., number] > 0)
        world = index @ read.affine[:3, :3].T + read.affine[:3, 3]
        lost, off = _compared(world, item, found.geometry)
        differing, worst = differing + lost, max(worst, off)
    return differing, worst


def by_dcmqi(out: Path, found: Instances, program: str) -> tuple[int, float]:
    """The same of the volumes that dcmqi writes, read by SimpleITK."""
    with tempfile.TemporaryDirectory() as folder:
        words = [program, "--inputDICOM", str(out / FILES["seg"]), "--outputDirectory", folder]
        subprocess.run([*words, "--outputType", "nrrd"], check=True, capture_output=True)
        differing, worst = 0, 0.0
        for number, item in enumerate(found.items, start=1):
            image = SimpleITK.ReadImage(str(Path(folder, f"{number}.nrrd")))
            index = np.argwhere(SimpleITK.GetArrayFromImage(image) > 0)[:, ::-1]
            world = [image.TransformIndexToPhysicalPoint([int(n) for n in one]) for one in index]
            lost, off = _compared(np.asarray(world).reshape(-1, 3), item, found.geometry)
            differing, worst = differing + lost, max(worst, off)
    return differing, worst


def _compared(world: NDArray[Any], item: Instance, geometry: Geometry) -> tuple[int, float]:
    mask = full_mask(item, geometry)
    index = np.rint(geometry.world_to_index(world)).astype(int)
    inside = ((index >= 0) & (index < geometry.shape)).all(axis=1)
    got = np.zeros_like(mask)
    got[tuple(index[inside].T)] = True
    off = np.abs(geometry.index_to_world(index) - world).max(initial=0.0)
    return int(np.count_nonzero(got != mask) + np.count_nonzero(~inside)), float(off)


def report_checks(case: str, out: Path) -> list[Check]:
    """Every number of the report beside the printed cell, and what the CSV has and it lacks."""
    with (out / "instances.csv").open(newline="") as file:
        rows = {int(row["instance_id"]): row for row in csv.DictReader(file)}
    segmentation, report = dcmread(out / FILES["seg"]), dcmread(out / FILES["sr"])
    tracked = {one.TrackingID: one.TrackingUID for one in segmentation.SegmentSequence}
    differing, wanted, told, astray = 0, 0, 0, 0
    for group in _groups(report):
        name = _value(group, "112039").TextValue
        astray += tracked[name] != _value(group, "112040").UID
        row = rows[int(name.rpartition(" ")[2])]
        wanted += sum(row[column] != "" for column in COLUMNS.values())
        for code, text in _numbers(group):
            if code in COLUMNS:
                told += 1
                differing += row[COLUMNS[code]] != text
    return [
        Check(case, "digits that differ", 0, 0, differing),
        Check(case, "measures told", wanted, 0, told),
        Check(case, "tracking UIDs astray", 0, 0, astray),
    ]


def _groups(report: Dataset) -> Iterator[Dataset]:
    for part in report.ContentSequence:
        if part.ConceptNameCodeSequence[0].CodeValue == "126010":
            yield from part.ContentSequence


def _value(group: Dataset, code: str) -> Dataset:
    return next(
        one for one in group.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == code
    )


def _numbers(group: Dataset) -> Iterator[tuple[tuple[str, str], str]]:
    for one in group.ContentSequence:
        if one.ValueType != "NUM":
            continue
        derived = [
            part.ConceptCodeSequence[0].CodeValue
            for part in one.get("ContentSequence", ())
            if part.ConceptNameCodeSequence[0].CodeValue == "121401"
        ]
        text = one.MeasuredValueSequence[0].get_item("NumericValue").value
        text = text.decode().strip() if isinstance(text, bytes) else str(text)
        yield (one.ConceptNameCodeSequence[0].CodeValue, "".join(derived)), text


def validator_errors(file: Path, program: str) -> set[str]:
    """The lines of dciodvfy that begin with Error."""
    run = subprocess.run([program, str(file)], capture_output=True, check=False)
    text = run.stderr.decode("latin-1") + run.stdout.decode("latin-1")
    return {line for line in text.splitlines() if line.startswith("Error")}


def case_checks(name: str, geometry: Geometry, tools: dict[str, str | None]) -> list[Check]:
    """All that is compared of one orientation."""
    with tempfile.TemporaryDirectory() as folder:
        _, found, out = write_case(geometry, Path(folder))
        checks = []
        dcmqi, validator = tools["segimage2itkimage"], tools["dciodvfy"]
        for reader, (lost, off) in (
            ("highdicom", by_highdicom(out, found)),
            *([("dcmqi", by_dcmqi(out, found, dcmqi))] if dcmqi else []),
        ):
            checks.append(Check(name, f"{reader}: voxels", 0, 0, lost))
            checks.append(Check(name, f"{reader}: mm", 0, 1e-6, off))
        checks += report_checks(name, out)
        if validator:
            own = validator_errors(Path(folder, "source", "0001.dcm"), validator)
            for kind in ("seg", "sr"):
                more = validator_errors(out / FILES[kind], validator) - own
                checks.append(Check(name, f"dciodvfy errors: {kind}", 0, 0, len(more)))
        return checks


def time_many(lesions: int, slices: int, size: int, *, peer: bool) -> None:
    """Seconds and memory of a SEG of many balls, every second one over its neighbour."""
    geometry = Geometry.from_spacing((slices, size, size), (2.5, 0.8, 0.8))
    with tempfile.TemporaryDirectory() as folder:
        plain = Volume(np.zeros(geometry.shape, dtype=np.int16), geometry, "CT", "HU")
        write_dicom_series(plain, Path(folder, "source"))
        source = read_source(Path(folder, "source"))
        found = _balls(source.geometry, lesions)

        def ours() -> Dataset:
            made = dicom_objects(found, source, formats=("seg",), timestamp=MOMENT)
            return made.objects[FILES["seg"]]

        made = ours()
        print(f"\n{lesions} lesions, some over others, {geometry.shape}")
        print(f"{made.NumberOfFrames} frames, {len(made.PixelData) / 1e6:.1f} MB of pixel data")
        _print_cost("medseg", ours)
        if peer:
            theirs = _by_peer(source, found)
            pairs = zip(iter_pixels(made), iter_pixels(theirs), strict=True)
            same = all(np.array_equal(one, other) for one, other in pairs)
            _print_cost("highdicom", lambda: _by_peer(source, found))
            print(f"the same frames in the same order: {same}")


def _print_cost(who: str, write: Callable[[], Dataset]) -> None:
    """Seconds of the processor, and the peak of memory in a run of its own, which is slower."""
    start = time.process_time()
    write()
    seconds = time.process_time() - start
    tracemalloc.start()
    write()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(f"{who:<10}{seconds:7.2f} s {peak / 1e6:8.0f} MB")


def _balls(geometry: Geometry, count: int) -> Instances:
    rng = np.random.default_rng(0)
    z, y, x = np.ogrid[-7:8, -12:13, -12:13]
    ball = (z * 2.5) ** 2 + (y * 0.8) ** 2 + (x * 0.8) ** 2 <= 9.0**2
    items = []
    for number in range(1, count + 1):
        if number % 2:
            corner = [
                int(rng.integers(0, n - m)) for n, m in zip(geometry.shape, ball.shape, strict=True)
            ]
        else:
            corner = [corner[0], corner[1], max(0, corner[2] - 6)]
        start = (corner[0], corner[1], corner[2])
        item = Instance.from_mask(
            ball, id=number, class_name="lung nodule", kind="lesion", offset=start
        )
        items += [item] if item else []
    return Instances(geometry, items, CLASSES)


def _by_peer(source: Source, found: Instances) -> Dataset:
    masks = np.stack([full_mask(item, found.geometry) for item in found.items], axis=-1)
    volume = highdicom.Volume(
        masks.astype(np.uint8),
        found.geometry.affine,
        "PATIENT",
        frame_of_reference_uid=source.frame_of_reference_uid,
        channels={"SegmentNumber": range(1, len(found) + 1)},
    )
    described = [
        highdicom.seg.SegmentDescription(
            number,
            f"{number}",
            codes.SCT.MorphologicallyAbnormalStructure,
            codes.SCT.Nodule,
            "MANUAL",
        )
        for number in range(1, len(found) + 1)
    ]
    uids = [highdicom.UID() for _ in range(2)]
    return highdicom.seg.Segmentation(
        list(source.datasets), volume, "BINARY", described, uids[0], 1, uids[1], 1,
        "medseg", "medseg", "1", "1",
    )  # fmt: skip


def main() -> int:
    """Print every comparison; 1 where one fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lesions", type=int, default=60)
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument(
        "--peer", action="store_true", help="run highdicom's way too (GB of memory)"
    )
    parser.add_argument("--no-timing", action="store_true")
    said = parser.parse_args()
    beside = Path(sys.executable).parent
    tools = {
        name: shutil.which(name) or shutil.which(name, path=str(beside))
        for name in ("segimage2itkimage", "dciodvfy")
    }
    for name, path in tools.items():
        if path is None:
            print(f"{name}: not found, not run")
    checks = [one for name, grid in orientations() for one in case_checks(name, grid, tools)]
    outside = print_checks("SEG and SR in 24 orientations", checks)
    if not said.no_timing:
        time_many(said.lesions, said.slices, said.size, peer=said.peer)
    return int(outside > 0)


if __name__ == "__main__":
    raise SystemExit(main())
