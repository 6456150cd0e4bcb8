"""`docs/dicom.md` lists every refusal code, from the table in the code, and states its limits."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from medseg.errors import REFUSAL_CODES, InputRefused
from medseg.io.dicom.refusals import REMEDIES
from medseg.refusal_codes import REFUSALS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "dicom.md"
ROW = re.compile(r"^\| `([a-z0-9-]+)` \| (.+) \| (.+) \| (.+) \|$", flags=re.MULTILINE)
OF_DICOM = {
    "path-unreadable",
    "archive",
    "no-image-series",
    "file-corrupt",
    "several-patients",
    "several-series",
    "duplicate-uid",
    "sop-class-unsupported",
    "localizer",
    "mosaic",
    "color-image",
    "photometric-unsupported",
    "not-biped",
    "modality-mismatch",
    "too-large",
    "geometry-missing",
    "geometry-invalid",
    "mixed-matrix",
    "mixed-orientation",
    "mixed-frame-of-reference",
    "too-few-slices",
    "several-volumes",
    "duplicate-slices",
    "gantry-tilt",
    "missing-slices",
    "uneven-spacing",
    "rescale-missing",
    "rescale-invalid",
    "pixel-format-unsupported",
    "transfer-syntax-unsupported",
    "pixel-data-corrupt",
    "suv-not-computable",
    "frame-of-reference-missing",
}


def built() -> str:
    """The page as MkDocs gets it."""
    spec = importlib.util.spec_from_file_location("hooks", REPOSITORY / "docs" / "hooks.py")
    assert spec is not None and spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return str(hooks.on_page_markdown(PAGE.read_text(encoding="utf-8")))


def test_every_code_has_a_row_with_meaning_example_and_way_out() -> None:
    rows = {code: tuple(cells) for code, *cells in ROW.findall(built())}
    assert rows == {
        code: tuple(part.replace("|", "\\|") for part in (one.meaning, one.example, one.remedy))
        for code, one in REFUSALS.items()
    }
    assert "<!-- table" not in built()


def test_the_vocabulary_of_dicom_is_whole_and_the_one_of_errors() -> None:
    assert len(OF_DICOM) == 33
    assert set(REFUSALS) >= OF_DICOM
    assert set(REFUSALS) == set(REFUSAL_CODES) == set(REMEDIES)


@pytest.mark.parametrize("code", REFUSALS)
def test_each_part_is_one_line_that_says_something(code: str) -> None:
    one = REFUSALS[code]
    for part in one:
        assert part.strip() == part and "\n" not in part and len(part) > 5
    assert one.example not in (one.meaning, one.remedy)
    assert InputRefused(code, "a", "b", one.remedy).as_dict()["remedy"] == one.remedy


def test_options_that_ways_out_name_are_there() -> None:
    named = {word for one in REFUSALS.values() for word in re.findall(r"--[a-z-]+", one.remedy)}
    options = (REPOSITORY / "medseg" / "cli" / "options.py").read_text(encoding="utf-8")
    assert {"--series", "--volume", "--raw-units"} <= named
    assert all(f'"{name}"' in options for name in named)


def test_no_other_page_links_to_a_code_table_that_is_gone() -> None:
    for page in (REPOSITORY / "docs").glob("*.md"):
        for anchor in re.findall(r"\(dicom\.md#([a-z-]+)\)", page.read_text(encoding="utf-8")):
            titles = re.findall(r"^#+ (.+)$", built(), flags=re.MULTILINE)
            assert anchor in {title.lower().replace(" ", "-") for title in titles}, (page, anchor)
