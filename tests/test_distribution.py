"""What is built and installed: the wheel's files, its licences, its dependencies."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PARTS = ("medseg", "napari_plugin", "workflows", "pyproject.toml", "setup.cfg", "README.md")
EXTRAS = {"napari", "batch", "train", "bench", "test", "dev"}
MODEL_FILES = ("card.toml", "weights.safetensors", "recipe.toml", "figures.json", "README.md")
IMPORTED_AS = {
    "SimpleITK": "simpleitk",
    "cc3d": "connected-components-3d",
    "nrrd": "pynrrd",
    "pydantic_core": "pydantic",
}


class Wheel(NamedTuple):
    """A built wheel: its size, the names in it, its metadata and licence files."""

    megabytes: float
    names: frozenset[str]
    metadata: Message


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Wheel:
    """The wheel of this checkout, built from a copy."""
    source = tmp_path_factory.mktemp("source")
    for part in (*PARTS, "LICENSE"):
        if (repository / part).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(repository / part, source / part, ignore=ignored)
        else:
            shutil.copy(repository / part, source / part)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    ran = subprocess.run(build, cwd=source, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    (path,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        (where,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(where).decode())
    return Wheel(path.stat().st_size / 1e6, frozenset(names), metadata)


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    """The table `project` of pyproject.toml."""
    with (repository / "pyproject.toml").open("rb") as file:
        return dict(tomllib.load(file)["project"])


def required(lines: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines} - {"medseg"}


def of_extras(project: dict[str, Any]) -> set[str]:
    return required([line for lines in project["optional-dependencies"].values() for line in lines])


def shipped_models(repository: Path) -> list[Path]:
    return sorted(path.parent for path in (repository / "medseg/models").glob("*/card.toml"))


def test_the_wheel_holds_three_packages_and_their_type_marks(wheel: Wheel) -> None:
    tops = {name.split("/")[0] for name in wheel.names if ".dist-info" not in name}
    assert tops == {"medseg", "medseg_napari", "medseg_workflows"}
    assert {f"{top}/py.typed" for top in tops} <= wheel.names


def test_the_wheel_holds_models_and_samples_whole(wheel: Wheel, repository: Path) -> None:
    models = shipped_models(repository)
    assert "hippocampus-mr" in [model.name for model in models]
    wanted = {f"medseg/models/{model.name}/{file}" for model in models for file in MODEL_FILES}
    wanted |= {f"medseg/models/templates/{file}" for file in ("head-t1.nii.gz", "LICENSE.md")}
    for path in (repository / "medseg/samples").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            wanted.add(path.relative_to(repository).as_posix())
    assert wanted <= wheel.names
    assert sum(name.endswith(".dcm") for name in wheel.names) >= 30


def test_the_wheel_holds_the_templates_of_pages_and_the_manifest_of_napari(wheel: Wheel) -> None:
    wanted = {"medseg/evaluation/page.html.jinja", "medseg/evaluation/house.css.jinja"}
    wanted |= {"medseg_napari/page/case.html.jinja", "medseg_napari/napari.yaml"}
    assert wanted <= wheel.names


def test_models_stay_below_20_megabytes_and_samples_below_2(repository: Path) -> None:
    def megabytes(folder: Path) -> float:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6

    assert megabytes(repository / "medseg/samples") < 2
    for model in shipped_models(repository):
        assert megabytes(model) < 20, model.name


def test_the_licence_expression_names_the_licence_of_all_that_ships(
    wheel: Wheel, repository: Path
) -> None:
    named = set(str(wheel.metadata["License-Expression"]).split(" AND "))
    assert named == {"Apache-2.0", "CC-BY-SA-4.0", "CC-BY-3.0", "CC-BY-4.0", "MIT"}
    for model in shipped_models(repository):
        licence = tomllib.loads((model / "card.toml").read_text(encoding="utf-8"))["licence"]
        assert licence["weights"] in named
        assert licence["attribution"]
        if "-SA-" in licence["data"]:
            assert licence["weights"] == licence["data"], f"{model.name}: share-alike"
        assert "-NC" not in licence["data"] + licence["weights"]


def test_the_licence_text_and_the_extras_are_in_the_metadata(wheel: Wheel) -> None:
    files = wheel.metadata.get_all("License-File", [])
    assert "LICENSE" in files
    assert sum(name.startswith("medseg/samples/") for name in files) >= 2
    assert set(wheel.metadata.get_all("Provides-Extra", [])) == EXTRAS
    assert wheel.metadata["Requires-Python"] == ">=3.11"


def test_the_licence_of_samples_and_models_stands_beside_them(repository: Path) -> None:
    samples = [path for path in (repository / "medseg/samples").iterdir() if path.is_dir()]
    samples = [path for path in samples if path.name != "__pycache__"]
    assert len(samples) >= 2
    for folder in samples:
        texts = [
            path.read_text(encoding="utf-8")
            for path in folder.rglob("*")
            if path.suffix in {".md", ".txt"}
        ]
        assert any("CC BY" in text or "CC-BY" in text for text in texts), folder.name
    for folder in shipped_models(repository):
        licence = tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))["licence"]
        page = (folder / "README.md").read_text(encoding="utf-8")
        assert licence["data"] in page and licence["weights"] in page, folder.name


def test_what_medseg_imports_is_required_and_what_is_required_is_imported(
    repository: Path, project: dict[str, Any]
) -> None:
    imported = set()
    for path in (repository / "medseg").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.split(".")[0])
    outside = imported - set(sys.stdlib_module_names)
    outside -= {"medseg", "medseg_napari", "medseg_workflows"}
    found = {canonicalize_name(IMPORTED_AS.get(name, name)) for name in outside}
    base, extras = required(project["dependencies"]), of_extras(project)
    assert found - base - extras == set()
    assert base - found == set()


def test_the_tested_set_pins_every_dependency_plainly(
    repository: Path, project: dict[str, Any]
) -> None:
    text = (repository / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pinned = {}
    for line in lines:
        name, _, version = line.partition("==")
        assert version
        assert not set(version) - set("0123456789.post"), line
        pinned[canonicalize_name(name)] = version
    extras = project["optional-dependencies"]
    wanted = required(
        [
            *project["dependencies"],
            *extras["train"],
            *extras["batch"],
            *extras["test"],
            *extras["dev"],
        ]
    )
    assert wanted <= set(pinned)


def test_the_licences_page_lists_every_dependency(
    repository: Path, project: dict[str, Any]
) -> None:
    page = (repository / "docs/licences.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    listed = {canonicalize_name(row) for row in rows if row and " " not in row}
    listed -= {"library", "part", "code"}
    assert listed == required(project["dependencies"]) | of_extras(project)


def test_versions_agree(repository: Path, project: dict[str, Any]) -> None:
    citation = (repository / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {project['version']}\n" in citation
