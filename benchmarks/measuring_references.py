"""Every value that medseg gives and a reference knows: IBSI 1, PyRadiomics' cases, MS lesions.

    python benchmarks/measuring_references.py [--shared FOLDER]

- IBSI 1, digital phantom, and CT phantom in configuration A (no resampling; the intensity mask is
  what lies in -500 to 400 HU, the morphological mask the drawn one): consensus and tolerance. Where
  that is 0, half a unit of the last printed digit. Source: Zwanenburg et al., Radiology 2020;
  the CT phantom is CC BY-NC 3.0 and not part of medseg.
- PyRadiomics' five cases (its stored baseline, without resampling): axes in its convention, the
  covariance divided by N. Its own 3.0.1 differs from that baseline by up to 0.09 % of area.
- MS lesions: number of components of each mask at 6, 18 and 26 neighbours beside scipy's and, for
  6 and 26, SimpleITK's.

Ends with exit status 1 where a value is outside.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from checking import SHARED, Check, half_last_digit, present, print_checks
from numpy.typing import NDArray
from scipy import ndimage

import medseg
from medseg.measurement import split_components
from medseg.measurement.shape import MaskShape, mask_shape
from medseg.measurement.suv import peaks
from medseg.types import Geometry, Instances, Volume

RESEGMENTED_HU = (-500, 400)  # IBSI 1, configuration A

IBSI_SHAPE = {
    "morph_volume": ("volume_mesh_ml", 1000.0),
    "morph_vol_approx": ("volume_ml", 1000.0),
    "morph_area_mesh": ("surface_area_mm2", 1.0),
    "morph_sphericity": ("sphericity", 1.0),
    "morph_diam": ("diameter_3d_mm", 1.0),
    "morph_pca_maj_axis": ("axis_major_mm", 1.0),
    "morph_pca_min_axis": ("axis_minor_mm", 1.0),
    "morph_pca_least_axis": ("axis_least_mm", 1.0),
    "morph_pca_elongation": ("elongation", 1.0),
    "morph_pca_flatness": ("flatness", 1.0),
}
"""Column of the table and what takes it to IBSI's unit."""

PYRADIOMICS_CASES = ("brain1", "brain2", "breast1", "lung1", "lung2")
PYRADIOMICS_COMPONENTS = {"brain1": 2}
PYRADIOMICS_SHAPE = {
    "MeshVolume": ("volume_mesh_ml", 1000.0, 1e-3),
    "SurfaceArea": ("surface_area_mm2", 1.0, 6e-3),
    "Sphericity": ("sphericity", 1.0, 6e-3),
    "Maximum3DDiameter": ("diameter_3d_mm", 1.0, 1e-4),
    "MajorAxisLength": ("axis_major_mm", 1.0, 1e-6),
    "MinorAxisLength": ("axis_minor_mm", 1.0, 1e-6),
    "LeastAxisLength": ("axis_least_mm", 1.0, 1e-6),
    "Elongation": ("elongation", 1.0, 1e-6),
    "Flatness": ("flatness", 1.0, 1e-6),
}
"""Field, what takes it to PyRadiomics' unit, and the relative tolerance."""
VOXEL_VOLUME = 1e-6


def masked(volume: Volume, mask: NDArray[np.bool_]) -> Instances:
    """The mask as one lesion on the image's grid."""
    return Instances.from_labelmap(mask.astype(np.uint8), volume.geometry)


def statistics(volume: Volume, roi: Instances) -> dict[str, float]:
    """IBSI's intensity statistics and peaks that the table has columns for."""
    row = medseg.measure(roi, volume, groups=("intensity",)).iloc[0]
    highest = peaks(roi, volume)
    return {
        "stat_mean": row["intensity_mean"],
        "stat_var": row["intensity_std"] ** 2,
        "stat_min": row["intensity_min"],
        "stat_p10": row["intensity_p10"],
        "stat_median": row["intensity_median"],
        "stat_p90": row["intensity_p90"],
        "stat_max": row["intensity_max"],
        "stat_iqr": row["intensity_p75"] - row["intensity_p25"],
        "loc_peak_loc": float(highest.local_peak[0]),
        "loc_peak_glob": float(highest.global_peak[0]),
    }


def consensus(file: Path) -> Iterator[tuple[str, str, float]]:
    """Tag, value as printed and tolerance of each line that has a value."""
    with file.open(newline="") as lines:
        for value, tolerance, tag in list(csv.reader(lines, delimiter=";"))[1:]:
            if value:
                yield tag, value, float(tolerance)


