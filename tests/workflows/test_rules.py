"""RULES.toml: what it may say, and errors that name the file, the line and the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from medseg_workflows.conditions import Condition, Extreme
from medseg_workflows.rules import Rule, RulesError, default_rule, read_rules

from medseg.card import Card
from medseg.models import card_of

GOOD = """
# Which series the model for the hippocampus gets.
[[rule]]
name = "thin T1"
model = "hippocampus-mr"

[rule.must]                       # all hold
modality = "MR"
image_type_none_of = ["LOCALIZER", "SECONDARY", "MPR", "MIP"]
orientation = "axial"
slices = { min = 30 }
spacing_z_mm = { max = 5.0 }
contrast = false

[rule.allow_unknown]
keys = ["contrast"]

[[rule.prefer]]
description_any_of = ["MPRAGE", "T1"]
[[rule.prefer]]
smallest = "spacing_z_mm"

[[rule]]
name = "any"
model = "hippocampus-mr"
must.modality = "MR"
"""


@pytest.fixture
def card() -> Card:
    return card_of("hippocampus-mr")


@pytest.fixture
def two_channels(card: Card) -> Card:
    first = card.channels[0]
    other = first.model_copy(update={"name": "flair", "required": False})
    return card.model_copy(update={"name": "two", "channels": (first, other)})


def rules_of(folder: Path, text: str, *cards: Card) -> dict[str, tuple[Rule, ...]]:
    path = folder / "RULES.toml"
    path.write_text(text, encoding="utf-8")
    return read_rules(path, cards)


def error_of(folder: Path, text: str, *cards: Card) -> RulesError:
    with pytest.raises(RulesError) as caught:
        rules_of(folder, text, *cards)
    return caught.value


def test_rules_are_read_in_their_order(tmp_path: Path, card: Card) -> None:
    first, second = rules_of(tmp_path, GOOD, card)["hippocampus-mr"]
    (channel,) = first.channels
    assert (first.name, second.name) == ("thin T1", "any")
    assert channel.channel == "t1"
    assert channel.allow_unknown == ("contrast",)
    assert [one.key for one in channel.must] == [
        *("modality", "image_type_none_of", "orientation", "slices", "spacing_z_mm", "contrast"),
    ]
    assert channel.must[3] == Condition("slices", "slices", "range", (30.0, float("inf")))
    assert channel.prefer == (
        Condition("description_any_of", "description", "any_of", ("MPRAGE", "T1")),
        Extreme("smallest", "spacing_z_mm"),
    )
    assert [one.key for one in second.channels[0].must] == ["modality"]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ('"MR"', '"MRI"', 8, "must.modality: is one of CT, MR, PT"),
        ('"axial"', '"axiall"', 10, "must.orientation: is one of axial, coronal"),
        ("slices = {", "slice = {", 11, "rule.must.slice: is no key of a rule"),
        ("slices = { min = 30 }", "slices = 30", 11, "rule.must.slices: wants { min"),
        ("slices = { min = 30 }", "slices = { least = 3 }", 11, "rule.must.slices: wants { min"),
        ("slices = { min = 30 }", "slices = { min = 9, max = 3 }", 11, "min 9 above max 3"),
        ("max = 5.0", "max = nan", 12, "rule.must.spacing_z_mm: wants { min"),
        ("contrast = false", 'contrast = "no"', 13, "wants true or false; got 'no'"),
        ('orientation = "axial"', 'orientation = ["axial"]', 10, "wants a word in quotes"),
        ('["LOCALIZER", ', '[7, "LOCALIZER", ', 9, "image_type_none_of: wants a list of words"),
        ('keys = ["contrast"]', 'keys = ["contrst"]', 16, "'contrst' is none of modality"),
        ("keys = [", "key = [", 16, "rule.allow_unknown.key: is no key here"),
        ('smallest = "spacing_z_mm"', 'smallest = "kernel"', 21, "wants one of slices"),
        ('smallest = "spacing_z_mm"', 'least = "slices"', 21, "rule.prefer.least: is no key"),
        ('smallest = "spacing', 'contrast = true\nsmallest = "sp', 20, "wants one key"),
        (
            'name = "any"\nmodel = "hippocampus-mr"',
            'name = "any"',
            23,
            "rule.model: Field required",
        ),
        ('name = "any"\nmodel = "hippocampus-mr"', 'name = "any"\nmodel = "liver"', 25, "no model"),
        ("[rule.must] ", "[rule.most] ", 7, "rule.most: is no key here"),
    ],
)
def test_an_error_names_file_line_and_key(
    tmp_path: Path, card: Card, old: str, new: str, line: int, says: str
) -> None:
    assert old in GOOD
    error = error_of(tmp_path, GOOD.replace(old, new, 1), card)
    assert (error.code, error.subject) == ("rules-invalid", f"RULES.toml, line {line}")
    assert says in error.detail
    assert error.exit_code == 2


def test_text_that_is_no_toml_is_an_error_with_its_line(tmp_path: Path, card: Card) -> None:
    error = error_of(tmp_path, GOOD.replace('name = "any"', "name = any"), card)
    assert error.code == "rules-invalid"
    assert "line 24" in error.detail


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_an_error(
    tmp_path: Path, card: Card, content: bytes | None
) -> None:
    path = tmp_path / "RULES.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RulesError, match="rules-unreadable"):
        read_rules(path, [card])


def test_a_file_from_an_editor_of_windows_is_read(tmp_path: Path, card: Card) -> None:
    (tmp_path / "RULES.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert len(read_rules(tmp_path / "RULES.toml", [card])["hippocampus-mr"]) == 2
    text = GOOD.replace("slices =", "slice =").replace("\n", "\r\n")
    assert error_of(tmp_path, text, card).subject == "RULES.toml, line 11"


def test_a_file_without_rules_is_an_error(tmp_path: Path, card: Card) -> None:
    assert error_of(tmp_path, "", card).subject == "RULES.toml, line 1"
    assert "no key here" in error_of(tmp_path, "rules = 3\n" + GOOD, card).detail


def test_a_model_without_a_rule_in_the_file_is_left_out(tmp_path: Path, card: Card) -> None:
    other = card_of("phantom-lesions")
    assert set(rules_of(tmp_path, GOOD, other, card)) == {"hippocampus-mr"}


def test_each_channel_has_demands_of_its_own_beside_the_common_ones(
    tmp_path: Path, two_channels: Card
) -> None:
    text = """
