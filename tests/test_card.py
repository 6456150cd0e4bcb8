"""`card.toml`: the least that is valid, and errors that name the key."""

from __future__ import annotations

from pathlib import Path

import pytest

from medseg.card import Card, CTWindow, SUVScale, ZScore, read_card
from medseg.errors import ModelError
from medseg.types import InstanceClass

MINIMAL = """\
name = "small"
version = "1"
summary = "A small model."
intended_use = "Tests."
limits = "Knows nothing."
modality = "CT"
body_part = "phantom"
spacing_mm = [3.0, 1.0, 1.5]
window_shape = [16, 32, 48]

[licence]
data = "Apache-2.0"
weights = "Apache-2.0"
attribution = "None."

[[channels]]
name = "ct"
[channels.normalisation]
kind = "ct_window"
low_hu = -100
high_hu = 300
mean_hu = 80
std_hu = 60

[[classes]]
name = "liver"
kind = "organ"
label = 1

[[classes]]
name = "tumor"
kind = "lesion"
label = 7
color = [255, 0, 0]

[backbone]
name = "any"

[head]
name = "any"

[training]
name = "nothing"
cases = 0
minutes = 0
device = "cpu"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "card.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_card(path)
    assert caught.value.code == "model-invalid"
    assert caught.value.subject == "card.toml"
    assert "\n" not in str(caught.value)
    assert str(path.parent) not in str(caught.value)
    return caught.value.detail


def test_the_least_valid_card_is_read_with_its_defaults(tmp_path: Path) -> None:
    card = read_card(write(tmp_path, MINIMAL))
    assert (card.name, card.modality) == ("small", "CT")
    assert card.spacing_mm == (3.0, 1.0, 1.5)
    assert card.window_shape == (16, 32, 48)
    assert (card.window_overlap, card.weights_sha256) == (0.5, "")
    assert card.channels[0].required
    window = CTWindow(kind="ct_window", low_hu=-100, high_hu=300, mean_hu=80, std_hu=60)
    assert card.channels[0].normalisation == window
    assert (card.backbone.arguments, card.head.network, card.head.decoder) == ({}, {}, {})


def test_its_classes_are_those_that_instances_carry(tmp_path: Path) -> None:
    assert read_card(write(tmp_path, MINIMAL)).instance_classes == (
        InstanceClass("liver", "organ", 1),
        InstanceClass("tumor", "lesion", 7, (255, 0, 0)),
    )


def test_a_class_of_lesions_may_be_one_of_lymph_nodes(tmp_path: Path) -> None:
    text = MINIMAL.replace("label = 7", "label = 7\nnode = true")
    assert [one.node for one in read_card(write(tmp_path, text)).instance_classes] == [False, True]


def test_a_class_of_organs_is_none_of_lymph_nodes(tmp_path: Path) -> None:
    detail = refused(write(tmp_path, MINIMAL.replace("label = 1", "label = 1\nnode = true")))
    assert detail.startswith("classes.0: ")
    assert "node is for lesions; 'liver' is of kind 'organ'" in detail


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('kind = "z_score"', ZScore(kind="z_score", low_percentile=0.5, high_percentile=99.5)),
        ('kind = "suv"\nhigh_suv = 20', SUVScale(kind="suv", high_suv=20)),
    ],
)
def test_the_kind_of_normalisation_chooses_its_keys(tmp_path: Path, written, meant) -> None:
    start, end = MINIMAL.index('kind = "ct_window"'), MINIMAL.index("[[classes]]")
    card = read_card(write(tmp_path, f"{MINIMAL[:start]}{written}\n{MINIMAL[end:]}"))
    assert card.channels[0].normalisation == meant


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('version = "1"\n', "", "version"),
        ('name = "small"', 'name = "Small Model"', "name"),
        ('modality = "CT"', 'modality = "XR"', "modality"),
        ("spacing_mm = [3.0, 1.0, 1.5]", "spacing_mm = [3.0, 1.0]", "spacing_mm.2"),
        ("[16, 32, 48]", "[16, 32, 4.5]", "window_shape.2"),
        ("[16, 32, 48]\n", "[16, 32, 48]\nwindow_overlap = 1.0\n", "window_overlap"),
        ('attribution = "None."', "", "licence.attribution"),
        ("std_hu = 60", "std_hu = 0", "channels.0.normalisation.ct_window.std_hu"),
        ('kind = "ct_window"', 'kind = "ct"', "channels.0.normalisation"),
        ("label = 7", "label = 0", "classes.1.label"),
        ('kind = "lesion"', 'kind = "wart"', "classes.1.kind"),
        ("color = [255, 0, 0]", "colour = [255, 0, 0]", "classes.1.colour"),
        ("cases = 0", "cases = -1", "training.cases"),
        ('name = "small"', 'name = "small"\nauthor = "me"', "author"),
    ],
)
def test_the_error_names_the_key_that_is_wrong(tmp_path: Path, old: str, new: str, key) -> None:
    assert MINIMAL.count(old) == 1
    detail = refused(write(tmp_path, MINIMAL.replace(old, new)))
    assert detail.startswith(f"{key}: ")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("label = 7", "label = 1", r"two entries share one label: [1, 1]"),
        ('name = "tumor"', 'name = "liver"', "two entries share one class: ['liver', 'liver']"),
        ('name = "ct"', 'name = "ct"\nrequired = false', "the first channel gives the grid"),
        ("[3.0, 1.0, 1.5]", "[3.0, 0.0, 1.5]", "spacing_mm and window_shape are above 0"),
        ("[16, 32, 48]", "[16, 0, 48]", "spacing_mm and window_shape are above 0"),
    ],
)
def test_entries_that_contradict_each_other_are_refused(tmp_path, old, new, said) -> None:
    assert said in refused(write(tmp_path, MINIMAL.replace(old, new)))


def test_two_channels_of_one_name_are_refused(tmp_path: Path) -> None:
    start, end = MINIMAL.index("[[channels]]"), MINIMAL.index("[[classes]]")
    text = MINIMAL[:end] + MINIMAL[start:end] + MINIMAL[end:]
    assert "share one channel: ['ct', 'ct']" in refused(write(tmp_path, text))


@pytest.mark.parametrize("key", ["channels", "classes"])
def test_a_card_without_channels_or_classes_is_refused(tmp_path: Path, key: str) -> None:
    content = read_card(write(tmp_path, MINIMAL)).model_dump()
    with pytest.raises(ValueError, match=f"(?s){key}.*at least 1 item"):
        Card.model_validate({**content, key: []})


def test_text_that_is_no_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    assert refused(write(tmp_path, "name = small")).startswith("is no TOML: ")
    assert "line 1" in refused(write(tmp_path, "name = small"))


def test_a_card_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "card.toml").startswith("cannot be read (No such file")


def test_a_card_cannot_be_changed_after_reading(tmp_path: Path) -> None:
    card = read_card(write(tmp_path, MINIMAL))
    with pytest.raises(ValueError, match="frozen"):
        card.name = "other"  # type: ignore[misc]


ORGANS = MINIMAL.replace('kind = "lesion"', 'kind = "organ"')
LOCALISER = """
[localiser]
template = "head-t1"
left_mm = [23.0, 22.0, -2.0]
volume_ml = [1.0, 6.0]
reach_mm = 15.0
"""


def test_a_localiser_names_every_class_by_side_with_labels_of_its_own(tmp_path: Path) -> None:
    plain = read_card(write(tmp_path, ORGANS))
    assert plain.localiser is None and plain.side_classes == ()
    found = read_card(write(tmp_path, ORGANS + LOCALISER))
    assert {one.name: one.label for one in found.side_classes} == {
        "liver_left": 1,
        "tumor_left": 7,
        "liver_right": 8,
        "tumor_right": 14,
    }
    assert found.localiser is not None
    assert found.localiser.sites_mm == {"left": (23.0, 22.0, -2.0), "right": (-23.0, 22.0, -2.0)}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "organ"', 'kind = "lesion"', "localiser goes with classes of kind organ alone"),
        ("reach_mm = 15.0", "least_extent_mm = 60.0\nreach_mm = 15.0", "below a window's 72 mm"),
        ("reach_mm = 15.0", "reach_mm = 0.0", "greater than 0"),
        ('"head-t1"', '"../head"', "should match pattern"),
    ],
)
def test_a_localiser_that_cannot_work_is_refused(tmp_path: Path, old, new, said) -> None:
    text = (ORGANS + LOCALISER).replace(old, new, 1)
    assert said in refused(write(tmp_path, text))