def ibsi(case: str, folder: Path, values: Path, window: tuple[int, int] | None) -> list[Check]:
    """One phantom: shape of the drawn mask, statistics of what the window keeps of it."""
    volume = medseg.read(folder / "phantom.nii.gz")
    drawn = np.asarray(medseg.read(folder / "mask.nii.gz").array) > 0
    low, high = window or (-np.inf, np.inf)
    kept = drawn & (volume.array >= low) & (volume.array <= high)
    shape = medseg.measure(masked(volume, drawn), groups=("size", "shape")).iloc[0]
    got = {tag: shape[column] * factor for tag, (column, factor) in IBSI_SHAPE.items()}
    got |= statistics(volume, masked(volume, kept))
    return [
        Check(case, tag, float(printed), tolerance or half_last_digit(printed), float(got[tag]))
        for tag, printed, tolerance in consensus(values)
        if tag in got
    ]


def pyradiomics(case: str, folder: Path, baseline: dict[str, str]) -> list[Check]:
    """One case: its label as one mask, and how many components it has."""
    image = SimpleITK.ReadImage(str(folder / f"{case}_label.nrrd"))
    mask = np.asarray(SimpleITK.GetArrayFromImage(image)) == 1
    z, y, x = image.GetSpacing()[::-1]
    found = mask_shape(mask, (z, y, x), covariance="population")
    checks = list(_pyradiomics_values(case, found, baseline))
    geometry = Geometry.from_spacing(mask.shape, (z, y, x))
    whole = Instances.from_labelmap(mask.astype(np.uint8), geometry)
    row = medseg.measure(whole, groups=("size",)).iloc[0]
    volume = float(baseline["VoxelVolume"])
    got = float(row["volume_ml"]) * 1000
    parts = len(split_components(whole))
    return [
        Check(case, "VoxelVolume", volume, VOXEL_VOLUME * volume, got),
        *checks,
        Check(case, "components (26)", PYRADIOMICS_COMPONENTS.get(case, 1), 0, parts),
    ]


def _pyradiomics_values(case: str, found: MaskShape, baseline: dict[str, str]) -> Iterator[Check]:
    for name, (field, factor, relative) in PYRADIOMICS_SHAPE.items():
        expected = float(baseline[name])
        got = getattr(found, field) * factor
        yield Check(case, name, expected, relative * expected, got)


def baselines(file: Path) -> dict[str, dict[str, str]]:
    """The stored shape values of each case, by their short names."""
    with file.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["featureName"].startswith("original_")]
    return {
        case: {row["featureName"].rpartition("_")[2]: row[case] for row in rows}
        for case in PYRADIOMICS_CASES
    }


def counted(mask: NDArray[np.bool_], neighbours: int) -> tuple[int, int]:
    """Components by scipy and, for 6 and 26, by SimpleITK (else scipy's again)."""
    structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[neighbours])
    of_scipy = int(ndimage.label(mask, structure)[1])
    if neighbours == 18:
        return of_scipy, of_scipy
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    components: Any = SimpleITK.ConnectedComponentImageFilter()
    components.SetFullyConnected(neighbours == 26)
    components.Execute(image)
    return of_scipy, int(components.GetObjectCount())


def ms_lesions(files: list[Path]) -> list[Check]:
    """Components over all masks at each connectivity, and masks in which a count differs."""
    checks = []
    instances = [medseg.read_instances(file) for file in files]
    for neighbours in (6, 18, 26):
        ours = [len(split_components(one, connectivity=neighbours)) for one in instances]
        theirs = [counted(one.to_labelmap() > 0, neighbours) for one in instances]
        differ = sum(n != a or n != b for n, (a, b) in zip(ours, theirs, strict=True))
        case = f"{len(files)} masks, {neighbours}"
        total = sum(a for a, _ in theirs)
        checks += [
            Check(case, "components", total, 0, sum(ours)),
            Check(case, "masks that differ", 0, 0, differ),
        ]
    return checks


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shared", type=Path, default=SHARED, help="holds reference/ and data/")
    shared = parser.parse_args().shared
    reference = present(shared / "reference", "--shared")
    digital, chest = reference / "ibsi1_digital", reference / "ibsi1_ct"
    outside = print_checks(
        "IBSI 1", ibsi("digital", digital, digital / "ibsi_1_dig_phantom.csv", None)
    )
    outside += print_checks(
        "IBSI 1, CT phantom, configuration A",
        ibsi("CT, A", chest, digital / "ibsi_1_chest_config_a.csv", RESEGMENTED_HU),
    )
    cases = reference / "pyradiomics_cases"
    stored = baselines(cases / "baseline_shape.csv")
    shapes = [pyradiomics(case, cases, stored[case]) for case in PYRADIOMICS_CASES]
    outside += print_checks("PyRadiomics", [check for case in shapes for check in case])
    lesions = present(shared / "data" / "ms_lesion_mr", "--shared")
    files = sorted([*lesions.glob("labels/*.nii.gz"), *lesions.glob("extra_labels/*.nii.gz")])
    outside += print_checks("MS lesions, beside scipy and SimpleITK", ms_lesions(files))
    if outside:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
