"""`docs/models.md` is what the packages say; the matrix of domains counts what was called out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from modelling import ORGANS, card

from medseg.card import Domain
from medseg.inference.domain import CODE
from medseg.models import card_of, figures_of, shipped
from medseg.types import Geometry, InputWarning, Volume

Load = Callable[[str], ModuleType]


def test_the_page_on_disk_is_what_the_packages_say(load: Load, repository: Path) -> None:
    script = load("models_page")
    assert repository / "docs" / "models.md" == script.PAGE
    models = [(card_of(name), figures_of(name)) for name in shipped()]
    text = script.PAGE.read_text(encoding="utf-8")
    assert script.page(text, models) == text, "run benchmarks/models_page.py --write"


def test_every_shipped_model_has_a_row_and_a_section(load: Load) -> None:
    models = [(card_of(name), figures_of(name)) for name in shipped()]
    made = load("models_page").made(models)
    for name in shipped():
        assert f"| [{name}](#{name}) |" in made and f"\n## {name}\n" in made


def test_a_page_without_its_marks_is_a_bad_call(load: Load) -> None:
    with pytest.raises(ValueError, match="needs the marks"):
        load("models_page").page("# Models\n", [])


def test_the_matrix_has_a_row_a_model(load: Load) -> None:
    rows = [
        {"images": "its own cases", "n": 43, "called out of domain": 1, "for": "intensities 1"},
        {"images": "sarcoma_mr", "n": 20, "called out of domain": 20, "for": "spacing 20"},
    ]
    table = load("models_page").matrix([(card(ORGANS), {"other_sets": rows}), (card(ORGANS), {})])
    assert table.splitlines()[2:] == ["| small | 1 of 43 | 20 of 20 |"]


def test_reasons_are_counted_once_an_image(load: Load) -> None:
    domains = load("model_domains")
    two = tuple(InputWarning(CODE, f"modality: channel {n}") for n in range(2))
    row = domains.row_of("some", [two, (InputWarning(CODE, "spacing: voxels"),), ()])
    assert row == {
        "images": "some",
        "n": 3,
        "called out of domain": 2,
        "for": "modality 1, spacing 1",
    }


def test_bars_of_the_matrix_are_named_where_they_are_missed(load: Load) -> None:
    domains = load("model_domains")

    def row(images: str, flagged: int) -> dict[str, object]:
        return {"images": images, "n": 20, "called out of domain": flagged}

    own, ct = domains.OWN, domains.CT_SETS[0]
    good = [row(own, 1), row(domains.SPREAD_APART, 20), row(ct, 20), row("sarcoma_mr", 3)]
    assert domains.missed({"m": good}, {"m": "MR"}) == []
    bad = [row(own, 2), row(domains.SPREAD_APART, 19), row(ct, 19), row("sarcoma_mr", 20)]
    assert len(domains.missed({"m": bad}, {"m": "MR"})) == 3
    assert domains.missed({"m": [row("sarcoma_mr", 19)]}, {"m": "CT"})


def test_slices_are_spread_beyond_all_that_is_known(load: Load) -> None:
    import numpy as np

    ends = (1.0, 1.0, 1.0)
    domain = Domain(
        cases=1,
        least_spacing_mm=ends,
        largest_spacing_mm=(2.5, 1.0, 1.0),
        least_extent_mm=ends,
        largest_extent_mm=ends,
        channels={},
    )
    image = Volume(np.zeros((4, 5, 6)), Geometry.from_spacing((4, 5, 6), (2.0, 1.0, 1.0)))
    wide = load("model_domains").spread_apart(image, card(ORGANS, domain=domain))
    assert wide.geometry.spacing_mm == pytest.approx((3.75, 1.0, 1.0))
    turned = image.reoriented((1, 2, 0), (False, False, True))
    wide = load("model_domains").spread_apart(turned, card(ORGANS, domain=domain))
    assert wide.geometry.spacing_mm == pytest.approx((1.0, 1.0, 3.75))


def test_a_set_without_an_image_is_said_not_to_have_been_judged(load: Load) -> None:
    domains = load("model_domains")
    found = {"one": [domains.row_of(domains.OWN, [])]}
    assert domains.missed(found, {"one": "CT"}) == ["one: no image of its own cases was judged"]
