"""NRRD and MetaImage: what their headers can say, and what they must say."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from medseg.errors import InputRefused
from medseg.io import read


def nrrd_file(path, *, values, **fields):
    lines = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "2 3 4",
        "space directions": "(1,0,0) (0,2,0) (0,0,3)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(10,20,30)",
    } | {key.replace("_", " "): value for key, value in fields.items()}
    text = "".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None)
    path.write_bytes(b"NRRD0005\n" + text.encode() + b"\n" + values)
    return path


VALUES = np.arange(24, dtype="<i2")


@pytest.mark.parametrize(
    ("space", "origin"),
    [
        ("left-posterior-superior", (10, 20, 30)),
        ("LPS", (10, 20, 30)),
        ("right-anterior-superior", (-10, -20, 30)),
        ("RAS", (-10, -20, 30)),
        ("left-anterior-superior", (10, -20, 30)),
    ],
)
def test_nrrd_spaces_are_turned_into_lps(tmp_path, space, origin):
    found = read(nrrd_file(tmp_path / "a.nrrd", values=VALUES.tobytes(), space=space))
    assert found.geometry.origin_mm == origin
    step = found.geometry.index_to_world((0, 0, 1)) - found.geometry.origin_mm
    assert np.sign(step[0]) == np.sign(origin[0])
    assert np.array_equal(found.array.ravel(), VALUES)


@pytest.mark.parametrize("space", ["scanner-xyz", "3D-right-handed", "3D-left-handed", None])
def test_nrrd_spaces_without_sides_are_refused(tmp_path, space):
    dimension = {} if space else {"space_dimension": "3"}
    path = nrrd_file(tmp_path / "a.nrrd", values=VALUES.tobytes(), space=space, **dimension)
    with pytest.raises(InputRefused, match="affine-missing"):
        read(path)


@pytest.mark.parametrize("field", ["space_directions", "space_origin"])
def test_nrrd_without_directions_or_origin_is_refused(tmp_path, field):
    path = nrrd_file(tmp_path / "a.nrrd", values=VALUES.tobytes(), **{field: None})
    with pytest.raises(InputRefused, match="affine-missing"):
        read(path)


def test_nrrd_units_encodings_and_skips_are_honoured(tmp_path):
    packed = gzip.compress(b"12345" + VALUES.tobytes())
    path = nrrd_file(
        tmp_path / "a.nrrd",
        values=b"a line\n" + packed,
        encoding="gzip",
        line_skip="1",
        byte_skip="5",
        space_units='"um" "um" "um"',
    )
    found = read(path)
    assert np.array_equal(found.array.ravel(), VALUES)
    assert found.geometry.spacing_mm == pytest.approx((0.003, 0.002, 0.001))
    path = nrrd_file(tmp_path / "b.nrrd", values=b"junk" + VALUES.tobytes(), byte_skip="-1")
    assert np.array_equal(read(path).array.ravel(), VALUES)


def test_nrrd_of_big_endian_and_of_an_outer_axis_of_length_1(tmp_path):
    path = nrrd_file(
        tmp_path / "a.nrrd",
        values=VALUES.astype(">i2").tobytes(),
        endian="big",
        dimension="4",
        sizes="1 2 3 4",
        kinds="list domain domain domain",
        space_directions="none (1,0,0) (0,2,0) (0,0,3)",
    )
    assert np.array_equal(read(path).array.ravel(), VALUES)


def test_metaimage_with_micrometres_and_older_key_names(tmp_path):
    text = (
        "NDims = 3\nDimSize = 2 3 4\nElementType = MET_SHORT\nOrientation = 1 0 0 0 1 0 0 0 1\n"
        "Position = 10 20 30\nElementSpacing = 1 2 3\nDistanceUnits = um\nBinaryData = True\n"
        "ElementByteOrderMSB = True\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_bytes(text.encode() + VALUES.astype(">i2").tobytes())
    found = read(tmp_path / "a.mha")
    assert np.array_equal(found.array.ravel(), VALUES)
    assert found.geometry.spacing_mm == pytest.approx((0.003, 0.002, 0.001))
    assert found.geometry.origin_mm == pytest.approx((0.01, 0.02, 0.03))
