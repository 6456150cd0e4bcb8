"""The table of whole heads: what it compares, how it turns a head; and the template's making."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from medseg.models.packages import template_path
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

Load = Callable[[str], ModuleType]


@pytest.fixture
def table(load: Load) -> ModuleType:
    load("head_template")
    return load("model_hippocampus_head")


def cube(side: int, start: int) -> np.ndarray:
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[start : start + side, 5 : 5 + side, 5 : 5 + side] = True
    return mask


def test_a_side_against_the_atlas_by_hand(table: ModuleType) -> None:
    row = table.atlas_row(cube(4, 4), cube(8, 4), Geometry.identity((20, 20, 20)))
    assert row["atlas ml"] == pytest.approx(0.512)
    assert row["inside the atlas"] == 1.0
    assert row["Dice"] == row["best Dice"] == pytest.approx(2 * 64 / (64 + 512))
    assert row["centres mm"] == pytest.approx(np.sqrt(3) * 2)


def test_a_row_has_the_volumes_of_its_side_alone(table: ModuleType) -> None:
    classes = [
        f"hippocampus_{part}_{side}" for side in table.SIDES for part in ("anterior", "posterior")
    ]
    items = [
        Instance.from_mask(cube(n, 2), id=n, class_name=name, kind="organ")
        for n, name in enumerate(classes, start=1)
    ]
    found = Instances(
        Geometry.identity((20, 20, 20)),
        [one for one in items if one is not None],
        tuple(InstanceClass(name, "organ", n) for n, name in enumerate(classes, start=1)),
        provenance={"localiser": {"likeness": 0.6}},
    )
    row = table.side_row("one", found, 1.0, "right")
    assert row["anterior ml"] == pytest.approx(0.027)
    assert row["both ml"] == pytest.approx(0.091)
    np.testing.assert_array_equal(table.mask_of(found, "right"), cube(4, 2))


def test_a_turned_head_lies_where_the_turn_takes_it(table: ModuleType) -> None:
    array = np.zeros((30, 30, 30), dtype=np.float32)
    array[14:17, 14:17, 22:25] = 1.0
    volume = Volume(array, Geometry.from_spacing((30, 30, 30), (1.0, 1.0, 1.0)), "MR")
    found = table.turned(volume, (0.0, 0.0, 90.0))
    centre = found.geometry.index_to_world(center_of_mass(found.array))
    np.testing.assert_allclose(centre, [14.0, 23.0, 15.0], atol=0.3)  # x goes to y
    assert found.array.sum() == pytest.approx(array.sum(), rel=0.02)


def test_every_variant_is_a_volume_of_the_same_head(table: ModuleType) -> None:
    array = np.random.default_rng(0).uniform(size=(70, 20, 20)).astype(np.float32)
    volume = Volume(array, Geometry.from_spacing(array.shape, (1.0, 1.0, 1.0)), "MR")
    made = dict(table.variants(volume))
    assert len(made) == 10
    assert made["slices 3 mm"].geometry.spacing_mm == pytest.approx((3, 1, 1))
    assert made["30 mm cut above and below"].array.shape == (10, 20, 20)
    np.testing.assert_allclose(made["values times 37 plus 1000"].array, 37 * array + 1000)


def test_an_average_is_symmetric_centred_and_the_same_in_bytes(load: Load, tmp_path: Path) -> None:
    template = load("head_template")
    rng = np.random.default_rng(0)
    array = rng.uniform(50, 100, size=(40, 44, 41)).astype(np.float32)
    array[:, :, :6] = array[:, :5] = 0
    volume = Volume(
        array, Geometry.from_spacing(array.shape, (1.0, 1.0, 1.0), (-18.0, -20.0, -9.0)), "MR"
    )
    values, geometry = template.averaged([volume, volume])
    np.testing.assert_array_equal(values, values[..., ::-1])
    assert geometry.spacing_mm == (2.0, 2.0, 2.0)
    middle = geometry.index_to_world((np.array(values.shape) - 1) / 2)
    assert middle[0] == pytest.approx(0.0)
    first, second = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    for path in (first, second):
        template.write_template(values, geometry, path)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_the_shipped_template_is_made_by_the_script(
    load: Load, shared_data: Path, tmp_path: Path
) -> None:
    template = load("head_template")
    found = template.brains(shared_data / "ms_lesion_mr")
    assert set(found) == {"07", "19", "26"}
    assert set(template.brains(shared_data / "ms_lesion_mr", ["19"])) == {"07", "26"}
    values, geometry = template.averaged(list(found.values()))
    template.write_template(values, geometry, tmp_path / "again.nii.gz")
    assert (tmp_path / "again.nii.gz").read_bytes() == template_path("head-t1").read_bytes()
