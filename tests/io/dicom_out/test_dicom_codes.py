"""Codes of classes: by name, from a card, from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pydicom.sr._concepts_dict as dictionary
import pytest

from medseg.card import CardClass
from medseg.errors import InputRefused
from medseg.io.dicom_out import ClassCodes, Term, codes_for, codes_of_card, read_codes
from medseg.io.dicom_out.codes import (
    _ABNORMAL,
    _ORGANS,
    ABNORMAL,
    ANATOMY,
    LEFT,
    LESION,
    LYMPH_NODE,
    TISSUE,
)
from medseg.models import card_of
from medseg.types import InstanceClass


def one(name: str, kind: str = "organ", *, node: bool = False) -> ClassCodes:
    found, warnings = codes_for([InstanceClass(name, kind, 1, node=node)])
    assert warnings == ()
    return found[name]


def test_every_built_in_code_stands_in_dicom_s_dictionary_with_its_meaning() -> None:
    known = {
        (code, meaning)
        for entries in dictionary.concepts["SCT"].values()
        for code, (meaning, _) in entries.items()
    }
    assert {*_ORGANS.values(), *_ABNORMAL.values()} <= known
    assert {(term.value, term.meaning) for term in (ABNORMAL, ANATOMY, LESION, TISSUE)} <= known


@pytest.mark.parametrize("name", ["kidney_left", "Left Kidney", "left-kidney"])
def test_a_side_in_a_name_is_a_modifier(name: str) -> None:
    assert one(name) == ClassCodes(ANATOMY, Term("SCT", "64033007", "Kidney"), LEFT)


def test_a_finding_in_an_organ_has_a_site() -> None:
    found = one("lung_nodule", "lesion")
    assert (found.category, found.type.value, found.site) == (
        ABNORMAL,
        "27925004",
        Term("SCT", "39607008", "Lung"),
    )


def test_a_node_is_a_lesion_of_lymph_node() -> None:
    found = one("lymph node", "lesion", node=True)
    assert (found.type, found.site) == (LESION, Term("SCT", "59441001", "Lymph Node"))


@pytest.mark.parametrize(
    ("name", "type_"), [("tumour", "108369006"), ("liver metastasis", "14799000")]
)
def test_nodes_of_any_name_have_their_site(name: str, type_: str) -> None:
    found = one(name, "lesion", node=True)
    assert (found.type.value, found.site) == (type_, LYMPH_NODE)


def test_nodes_without_a_code_have_their_site_and_are_told() -> None:
    found, warnings = codes_for([InstanceClass("gtvn", "lesion", 1, node=True)])
    assert found["gtvn"] == ClassCodes(ABNORMAL, LESION, site=LYMPH_NODE)
    assert [one.code for one in warnings] == ["class-without-code"]


def test_nodes_of_a_card_have_their_site() -> None:
    nodes = {
        "name": "node",
        "kind": "lesion",
        "label": 9,
        "node": True,
        "type": {"scheme": "SCT", "value": "52988006", "meaning": "Lesion"},
    }
    card = card_of("hippocampus-mr")
    classes = (*card.classes, CardClass.model_validate(nodes))
    found = codes_of_card(card.model_copy(update={"classes": classes, "localiser": None}))
    assert found["node"] == ClassCodes(ABNORMAL, LESION, site=LYMPH_NODE)
    assert found["hippocampus_anterior"].site is None


def test_unknown_classes_are_tissue_or_lesion_and_a_warning_names_them() -> None:
    classes = [InstanceClass("class_3", "organ", 3), InstanceClass("spots", "lesion", 4)]
    found, warnings = codes_for(classes)
    assert found == {
        "class_3": ClassCodes(ANATOMY, TISSUE),
        "spots": ClassCodes(ABNORMAL, LESION),
    }
    assert [one.code for one in warnings] == ["class-without-code"]
    assert "class_3, spots" in warnings[0].detail
    assert "medseg convert LABELS --source DICOM --codes FILE" in warnings[0].detail


def test_given_codes_come_first() -> None:
    mine = ClassCodes(ANATOMY, Term("SCT", "1", "Mine"))
    found, _ = codes_for([InstanceClass("liver", "organ", 1)], {"liver": mine})
    assert found["liver"] == mine


def test_the_card_of_the_shipped_model_states_codes_and_modifiers() -> None:
    found = codes_of_card(card_of("hippocampus-mr"))
    assert found["hippocampus_anterior"] == ClassCodes(
        ANATOMY, Term("SCT", "5366008", "Hippocampus"), Term("SCT", "255549009", "Anterior")
    )


def test_the_sides_of_a_whole_head_are_coded_beside_the_part() -> None:
    found = codes_of_card(card_of("hippocampus-mr"))
    names = {f"hippocampus_{part}" for part in ("anterior", "posterior")}
    assert set(found) == names | {f"{name}_{side}" for name in names for side in ("left", "right")}
    mine = found["hippocampus_posterior_right"]
    assert mine.type.value == "5366008"
    assert [one.meaning for one in mine.modifiers] == ["Posterior", "Right"]
    assert found["hippocampus_anterior"].side is None


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    as_json, as_csv = tmp_path / "codes.json", tmp_path / "codes.csv"
    content = {"gtv": {"type": "DCM:130052:GTV Primary", "site": "SCT:87784001:Soft tissue"}}
    as_json.write_text(json.dumps(content))
    as_csv.write_text("class,type,site\ngtv,DCM:130052:GTV Primary,SCT:87784001:Soft tissue\n")
    assert read_codes(as_json) == read_codes(as_csv)
    assert read_codes(as_csv) == {
        "gtv": ClassCodes(
            ABNORMAL,
            Term("DCM", "130052", "GTV Primary"),
            None,
            Term("SCT", "87784001", "Soft tissue"),
        )
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "is no JSON object"),
        ("{", "is no JSON"),
        ("{}", "names no class"),
        ('{"a": {}}', "gives 'a' no type"),
        ('{"a": {"type": "SCT:1"}}', "no SCHEME:VALUE:MEANING"),
        ('{"a": {"type": 5}}', "no SCHEME:VALUE:MEANING"),
        ('{"a": {"type": "SCT:12345678901234567:x"}}', "no SCHEME:VALUE:MEANING"),
        ('{"a": {"type": "SCT:1:x", "colour": "red"}}', "the part colour"),
    ],
)
def test_a_faulty_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "codes.json"
    path.write_text(text)
    with pytest.raises(InputRefused, match=said) as refused:
        read_codes(path)
    assert refused.value.code == "names-invalid"
