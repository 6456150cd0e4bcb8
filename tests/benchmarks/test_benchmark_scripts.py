"""Benchmarks run at a tiny size, and their scenes and comparisons are what they say."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from medseg.measurement import split_components
from medseg.types import Geometry, Instances

Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def shared(shared_data: Path, skip_unless) -> Path:
    folder = shared_data.parent
    skip_unless((folder / "reference").is_dir(), "the reference cases are not in the shared folder")
    return folder


def components(labels: np.ndarray) -> int:
    whole = Instances.from_labelmap((labels > 0).astype(np.uint8), Geometry.identity(labels.shape))
    return len(split_components(whole))


def test_ellipsoids_have_the_volumes_of_balls_and_do_not_touch(load: Load) -> None:
    scenes = load("scenes")
    drawn = scenes.ellipsoids(12, 96, seed=3, radii=(4.0, 9.0))
    labels = scenes.painted(drawn, (96, 96, 96))
    assert components(labels) == 12
    counts = np.bincount(labels.ravel())[1:]
    volumes = 4 / 3 * np.pi * drawn.semi_axes.prod(axis=1)
    assert counts == pytest.approx(volumes, rel=0.05)
    radii = drawn.semi_axes.prod(axis=1) ** (1 / 3)
    assert radii.min() >= 4.0
    assert radii.max() <= 9.0


def test_a_scene_depends_on_its_seed_alone(load: Load) -> None:
    scenes = load("scenes")
    one, same, other = (scenes.pair(4, 48, seed=seed) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one[1], other[1])


def test_ten_times_as_many_objects_fill_as_many_voxels(load: Load) -> None:
    scenes = load("scenes")
    few = scenes.ellipsoids(4, 128, radii=(6.0, 12.0))
    many = scenes.as_many_voxels(few, 40, 128)
    counts = [np.count_nonzero(scenes.painted(one, (128,) * 3)) for one in (few, many)]
    assert counts[1] == pytest.approx(counts[0], rel=0.03)
    assert components(scenes.painted(many, (128,) * 3)) == 40


def test_a_pair_misses_a_tenth_and_invents_as_many(load: Load) -> None:
    scenes = load("scenes")
    pred, ref = scenes.pair(10, 112)
    assert np.unique(pred).size == np.unique(ref).size == 11
    met = {int(n) for n in np.unique(ref[pred > 0]) if n}
    assert len(met) == 9


def test_objects_beyond_16_bits_are_counted_from_1(load: Load) -> None:
    scenes = load("scenes")
    labels = scenes.many(20, (40, 40, 40))
    assert components(labels) == labels.max() == 20
    with pytest.raises(ValueError, match="do not fit"):
        scenes.many(1000, (40, 40, 40))


@pytest.mark.parametrize(
    ("expected", "got", "passes"),
    [
        (2.0, 2.05, True),
        (2.0, 2.11, False),
        (math.nan, math.nan, True),
        (math.nan, 1.0, False),
        (1.0, math.nan, False),
        (math.inf, math.inf, True),
        (math.inf, 1e300, False),
    ],
)
def test_a_check_passes_within_its_tolerance_only(load: Load, expected, got, passes) -> None:
    assert load("checking").Check("case", "value", expected, 0.1, got).passes is passes


@pytest.mark.parametrize(
    ("printed", "half"), [("13.1", 0.05), ("6", 0.5), ("-0.355", 0.0005), ("1.65e3", 5.0)]
)
def test_half_of_the_last_digit_is_read_from_the_text(load: Load, printed, half) -> None:
    assert load("checking").half_last_digit(printed) == pytest.approx(half)


def test_runs_take_turns_and_may_bring_their_own_seconds(load: Load) -> None:
    timing, order = load("timing"), []
    runs = {
        "here": timing.untimed(lambda: order.append("here")),
        "elsewhere": lambda: order.append("elsewhere") or 2.5,
    }
    seconds = timing.interleaved(runs, 2)
    assert order == ["here", "elsewhere"] * 2
    assert seconds["elsewhere"] == [2.5, 2.5]
    assert max(seconds["here"]) < 1
    assert timing.ratios([6.0, 8.0], [2.0, 4.0]) == [3.0, 2.0]
    assert timing.spread([3.0, 1.0, 2.0], ".1f") == "2.0 [1.0-3.0]"
    assert timing.verdict(25.0, 25, at_least=True) == "met: at least 25"
    assert timing.verdict(3.1, 3, at_least=False) == "NOT MET: at most 3"


def test_a_peer_answers_each_question_and_its_end_is_an_error(load: Load) -> None:
    script = """
import json, sys
for line in sys.stdin:
    if json.loads(line) == "end":
        break
    print("noise")
    print("ANSWER " + line, flush=True)