[[rule]]
name = "both"
model = "two"
must.modality = "MR"
[[rule.prefer]]
largest = "slices"
[[rule.channel]]
name = "t1"
must.description_any_of = ["T1"]
[[rule.channel]]
name = "flair"
[rule.channel.must]
description_any_of = ["FLAIR"]
[[rule.channel.prefer]]
smallest = "spacing_z_mm"
"""
    (rule,) = rules_of(tmp_path, text, two_channels)["two"]
    t1, flair = rule.channels
    assert [one.fact for one in t1.must] == ["modality", "description"]
    assert t1.prefer == (Extreme("largest", "slices"),)
    assert flair.must[1].wanted == ("FLAIR",)
    assert flair.prefer == (Extreme("smallest", "spacing_z_mm"), Extreme("largest", "slices"))
    assert (t1.required, flair.required) == (True, False)

    error = error_of(tmp_path, text.replace('["FLAIR"]', '"FLAIR"'), two_channels)
    assert error.subject.endswith("line 14")
    error = error_of(tmp_path, text.replace('"flair"', '"t2"'), two_channels)
    assert error.subject.endswith("line 12")
    assert "'t2' is not of t1, flair" in error.detail
    error = error_of(tmp_path, text.replace('"flair"', '"t1"'), two_channels)
    assert "'t1' is named twice" in error.detail
    error = error_of(tmp_path, text[: text.rindex("[[rule.channel]]")], two_channels)
    assert "the rule has none for 'flair'" in error.detail
    assert error.subject.endswith("line 2")


def test_the_rule_of_a_card_asks_for_what_its_model_was_made_for(card: Card) -> None:
    (channel,) = default_rule(card, unknown_modality=False).channels
    demands = {one.key: one.wanted for one in channel.must}
    assert demands["modality"] == ("MR",)
    assert demands["spacing_z_mm"][1] == demands["spacing_xy_mm"][1] == 4.0  # of 1 mm
    assert demands["slices"][0] == 10
    assert {"LOCALIZER", "SECONDARY", "MPR", "MIP"} <= set(demands["image_type_none_of"])
    elsewhere = set(demands["body_part_none_of"])
    assert {"CHEST", "KNEE", "PELVIS"} <= elsewhere
    assert elsewhere.isdisjoint({"HEAD", "BRAIN", "HIPPOCAMPUS", "HEADNECK", "WHOLEBODY"})
    assert channel.allow_unknown == ("image_type", "body_part")


def test_the_rule_of_a_card_says_the_modality_that_the_normalisation_means(card: Card) -> None:
    raw = card.model_dump()
    raw["channels"][0]["normalisation"] = {"kind": "suv", "high_suv": 20}
    (channel,) = default_rule(Card.model_validate(raw), unknown_modality=True).channels
    assert channel.must[0].wanted == ("PT",)
    assert "modality" in channel.allow_unknown


def test_a_body_part_that_is_no_region_rules_out_nothing(card: Card) -> None:
    odd = card.model_copy(update={"body_part": "left big toe"})
    (channel,) = default_rule(odd, unknown_modality=False).channels
    assert all(one.fact != "body_part" for one in channel.must)


def test_only_the_first_channel_of_a_model_for_what_is_pointed_at_must_be_a_crop(
    tmp_path: Path, card: Card, two_channels: Card
) -> None:
    raw = {**two_channels.model_dump(), "pointed": {"largest_crop_mm": 80.0}}
    first, second = default_rule(Card.model_validate(raw), unknown_modality=True).channels
    assert (first.crop_mm, second.crop_mm) == (80.0, None)
    assert default_rule(card, unknown_modality=True).channels[0].crop_mm is None
    path = tmp_path / "rules.toml"
    path.write_text(f'[[rule]]\nname = "a"\nmodel = "{card.name}"\n')
    pointed = Card.model_validate({**card.model_dump(), "pointed": {"largest_crop_mm": 80.0}})
    (rule,) = read_rules(path, [pointed])[card.name]
    assert rule.channels[0].crop_mm == 80.0


def test_several_channels_need_images_that_say_which_they_are(two_channels: Card) -> None:
    for one in default_rule(two_channels, unknown_modality=True).channels:
        assert Condition("channel", "channel", "is", (one.channel,)) in one.must
        assert "channel" not in one.allow_unknown
