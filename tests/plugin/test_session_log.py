"""The edit log: the masks come out of the model's output and the log alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medseg_napari.session import Session, rebuild
from medseg_napari.session.packing import PackedInstance, pack_mask, unpack_mask
from session_cases import GRID, add, output, paint, random_step, session, snapshot, split, state_of

import medseg
from medseg.errors import InputRefused
from medseg.types import Geometry, InstanceClass, Instances


def log_of(work: Session) -> Path:
    assert work.store is not None
    return work.store.folder / "edits.jsonl"


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), steps=st.integers(1, 20))
def test_a_log_rebuilds_what_random_edits_and_undos_left(
    tmp_path_factory: pytest.TempPathFactory, seed: int, steps: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)  # no power fails here
        follow(tmp_path_factory.mktemp("work"), np.random.default_rng(seed), steps)


def follow(folder: Path, rng: np.random.Generator, steps: int) -> None:
    """Work, crash, resume, and go to both ends of the history."""
    work = session(folder)
    done = [random_step(work, rng) for _ in range(steps)]
    wanted, names = snapshot(work), (work.undo_name, work.redo_name)
    assert state_of(rebuild(output(), log_of(work))) == state_of(work.instances), done
    assert work.store is not None
    work.store.abandon()  # as a crash would
    again = Session.resume(work.volume, folder, "AB")
    assert snapshot(again) == wanted
    assert (again.undo_name, again.redo_name) == names
    while work.redo_name:
        assert again.redo_name == work.redo_name
        work._document.redo()
        again.redo()
        assert state_of(again.instances) == state_of(work.instances)
    while again.undo():
        pass
    assert state_of(again.instances) == state_of(output())
    again.close()


def test_a_log_rebuilds_the_masks_from_the_output_as_a_file(tmp_path: Path) -> None:
    medseg.write(output(), tmp_path / "output.seg.nrrd")
    work = session(tmp_path / "work")
    work.apply(paint(work, 7, (0, 4, 0, 4, 0, 4)))
    work.apply(split(work, 12, 5))
    work.delete([3])
    work.undo()
    work.delete([40])
    read = medseg.read_instances(tmp_path / "output.seg.nrrd")
    without = replace(
        work.instances, items=[replace(item, probability=None) for item in work.instances]
    )
    assert state_of(rebuild(read, log_of(work))) == state_of(without)
    work.close()


def test_a_line_says_when_who_what_and_the_masks_that_it_gave(tmp_path: Path) -> None:
    work = session(tmp_path)
    work.apply(add(work, (1, 3, 2, 3, 4, 9)))
    work.undo()
    head, line, back = (json.loads(one) for one in log_of(work).read_text().splitlines())
    assert head["format"] == "medseg-edits" and head["shape"] == [8, 10, 12]
    assert line["time"].endswith("Z") and line["reader"] == "AB"
    assert (line["operation"], line["arguments"]) == ("add", {"box": [1, 3, 2, 3, 4, 9]})
    assert line["after"]["41"]["box"] == [1, 3, 2, 3, 4, 9]
    assert (back["do"], back["name"]) == ("undo", "Add a lesion")
    work.close()


def test_new_classes_are_in_the_log(tmp_path: Path) -> None:
    work = session(tmp_path)
    work.add_class(InstanceClass("cyst", "lesion", 9, (1, 2, 3)))
    work.apply(
        work.edit("Change", "change class", {}, {7: replace(work.instance(7), class_name="cyst")})
    )
    rebuilt = rebuild(output(), log_of(work))
    assert rebuilt.classes == work.instances.classes
    assert state_of(rebuilt) == state_of(work.instances)
    work.close()


def test_arguments_may_hold_numbers_of_numpy_and_nothing_that_is_no_json(tmp_path: Path) -> None:
    work = session(tmp_path)
    after = {7: None}
    work.apply(work.edit("A", "a", {"at": np.float32(0.5), "ids": np.arange(2)}, after))
    line = json.loads(log_of(work).read_text().splitlines()[1])
    assert line["arguments"] == {"at": 0.5, "ids": [0, 1]}
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        work.apply(work.edit("B", "b", {"at": object()}, {3: None}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        work.apply(work.edit("B", "b", {"at": float("nan")}, {3: None}))
    assert work.undo_name == "A" and 3 in {item.id for item in work.instances}
    work.close()


def test_a_log_of_another_output_is_refused(tmp_path: Path) -> None:
    work = session(tmp_path)
    work.delete([3])
    other = output()
    with pytest.raises(InputRefused, match="belongs to another output"):
        rebuild(replace(other, items=other.items[1:]), log_of(work))
    moved = Geometry(GRID.shape, np.diag([1.0, 1.0, 2.0, 1.0]))
    with pytest.raises(InputRefused, match="grid-mismatch"):
        rebuild(Instances(moved, other.items, other.classes), log_of(work))
    with pytest.raises(InputRefused, match="no lesion class is named"):
        rebuild(
            Instances(
                GRID,
                [replace(one, class_name="x", kind="lesion") for one in other.items],
                (InstanceClass("x", "lesion", 1),),
            ),
            changed_class_log(tmp_path / "other"),
        )
    work.close()


def changed_class_log(folder: Path) -> Path:
    work = session(folder)
    work.apply(
        work.edit("Change", "change class", {}, {7: replace(work.instance(7), class_name="node")})
    )
    work.close()
    return log_of(work)


def without(name: str) -> Callable[[dict], None]:
    return lambda record: record.pop(name)


DAMAGES: dict[str, Callable[[dict], object]] = {
    "no number": without("n"),
    "another number": lambda record: record.update(n=7),
    "no deed": without("do"),
    "an unknown deed": lambda record: record.update(do="explode"),
    "no mask": lambda record: record["after"]["7"].pop("bits"),
    "bits that are no base64": lambda record: record["after"]["7"].update(bits="?"),
    "bits of another mask": lambda record: record["after"]["7"].update(bits="eJxjYAAAAAIAAQ=="),
    "a box outside": lambda record: record["after"]["7"]["box"].__setitem__(1, 99),
    "a box that is not tight": lambda record: record["after"]["7"].update(box=[0, 8, 0, 10, 0, 12]),
    "a box of a terabyte": lambda record: record["after"]["7"].update(box=[0, 9**9, 0, 9**9, 0, 1]),
    "an unknown class": lambda record: record["after"]["7"].update(class_name="x"),
    "a kind that is none": lambda record: record["after"]["7"].update(kind="planet"),
    "an unknown id": lambda record: record["after"].update({"5": None}),
    "an id that is no number": lambda record: record["after"].update({"x": None}),
    "a review of nonsense": lambda record: record["reviews"].update(
        {"7": {"mark": ["maybe", "", "", 0]}}
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_line_is_refused_and_never_followed(tmp_path: Path, name: str) -> None:
    work = session(tmp_path)
    work.apply(paint(work, 7, (0, 4, 0, 4, 0, 4)))
    work.mark([7], "accept")
    work.close()
    lines = log_of(work).read_text().splitlines()
    record = json.loads(lines[1])
    DAMAGES[name](record)
    log_of(work).write_text("\n".join([lines[0], json.dumps(record), *lines[2:], ""]))
    with pytest.raises(InputRefused, match="file-corrupt"):
        rebuild(output(), log_of(work))


@pytest.mark.parametrize(
    "text", ["", "\n", "{}\n", '{"format": "medseg-edits", "version": 2}\n', "[]\n"]
)
def test_what_is_no_log_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "edits.jsonl").write_text(text)
    with pytest.raises(InputRefused, match="file-corrupt"):
        rebuild(output(), tmp_path / "edits.jsonl")
    with pytest.raises(InputRefused, match="path-missing"):
        rebuild(output(), tmp_path / "none.jsonl")


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 8), (3, 5, 7), (4, 4, 4)])
def test_a_mask_comes_back_from_its_bits(shape: tuple[int, int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.5
    assert np.array_equal(unpack_mask(pack_mask(mask), shape), mask)
    with pytest.raises(ValueError, match="other bits|damaged"):
        unpack_mask(pack_mask(mask)[:-1], shape)
    with pytest.raises(ValueError, match="other bits"):
        unpack_mask(pack_mask(np.ones((9, 9, 9), dtype=bool)), shape)


def test_a_mask_that_stays_is_not_written_again(tmp_path: Path) -> None:
    log = changed_class_log(tmp_path)
    assert json.loads(log.read_text().splitlines()[1])["after"]["7"] == {
        "class_name": "node", "kind": "lesion", "score": 0.5, "mask": "kept",
    }  # fmt: skip
    one = PackedInstance.of(output().items[0])
    assert one.same_mask(one) and not one.same_mask(PackedInstance.of(output().items[1]))
