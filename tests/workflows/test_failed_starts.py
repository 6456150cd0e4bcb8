"""A batch or a watch that cannot begin: it says why in one error, and leaves no folder behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_runs import QUICK
from medseg_workflows import BatchOptions, api, cluster, owner, plan_batch, run_batch
from medseg_workflows.cluster_file import Running, Slurm, Ssh
from medseg_workflows.watch import watch_inbox
from plan_cases import MODEL, make_series, write_image

from medseg.errors import MedsegError, OutputError

OPEN = Running(address="tcp://10.0.0.9:8786")
SILENT = Running(address="tcp://127.0.0.1:1")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_series(tmp_path / "root" / "1")
    return tmp_path / "root"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "RULES.toml"
    path.write_text('[[rule]]\nname = "all"\nmodel = "other"\n')
    return path


def options(root: Path, **given: Any) -> BatchOptions:
    return replace(QUICK, secret=root.parent / "secret", **given)


def left_behind(root: Path) -> list[str]:
    return sorted(one.name for one in root.parent.iterdir() if one.name not in ("root", "secret"))


@pytest.mark.parametrize("call", [plan_batch, run_batch])
def test_an_unknown_model_leaves_no_folder(root: Path, call: Callable[..., object]) -> None:
    with pytest.raises(MedsegError, match="model-unknown"):
        call(root, root.parent / "deep" / "out", ["no-such"], options=options(root))
    assert left_behind(root) == []


@pytest.mark.parametrize("call", [plan_batch, run_batch])
def test_rules_with_a_fault_leave_no_folder(
    root: Path, rules: Path, call: Callable[..., object]
) -> None:
    with pytest.raises(MedsegError, match=r"RULES\.toml, line 3"):
        call(root, root.parent / "out", [MODEL], options=options(root, select=rules))
    assert left_behind(root) == ["RULES.toml"]


@pytest.mark.parametrize(
    ("place", "code"), [(OPEN, "scheduler-insecure"), (SILENT, "scheduler-missing")]
)
def test_a_scheduler_that_is_open_or_silent_is_refused_before_anything_is_written(
    root: Path, place: Running, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    with pytest.raises(MedsegError, match=code):
        run_batch(root, root.parent / "out", [MODEL], options=options(root, cluster=place))
    assert left_behind(root) == []


def test_hosts_of_ssh_without_tls_are_refused_before_anything_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "import_module", lambda name: name)  # as if asyncssh were there
    hosts = Ssh(kind="ssh", hosts=["10.0.0.9"])
    with pytest.raises(MedsegError, match="scheduler-insecure"):
        run_batch(root, root.parent / "out", [MODEL], options=options(root, cluster=hosts))
    assert left_behind(root) == []


def test_a_package_that_is_not_there_is_named_before_anything_is_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(cluster, "import_module", absent)
    jobs = Slurm(kind="slurm", workers=1, memory="1GB")
    with pytest.raises(MedsegError, match="pip install dask-jobqueue"):
        run_batch(root, root.parent / "out", [MODEL], options=options(root, cluster=jobs))
    assert left_behind(root) == []


def test_a_root_without_a_study_is_refused_and_says_what_lies_there(root: Path) -> None:
    (root / "1").rename(root.parent / "elsewhere")
    (root / "notes.txt").write_text("none")
    with pytest.raises(MedsegError, match="no study in it .*1 not DICOM.*no-image-series"):
        run_batch(root, root.parent / "out", [MODEL], options=options(root))
    assert left_behind(root) == ["elsewhere"]


def test_whole_images_for_a_pointed_model_leave_no_folder(root: Path) -> None:
    write_image(root / "a.nii.gz", shape=(120, 8, 8))
    with pytest.raises(MedsegError, match="point-missing"):
        run_batch(root, root.parent / "out", ["lung-nodule-ct"], options=options(root))
    assert left_behind(root) == []


def test_ctrl_c_while_it_looks_around_leaves_no_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "_planned", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_batch(root, root.parent / "out", [MODEL], options=options(root))
    assert left_behind(root) == []


def test_a_folder_that_was_there_stays(root: Path) -> None:
    out = root.parent / "out"
    plan_batch(root, out, [MODEL], options=options(root))
    before = (out / "plan.csv").read_bytes()
    with pytest.raises(MedsegError, match="model-unknown"):
        run_batch(root, out, ["no-such"], options=options(root))
    assert (out / "plan.csv").read_bytes() == before


def test_a_lock_that_was_removed_before_it_was_held_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = owner._locked

    def too_late(handle: int) -> bool:
        (tmp_path / owner.LOCK).rename(tmp_path / "removed")
        (tmp_path / owner.LOCK).touch()  # of the run that made the folder anew
        return locked(handle)

    monkeypatch.setattr(owner, "_locked", too_late)
    with pytest.raises(OutputError, match="out-owned"), owner.owned(tmp_path):
        pass


@pytest.mark.parametrize("fault", ["model", "rules", "scheduler"])
def test_a_watch_that_cannot_work_ends_at_once_and_leaves_no_folder(
    root: Path, rules: Path, fault: str
) -> None:
    given = {"rules": {"select": rules}, "scheduler": {"cluster": OPEN}}.get(fault, {})
    codes = {"model": "model-unknown", "rules": "rules-invalid", "scheduler": "scheduler-insecure"}
    models = ["no-such" if fault == "model" else MODEL]
    with pytest.raises(MedsegError, match=codes[fault]):
        watch_inbox(root.parent / "in", root.parent / "out", models, options=options(root, **given))
    assert left_behind(root) == ["RULES.toml"]
