"""Small pictures of results: which slices they show, how large they are; and one real result."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
from batch_cases import job_of, record_of
from medseg_workflows.collect import collect
from medseg_workflows.report import write_report
from medseg_workflows.report.thumbnails import MOST_BYTES, THUMBNAIL, write_thumbnail
from medseg_workflows.results import load_results

from medseg.inference import segment
from medseg.inference.results import write_results
from medseg.io.preview import write_preview
from medseg.io.tables import write_table
from medseg.measurement import measure
from medseg.models import load_model
from medseg.phantom import touching_lesions
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

CLASSES = (InstanceClass("spot", "lesion", 1), InstanceClass("liver", "organ", 2))
BLACK_HU, STEP_HU, STEP_GREY = -160, 40, 25.5
"""A preview shows -160 to 240 HU of soft tissue."""


def thumbnail(folder: Path, array: np.ndarray, items: Sequence[Instance]) -> np.ndarray:
    """The decoded thumbnail, (y, x, 3), of a CT with objects on a grid of 1 mm."""
    geometry = Geometry.identity(array.shape)
    found = Instances(geometry, items, CLASSES)
    folder.mkdir(exist_ok=True)
    write_table(measure(found, groups=["size"]), folder / "instances.csv")
    volume = Volume(array, geometry, modality="CT", unit="HU")
    write_preview(volume, found, folder / "preview.png")
    write_thumbnail(folder)
    data = (folder / THUMBNAIL).read_bytes()
    assert len(data) <= MOST_BYTES
    return np.asarray(imagecodecs.jpeg_decode(data)).astype(float)


def cubes(folder: Path, sides: Sequence[int], *, organs: Sequence[int] = ()) -> list[float]:
    """Brightness of the three squares where object n is a cube n steps of grey above black."""
    both = [*sides, *organs]
    array = np.full((40, 40, 40 * len(both)), BLACK_HU, dtype=np.int16)
    items = []
    for n, side in enumerate(both, start=1):
        mask = np.zeros(array.shape, dtype=bool)
        mask[10 : 10 + side, 10 : 10 + side, 40 * n - 30 : 40 * n - 30 + side] = True
        array[mask] += n * STEP_HU
        kind, name = ("lesion", "spot") if n <= len(sides) else ("organ", "liver")
        items.append(Instance.from_mask(mask, id=n, class_name=name, kind=kind, score=1.0))
    return [float(np.percentile(one, 98)) for one in panels(thumbnail(folder, array, items))]


def panels(picture: np.ndarray) -> list[np.ndarray]:
    """The three squares of a strip, in grey alone: outlines have a colour."""
    side, width = picture.shape[:2]
    squares = [picture[:, x : x + side] for x in (0, (width - side) // 2, width - side)]
    return [one.mean(axis=2)[np.ptp(one, axis=2) < 12] for one in squares]


def test_a_strip_is_slices_alone_to_their_edges(tmp_path: Path) -> None:
    """No letter, no page and no neighbour: an image that is all white gives white squares."""
    array = np.full((120, 120, 120), 1000, dtype=np.int16)
    picture = thumbnail(tmp_path / "white", array, [])
    side = picture.shape[0]
    assert picture[:, :side].min() > 240
    assert picture[:, -side:].min() > 240
    middle = (picture.shape[1] - side) // 2
    assert picture[:, middle : middle + side].min() > 240
    assert picture[:, side:middle].max() < 60  # the gap


def test_of_few_objects_the_largest_lesion_is_shown_in_three_planes(tmp_path: Path) -> None:
    found = cubes(tmp_path / "few", [4, 16, 8])
    assert found == pytest.approx([2 * STEP_GREY] * 3, abs=8)


def test_of_many_objects_the_three_largest_lesions_are_shown(tmp_path: Path) -> None:
    found = cubes(tmp_path / "many", [6, 22, 6, 20, 6, 18])
    assert found == pytest.approx([2 * STEP_GREY, 4 * STEP_GREY, 6 * STEP_GREY], abs=8)


def test_a_lesion_is_shown_rather_than_a_larger_organ(tmp_path: Path) -> None:
    found = cubes(tmp_path / "both", [4, 14], organs=[20])
    assert found == pytest.approx([2 * STEP_GREY] * 3, abs=8)


def test_without_a_lesion_the_largest_organ_is_shown(tmp_path: Path) -> None:
    found = cubes(tmp_path / "organs", [], organs=[6, 6, 14])
    assert found == pytest.approx([3 * STEP_GREY] * 3, abs=8)


def test_where_nothing_was_found_the_middle_slices_are_shown(tmp_path: Path) -> None:
    array = np.full((40, 40, 40), BLACK_HU, dtype=np.int16)
    array[18:22, 18:22, 18:22] = 1000
    squares = panels(thumbnail(tmp_path / "none", array, []))
    assert min(float(one.max()) for one in squares) > 240


def test_a_picture_of_noise_is_small_too_and_the_same_twice(tmp_path: Path) -> None:
    made = touching_lesions(3)
    write_table(measure(made.truth, groups=["size"]), tmp_path / "instances.csv")
    write_preview(made.volume, made.truth, tmp_path / "preview.png")
    write_thumbnail(tmp_path)
    first = (tmp_path / THUMBNAIL).read_bytes()
    write_thumbnail(tmp_path)
    assert (tmp_path / THUMBNAIL).read_bytes() == first
    assert len(first) <= MOST_BYTES


@pytest.mark.slow
def test_a_real_result_comes_into_the_tables_and_the_page(tmp_path: Path) -> None:
    volume = touching_lesions(3).volume
    found = segment({"mr": volume}, load_model("phantom-lesions"), device="cpu")
    table = measure(found, volume)
    job = job_of(1)
    folder = tmp_path / "done" / job.key
    folder.mkdir(parents=True)
    summary = write_results({"mr": volume}, found, folder, table=table).as_dict()
    write_thumbnail(folder)
    said = {
        **record_of(job, table).as_dict(),
        **{k: summary[k] for k in ("inputs", "classes", "warnings", "versions")},
    }
    (folder / "record.json").write_text(json.dumps(said))
    (tmp_path / "batch.json").write_text('{"version": 1}')
    shutil.copyfile(folder / "instances.csv", tmp_path / "plan.csv")
    collect(tmp_path)
    lesions, studies, *_ = load_results(tmp_path)
    alone = pd.read_csv(folder / "instances.csv")
    assert len(lesions) == len(table) > 3
    assert lesions["volume_ml"].tolist() == alone["volume_ml"].tolist()
    assert lesions["recist_slice"].tolist() == table["recist_slice"].tolist()
    assert lesions["notes"].fillna("").tolist() == table["notes"].tolist()
    row = studies.iloc[0]
    assert row["lesion_count"] == len(table)
    total = sum(one["volume_ml"] for one in summary["classes"].values())
    assert row["lesion_volume_ml"] == pytest.approx(total, abs=1e-6)
    assert (row["modality"], row["slices"]) == ("MR", 48)
    assert '"pictures":{"0":"' in write_report(tmp_path).read_text(encoding="utf-8")