"""
    with load("timing").Peer(sys.executable, script) as peer:
        assert peer.ask({"a": [1, None]}) == {"a": [1, None]}
        assert peer.ask("again") == "again"
        with pytest.raises(RuntimeError, match="ended with exit status 0"):
            peer.ask("end")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_extra_memory_is_what_a_run_holds_at_most(load: Load) -> None:
    found = load("timing").in_fresh_process(
        "import json, numpy, timing\n"
        "print(json.dumps({'mb': timing.extra_memory_mb(lambda: numpy.ones(10_000_000)[:1])}))"
    )
    assert found["mb"] == pytest.approx(80, rel=0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_measuring_speed_prints_every_row_and_its_bars(run) -> None:
    printed = run("measuring_speed", "--size", "48", "--objects", "3", "--rounds", "1")
    for row in ("medseg, 3 objects", "medseg, 30 objects", "SimpleITK, 2 threads"):
        assert row in printed
    assert "PyRadiomics shape, ready crops    not run" in printed
    for bar in ("SimpleITK over medseg", "many over few objects", "extra memory"):
        assert bar in printed


def test_evaluating_speed_agrees_with_what_the_scene_holds(run) -> None:
    printed = run("evaluating_speed", "--size", "112", "--objects", "10", "--rounds", "1")
    rows = dict(line.split()[:2] for line in printed.splitlines() if len(line.split()) >= 2)
    assert (float(rows["tp"]), float(rows["fp"]), float(rows["fn"])) == (9, 1, 1)
    assert "not run" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_measuring_large_measures_a_row_an_object_in_every_group(load: Load, tmp_path) -> None:
    large = load("measuring_large")
    np.save(tmp_path / "labels.npy", load("scenes").many(8, (45, 45, 45)))
    for groups in ((), ("size",), large.groups()):
        found = large.once(str(tmp_path / "labels.npy"), ",".join(groups))
        assert found["rows"] == 8
        assert (found["columns"] > 0) == bool(groups)


def test_a_ball_is_within_the_bounds_on_a_slanted_grid(load: Load) -> None:
    forms = load("measuring_closed_forms")
    rng = np.random.default_rng(1)
    for spacing_mm in forms.SPACINGS_MM:
        turns = load("scenes").rotations(1, rng)
        body = forms.BODIES[0]
        found = forms.worst(body, spacing_mm, turns, rng)
        assert set(found) == {*forms.RELATIVE, *forms.IN_DIAGONALS, "area"}
        assert not list(forms.outside(found, body, spacing_mm))
        assert list(forms.outside({**found, "axes": math.nan}, body, spacing_mm)) == ["axes"]


def test_the_section_of_an_ellipsoid_is_that_of_its_plane(load: Load) -> None:
    forms = load("measuring_closed_forms")
    body = forms.ellipsoid("", 20, 14, 10)
    straight = forms.grid(body, (1.0, 1.0, 1.0), np.eye(3), np.zeros(3))
    assert forms.section_mm(body, straight) == pytest.approx((40, 28))
    turn = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # slices across x
    assert forms.section_mm(body, forms.grid(body, (1.0, 1.0, 1.0), turn, np.zeros(3))) == (
        pytest.approx((28, 20))
    )


def test_evaluating_references_are_all_inside(run, shared: Path) -> None:
    printed = run("evaluating_references", "--shared", str(shared))
    assert "FAIL" not in printed
    assert printed.count("PASS") > 100
    assert "differs by rule" in printed


def test_measuring_references_are_all_inside(load: Load, shared: Path) -> None:
    references = load("measuring_references")
    folder = shared / "reference"
    digital = folder / "ibsi1_digital"
    checks = references.ibsi("digital", digital, digital / "ibsi_1_dig_phantom.csv", None)
    assert len(checks) == len(references.IBSI_SHAPE) + 10
    cases = folder / "pyradiomics_cases"
    stored = references.baselines(cases / "baseline_shape.csv")
    for case in references.PYRADIOMICS_CASES:
        checks += references.pyradiomics(case, cases, stored[case])
    masks = sorted((shared / "data" / "ms_lesion_mr" / "labels").glob("*.nii.gz"))
    checks += references.ms_lesions(masks)
    assert not [check for check in checks if not check.passes]


@pytest.mark.parametrize("name", ["measuring_references", "evaluating_references"])
def test_a_folder_that_is_not_there_is_told_in_one_line(
    load: Load, monkeypatch, capsys, tmp_path, name: str
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--shared", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as ended:
        load(name).main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert "name it with --shared" in said.err


@pytest.mark.skipif(sys.platform != "linux", reason="permissions")
def test_the_package_in_a_folder_without_rights_cannot_be_written(load: Load, tmp_path) -> None:
    startup = load("measuring_startup")
    package = startup.read_only_copy(tmp_path)
    try:
        found = load("timing").in_fresh_process(
            "import json, sys\n"
            "try:\n"
            "    open(sys.argv[1] + '/medseg/new', 'w')\n"
            "except PermissionError:\n"
            "    print(json.dumps({'refused': True}))",
            str(package),
            preexec_fn=startup.bound_by_permissions,
        )
        assert found == {"refused": True}
    finally:
        startup.writable_again(package)
    times = {"measure, first": (3.5, 4.0), "measure, second": (1.0, 1.5)}
    assert startup.cost(times, "measure") == (2.5, 2.5)
