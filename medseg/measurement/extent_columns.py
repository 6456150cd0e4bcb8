"""The columns that say which object it is, how large and of what shape."""

from __future__ import annotations

from medseg.measurement.column import DICOM_AXES, IBSI, OWN, RECIST, Column, DType
from medseg.measurement.partial_volume import HIGH_FROM, LOW_FROM

IDENTITY = (
    Column("instance_id", "always", "int64", "", "Number of the object; kept from the file.", OWN),
    Column("class_name", "always", "str", "", "What the object is.", OWN),
    Column("kind", "always", "str", "", "organ (one object a class) or lesion (many).", OWN),
    Column(
        "score", "always", "float64", "", "How sure the model is, 0 to 1; 1 for drawn objects.", OWN
    ),
)

_PATIENT = {"x": "the patient's left", "y": "the patient's back", "z": "the patient's head"}


def _partial(name: str, definition: str) -> Column:
    text = f"{definition} Empty without probabilities, and where they do not tell (see notes)."
    return Column(f"volume_{name}_ml", "size", "float64", "mL", text, OWN)


def _centroid(axis: str) -> Column:
    text = f"Mean position of the voxel centres, {axis} in LPS (towards {_PATIENT[axis]})."
    return Column(f"centroid_{axis}_mm", "size", "float64", "mm", text, DICOM_AXES)


def _bounds(axis: str) -> tuple[Column, Column]:
    first, past = f"First index along {axis}.", f"One past the last index along {axis}."
    return (
        Column(f"bbox_{axis}_start", "size", "int64", "voxel", first, OWN),
        Column(f"bbox_{axis}_stop", "size", "int64", "voxel", past, OWN),
    )


SIZE = (
    Column("voxel_count", "size", "int64", "voxel", "Voxels in the object's mask.", OWN),
    Column(
        "volume_ml",
        "size",
        "float64",
        "mL",
        "Number of voxels times the volume of one, the determinant of the image's affine.",
        f"{IBSI}, YEKZ, volume from voxel summation",
    ),
    _partial("partial", "Sum of the voxels' probabilities times the volume of one."),
    _partial("low", f"Volume of the voxels of probability {LOW_FROM} or more: almost sure."),
    _partial("high", f"Volume of the voxels of probability {HIGH_FROM} or more: possible."),
    *(_centroid(axis) for axis in "xyz"),
    *(column for axis in "zyx" for column in _bounds(axis)),
)


def _shape(name: str, unit: str, definition: str, tag: str) -> Column:
    return Column(name, "shape", "float64", unit, definition, f"{IBSI}, {tag}")


_AXIS = (
    "4 times the square root of the {} eigenvalue of the covariance of the voxel centres. "
    "The covariance is that of a sample (divided by N - 1), as IBSI's reference values are; "
    "PyRadiomics divides by N. Empty for one voxel."
)

SHAPE = (
    _shape(
        "volume_mesh_ml",
        "mL",
        "Volume inside the surface mesh: marching cubes at one half, closed at the image's border.",
        "RNU0, volume of mesh",
    ),
    _shape("surface_area_mm2", "mm2", "Area of the surface mesh.", "C0JK, surface area of mesh"),
    _shape(
        "sphericity",
        "",
        "Area of a ball of the mesh's volume over the area of the mesh; 1 for a ball.",
        "QCFX, sphericity",
    ),
    _shape(
        "diameter_3d_mm",
        "mm",
        "Largest distance between two vertices of the surface mesh. Not RECIST's diameter.",
        "L0JK, maximum 3D diameter",
    ),
    _shape("axis_major_mm", "mm", _AXIS.format("largest"), "TDIC, major axis length"),
    _shape("axis_minor_mm", "mm", _AXIS.format("second"), "P9VJ, minor axis length"),
    _shape("axis_least_mm", "mm", _AXIS.format("least"), "7J51, least axis length"),
    _shape(
        "elongation",
        "",
        "Minor over major axis: 1 for a ball, towards 0 for a thread. Empty for one voxel.",
        "Q3CK, elongation",
    ),
    _shape(
        "flatness",
        "",
        "Least over major axis: 1 for a ball, 0 for a sheet. Empty for one voxel.",
        "N17B, flatness",
    ),
)


def _recist(
    name: str, unit: str, definition: str, *, dtype: DType = "float64", source: str = RECIST
) -> Column:
    return Column(f"recist_{name}", "recist", dtype, unit, definition, source)


def _ends(which: str, what: str) -> tuple[Column, ...]:
    """Both ends of a diameter: as index of the array (z, y, x), then in LPS."""
    index = [
        _recist(
            f"{which}_{end}_{axis}",
            "index",
            f"{end.capitalize()} of the {what} along the array's {axis}; a voxel n reaches from "
            "n - 0.5 to n + 0.5.",
            source=OWN,
        )
        for end in ("start", "stop")
        for axis in "zyx"
    ]
    world = [
        _recist(
            f"{which}_{end}_{axis}_mm",
            "mm",
            f"{end.capitalize()} of the {what}, {axis} in LPS (towards {_PATIENT[axis]}).",
            source=DICOM_AXES,
        )
        for end in ("start", "stop")
        for axis in "xyz"
    ]
    return *index, *world


RECIST_COLUMNS = (
    _recist(
        "long_mm",
        "mm",
        "Longest diameter in one slice of the acquisition plane, between outer corners of voxels. "
        "Empty for organs, as are all columns of RECIST.",
    ),
    _recist(
        "short_mm",
        "mm",
        "Longest chord perpendicular to recist_long_mm in the same slice; the short axis of nodes.",
    ),
    _recist(
        "product_mm2",
        "mm2",
        "recist_long_mm times recist_short_mm.",
        source="WHO criteria (Miller et al., Cancer 1981), bidimensional product",
    ),
    _recist(
        "axis",
        "",
        "Axis of the array (z, y or x) across which slices were acquired; where that is unknown, "
        "the one nearest to head-feet, which the notes then say.",
        dtype="str",
        source=OWN,
    ),
    _recist(
        "slice", "index", "Slice of both diameters along recist_axis.", dtype="Int64", source=OWN
    ),
    *_ends("long", "longest diameter"),
    *_ends("short", "perpendicular chord"),
    _recist(
        "measurable",
        "",
        "Longest diameter at least 10 mm, of nodes the short one at least 15 mm; where slices are "
        "thicker than 5 mm at least two thicknesses. Empty where thickness or plane is unknown, "
        "and for an object in several parts: its diameters cross gaps.",
        dtype="boolean",
    ),
    _recist(
        "node_status",
        "",
        "Nodes by short axis: target (at least 15 mm), non-target (10 to below 15), normal; where "
        "slices are too thick for a target, non-target. Empty for other classes, and where "
        "recist_measurable is: thickness or plane unknown, several parts.",
        dtype="str",
    ),
    _recist(
        "target_proposed",
        "",
        "Whether the lesion is among the largest measurable ones, at most five and at most two an "
        "organ; all nodes are one organ, the class stands for an organ that is not known. A "
        "proposal: the reader decides. Empty where recist_measurable is.",
        dtype="boolean",
    ),
)
