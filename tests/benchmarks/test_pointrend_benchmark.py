"""What points are worth: costs by hand, the coarse mask, the data, one tiny run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import medseg
from medseg.heads.mask_rcnn.regions import Regions, Seen
from medseg.models.network import build
from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

Load = Callable[[str], ModuleType]
SHAPE = (20, 24, 22)
IDS = [f"han_{number:03}" for number in range(1, 13)]


def masks(load: Load) -> Any:
    return load("pointrend_masks")


def built(load: Load, head: str) -> Any:
    torch.manual_seed(0)
    recipe = load("pointrend").recipe_of("lobed", masks(load).MASKS[head], [], [], 100)
    return build(recipe.model).eval()


@pytest.fixture(scope="module")
def network(load: Load) -> Any:
    return built(load, "center_offset")


def block(*spans: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


def case(load: Load, mask: np.ndarray) -> Any:
    classes = (InstanceClass("lobed", "lesion", 1),)
    geometry = Geometry.identity(SHAPE)
    item = Instance.from_mask(mask, id=1, class_name="lobed", kind="lesion")
    volume = Volume(mask.astype(np.float32), geometry, "MR", "arbitrary")
    truth = Instances(geometry, [item], classes)
    return load("pointrend").LoadedCase("one", {"mr": volume}, truth)


def test_multiplications_are_those_of_a_sum_over_kernel_and_channels(load: Load) -> None:
    count = masks(load).multiplications
    assert count(nn.Conv3d(2, 5, 3, padding=1), (1, 2, 4, 4, 6)) == 4 * 4 * 6 * 5 * 2 * 27
    grouped = nn.Conv3d(4, 8, 3, stride=2, padding=1, groups=2)
    assert count(grouped, (1, 4, 4, 4, 4)) == 2**3 * 8 * 2 * 27
    assert count(nn.Sequential(nn.Linear(7, 3), nn.ReLU(), nn.Linear(3, 2)), (5, 7)) == 5 * 27


def test_costs_are_those_counted_by_hand(load: Load, network) -> None:
    spent = masks(load).Spent(windows=2, voxels=2 * 4096, boxed=4096, points=100, doubled=9216)
    found = masks(load).WindowMask().costs(network, 1, spent)
    # 16 features, one channel and one logit; the perceptron is 64 wide and told of three places.
    point = 21 * 64 + 65 * 64 + 65 + 3 * 12 + 8 * 18
    voxel = 27 * 16 + 16 * 128 / 8 + 2 * 27 * 16 * 16 + 16
    assert found["perceptron"] == 4096 * point
    assert found["convolved"] == 4096 * voxel
    assert found["boxed"] == 2048 * voxel
    assert found["refined"] == 50 * point + 8 * (4096 + 512)


def test_segmenting_counts_windows_voxels_and_the_points_predicted(load: Load, network) -> None:
    spent = masks(load).Spent()
    image = torch.randn(1, 1, 32, 32, 48)
    with masks(load).WindowMask().counting(network, spent), torch.inference_mode():
        network.refine_found(image, network.coarse(image))
    assert (spent.windows, spent.voxels) == (1, 32 * 32 * 48)
    # A fresh network is unsure everywhere: all cells of both doublings are predicted.
    assert spent.points == 32 * 32 * 48 * 9 // 8
    assert spent.boxed == 32 * 32 * 48
    assert spent.doubled == spent.points
    with torch.inference_mode():
        network.coarse(image)
    assert spent.windows == 1
    sure = torch.full((1, 1, 8, 8, 12), -9.0)
    sure[0, 0, 4, 4, 6] = 0.0
    raw = network.coarse(image)._replace(coarse=sure)
    assert (
        masks(load).boxed_voxels(network.head, raw) == (5 * 4) ** 3
    )  # two cells more on each side


def test_the_coarse_mask_is_the_same_logits_interpolated(load: Load, network) -> None:
    coarse = masks(load).CoarseNetwork(network.backbone, network.head)
    image = torch.randn(1, 1, 16, 32, 16)
    with torch.inference_mode():
        raw = network.coarse(image)
        found = coarse.refine_found(image, coarse.coarse(image))
    assert raw.coarse.shape[2:] == (4, 8, 4)
    wanted = functional.interpolate(raw.coarse, size=(16, 32, 16), mode="trilinear")
    assert torch.equal(found.lesion, wanted)
    assert torch.equal(found.centre, raw.centre)


def test_regions_count_their_voxels_and_points_and_lose_them_without(load: Load) -> None:
    network, region = built(load, "pointrend"), masks(load).RegionMask()
    stage, spent = network.head.regions, masks(load).Spent()
    image, features = torch.randn(1, 1, 32, 32, 48), torch.randn(1, 32, 16, 16, 24)
    boxes = torch.tensor([[2.0, 2, 2, 14, 22, 18], [0.0, 0, 0, 28, 20, 28]])
    covered = Regions(torch.zeros(2, dtype=torch.int64), boxes)
    with region.counting(network, spent), torch.inference_mode():
        coarse = stage.masks(Seen(image, features), covered)
        for n in range(2):
            stage.one_mask(Seen(image, features), covered.row(n), coarse[n : n + 1], 0)
    assert spent.voxels == 12 * 20 * 16 + 28 * 20 * 28
    # A fresh network is unsure everywhere; cells double up to the voxels of each axis.
    doubled = 12 * 14 * 14 + 12 * 20 * 16 + 14**3 + 28 * 20 * 28
    assert spent.points == spent.doubled == doubled
    region.refinement(network).most = 100
    with region.counting(network, spent), torch.inference_mode():
        stage.one_mask(Seen(image, features), covered.row(0), coarse[:1], 0)
    assert spent.points == doubled + 200
    assert "one_mask" not in vars(stage)


def test_costs_of_regions_are_those_counted_by_hand(load: Load) -> None:
    network = built(load, "pointrend")
    spent = masks(load).Spent(windows=2, voxels=2 * 1000, points=100, doubled=6000)
    found = masks(load).RegionMask().costs(network, 1, spent)
    # 32 features, one channel and one logit; the perceptron as above.
    point = 37 * 64 + 65 * 64 + 65 + 3 * 12 + 8 * 34
    assert found["perceptron"] == 1000 * point
    assert found["convolved"] == 1000 * (27 * 32 * (35 + 32 + 32) + 32)
    assert found["refined"] == 50 * point + 8 * 3000


def test_the_coarse_model_has_the_same_weights_and_no_points(load: Load) -> None:
    @dataclass(frozen=True)
    class Model:
        network: Any

    model = Model(built(load, "pointrend"))
    coarse = masks(load).RegionMask().coarse_of(model).network
    assert coarse.head.regions.points is None
    assert model.network.head.regions.points is not None
    kept = {name for name in model.network.state_dict() if "regions.points" not in name}
    assert set(coarse.state_dict()) == kept
    assert all(
        torch.equal(one, model.network.state_dict()[name])
        for name, one in coarse.state_dict().items()
    )
    stage, cells = coarse.head.regions, torch.randn(1, 1, 7, 7, 7)
    seen = Seen(torch.randn(1, 1, 16, 16, 16), torch.randn(1, 32, 8, 8, 8))
    covered = Regions(torch.tensor([0]), torch.tensor([[1.0, 1, 1, 15, 15, 15]]))
    assert torch.equal(stage.one_mask(seen, covered, cells, 0), cells[0, 0])


def test_seven_cells_a_side_keep_a_block_to_a_voxel_and_no_comb(load: Load) -> None:
    region = masks(load).RegionMask()
    true = block((4, 16), (4, 16), (4, 16))
    kept = region.kept(case(load, true).truth, "lobed")
    assert kept.shape == SHAPE
    assert not (true & ~kept).any()
    assert not (kept & ~block((3, 17), (3, 17), (3, 17))).any()
    comb = block((2, 18), (2, 22), (2, 20))
    comb[:, 3:22:2] = False
    kept = region.kept(case(load, comb).truth, "lobed")
    assert np.count_nonzero(kept ^ comb) > 0.3 * comb.sum()


def test_surface_dice_forgives_one_voxel_and_no_more(load: Load) -> None:
    pointrend = load("pointrend")
    one = case(load, block((4, 12), (4, 12), (4, 12)))
    assert pointrend.of_case(one, lambda _: block((4, 12), (4, 12), (5, 13))) == 1.0
    moved = pointrend.of_case(one, lambda _: block((4, 12), (4, 12), (6, 14)))
    assert 0.6 < moved < 0.9  # of six faces two lie two voxels off
    assert pointrend.of_case(one, lambda _: np.zeros(SHAPE, bool)) == 0.0


def test_a_grid_of_stride_four_keeps_blocks_of_cells_and_no_thin_sheet(load: Load) -> None:
    quartered = masks(load).quartered
    cells = block((4, 16), (4, 16), (4, 16))
    kept = quartered(cells)
    assert kept.shape == SHAPE
    assert (kept & cells).sum() / (kept | cells).sum() > 0.9
    assert kept[4, 9, 9] and not kept[3, 9, 9]
    assert not quartered(block((8, 9), (0, 24), (0, 22))).any()


def test_recipes_part_seeds_and_patients(load: Load) -> None:
    recipe_of, window = load("pointrend").recipe_of, masks(load).WindowMask()
    lobed = recipe_of("lobed", window, [], [], 1000)
    assert lobed.data.generator == "lobed_lesions"
    assert not set(range(1000)) & set(lobed.data.seeds["training_seeds"])
    headneck = recipe_of("headneck", window, ["han_100"], IDS, 1000)
    assert headneck.data.held_out == ("han_005", "han_010")
    assert headneck.data.validation == ("han_001", "han_006")
    assert headneck.data.exclude == ("han_100",)
    assert headneck.augmentation.flip is None
    assert {one.kind for one in headneck.model.classes} == {"organ"}
    boxes = recipe_of("headneck", masks(load).RegionMask(), [], IDS, 1000)
    assert {one.kind for one in boxes.model.classes} == {"lesion"}
    for one in (lobed, headneck):
        assert one.model.head.network == {"refine": "pointrend", "coarse_stride": 4}
        assert recipe_of("lobed", window, [], [], 1).training.warmup_steps == 0


def test_only_patients_with_all_three_organs_are_taken(load: Load, tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "run"
    (source / "images").mkdir(parents=True)
    (source / "labels").mkdir()
    for name, labels in {"han_001": (1, 3, 4, 7), "han_002": (1, 3, 4)}.items():
        drawn = np.zeros((4, 6, 8), np.uint8)
        for label in labels:
            drawn[1:3, 2:4, label - 1] = label
        volume = Volume(drawn, Geometry.identity(drawn.shape), "unknown", "unknown")
        medseg.write(volume, source / "labels" / f"{name}.nii.gz")
    for _ in range(2):  # again in a folder that has them
        assert load("pointrend").three_organs(source, root) == (["han_001"], ["han_002"])
    (path,) = (root / "labels").iterdir()
    kept = medseg.read_instances(path, values="class")
    assert [item.id for item in kept] == [3, 4, 7]
    assert [item.voxel_count for item in kept] == [4, 4, 4]
    assert (root / "images").resolve() == source / "images"


@pytest.mark.parametrize("head", ["center_offset", "pointrend"])
def test_a_tiny_run_prints_its_figures_and_draws(
    load: Load, head: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    pytest.importorskip("lightning_fabric", reason="the extra train is not installed")
    pointrend = load("pointrend")
    small = (pointrend.RECIPES / "lobed.toml").read_text().replace("96, 96, 96", "32, 32, 32")
    (tmp_path / "lobed.toml").write_text(small)
    monkeypatch.setattr(pointrend, "RECIPES", tmp_path)
    out = tmp_path / "run"
    words = ["--set", "lobed", "--minutes", "0.02", "--cases", "2", "--most", "64", "512"]
    words += ["--head", head, "--limit", "1e9"]
    words += ["--out", str(out), "--picture", str(tmp_path / "one.png")]
    assert pointrend.main(words) == 0
    printed = capsys.readouterr().out
    rows = json.loads((out / "row.json").read_text())["rows"]
    assert [row["most"] for row in rows] == [64, 512]
    if head == "center_offset":  # two doublings of the one mask
        assert all(row["points"] <= 2 * row["most"] for row in rows)
    assert [row["limit"] for row in rows] == [1e9, 1e9]
    # Fewer are predicted where fewer may be, and where anything was found, some are.
    assert rows[0]["points"] < rows[1]["points"]
    assert rows[0]["coarse"] == rows[1]["coarse"]
    assert printed.count("gain of 0.03 or more: ") == 2
    assert printed.count("shares of the first two of 0.5 or less: met") == 2
    assert (tmp_path / "one.png").stat().st_size > 1000
