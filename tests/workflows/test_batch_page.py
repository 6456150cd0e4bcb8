"""The page of batches: its rules and clusters can be read, its options and codes are real."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from medseg_workflows.cluster_file import read_cluster
from medseg_workflows.conditions import FACTS
from medseg_workflows.rules import read_rules
from typer.main import get_command

from medseg.cli.app import app
from medseg.models import card_of
from medseg.refusal_codes import REFUSALS

TOML = re.compile(r"^ *```toml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
OTHER_COMMANDS = {
    "segment": {"--at"},
    "convert": {"--source", "--codes"},
    "phantom": {"--seed", "--scene", "--dicom"},
}
DASK = re.compile(r"^ *dask .*$", re.MULTILINE)


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "batch.md").read_text(encoding="utf-8")


def blocks(page: str) -> list[str]:
    return [textwrap.dedent(text) for text in TOML.findall(page)]


def test_every_cluster_of_the_page_is_one(page: str, tmp_path: Path) -> None:
    kinds = []
    for text in blocks(page):
        if text.startswith("kind"):
            path = tmp_path / "CLUSTER.toml"
            path.write_text(text)
            kinds.append(read_cluster(path).kind)
    assert kinds == ["running", "ssh", "slurm", "kubernetes"]


def test_the_rules_of_the_page_are_read(page: str, tmp_path: Path) -> None:
    path = tmp_path / "RULES.toml"
    path.write_text(next(text for text in blocks(page) if text.startswith("[[rule]]")))
    card = card_of("phantom-lesions").model_copy(update={"name": "liver-ct"})
    (rule,) = read_rules(path, [card])["liver-ct"]
    assert len(rule.channels[0].must) == 5 and len(rule.channels[0].prefer) == 3


def test_the_page_names_every_key_of_rules(page: str) -> None:
    keys = page.partition("| keys | are |")[2].partition("Several rules")[0]
    assert {name for name in FACTS if f"`{name}`" not in keys} == set()


def test_every_option_of_the_page_is_one(page: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    known = {
        option
        for name in ("batch", "watch")
        for parameter in commands[name].params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    for name, options in OTHER_COMMANDS.items():
        assert options <= {option for one in commands[name].params for option in one.opts}
        known |= options
    said = re.sub(r"--lifetime\S*|--parts", "", DASK.sub("", page))
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", said)) <= known


def test_the_codes_of_the_page_are_those_of_the_program(page: str, repository: Path) -> None:
    sources = [*(repository / "workflows").rglob("*.py"), *(repository / "medseg").rglob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    said = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", page))
    models = {"phantom-lesions", "lung-nodule-ct"}
    packages = {"dask-jobqueue", "dask-kubernetes"}
    assert {one for one in said - models - packages if f'"{one}"' not in text} == set()
    assert len(said & REFUSALS.keys()) > 5
