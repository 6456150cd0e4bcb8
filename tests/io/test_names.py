"""Files that name the values of a label map: every form that is read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medseg.errors import InputRefused
from medseg.io.names import read_names

BOTH = [("liver", 1), ("tumour", 2)]


def save(path: Path, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "content",
    [
        {"1": "liver", "2": "tumour"},
        {"liver": 1, "tumour": 2},
        {"liver": "1", "tumour": "2"},
        {"name": "LiTS", "labels": {"0": "background", "1": "liver", "2": "tumour"}},
        {"labels": {"background": 0, "tumour": 2, "liver": 1}, "channel_names": {"0": "CT"}},
    ],
    ids=["label first", "name first", "numbers as text", "Decathlon", "nnU-Net"],
)
def test_json_is_read_both_ways_round(tmp_path: Path, content: Any) -> None:
    found = read_names(save(tmp_path / "names.json", content), kind="organ")
    assert [(one.name, one.label) for one in found] == BOTH
    assert {one.kind for one in found} == {"organ"}


def test_csv_may_say_kind_and_node_and_what_it_leaves_open_is_as_asked(tmp_path: Path) -> None:
    text = "label,name,kind,node\n2, tumour ,,\n1,liver,organ,no\n3,lymph node,lesion,yes\n"
    found = read_names(save(tmp_path / "names.csv", text), kind="lesion")
    assert [(one.label, one.name, one.kind, one.node) for one in found] == [
        (1, "liver", "organ", False),
        (2, "tumour", "lesion", False),
        (3, "lymph node", "lesion", True),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "label,name\n1,liver\n2,tumour\n",
        "\ufefflabel;name\r\n1;liver\r\n2;tumour\r\n",
        'Name,Label\n"liver",1\n"tumour",2\n',
    ],
    ids=["plain", "a spreadsheet's", "other order"],
)
def test_csv_is_read_as_programs_write_it(tmp_path: Path, text: str) -> None:
    found = read_names(save(tmp_path / "names.CSV", text), kind="lesion")
    assert [(one.name, one.label) for one in found] == BOTH


def test_a_node_is_a_lesion_also_where_its_kind_is_not_said(tmp_path: Path) -> None:
    text = "label,name,node\n1,liver,\n2,lymph node,TRUE\n"
    found = read_names(save(tmp_path / "names.csv", text), kind="organ")
    assert [(one.kind, one.node) for one in found] == [("organ", False), ("lesion", True)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "{", "is no JSON"),
        ("a.json", "[1, 2]", "holds no pairs"),
        ("a.json", {}, "holds no pairs"),
        ("a.json", {"labels": []}, "holds no pairs"),
        ("a.json", {"1": 2}, "numbers with numbers"),
        ("a.json", {"1": "2", "2": "3"}, "numbers with numbers"),
        ("a.json", {"liver": [1, 2], "spleen": 3}, "'liver' no single whole number"),
        ("a.json", {"liver": 1.5}, "'liver' no single whole number"),
        ("a.json", {"liver": True}, "'liver' no single whole number"),
        ("a.json", {"1": "liver", "2": None}, "no name for label 2"),
        ("a.json", {"1": "liver", "2": "liver"}, "the name 'liver' twice"),
        ("a.json", {"1": "liver", "01": "spleen"}, "the label 1 twice"),
        ("a.json", '{"1": "liver", "1": "spleen"}', "'1' twice"),
        ("a.json", {"0": "background"}, "nothing but background"),
        ("a.json", {"-1": "liver"}, "no single whole number"),
        ("a.csv", "", "has the columns none"),
        ("a.csv", "value,text\n1,liver\n", "has the columns value, text"),
        ("a.csv", "label,name,knid\n1,liver,lesion\n", "has the columns label, name, knid"),
        ("a.csv", "label,name,name\n1,liver,liver\n", "has the columns"),
        ("a.csv", "label,name\n1,liver,right\n", "number of cells in line 2"),
        ("a.csv", "label,name\n1\n", "number of cells in line 2"),
        ("a.csv", "label,name\none,liver\n", "the label 'one'"),
        ("a.csv", "label,name\n-1,liver\n", "the label '-1'"),
        ("a.csv", "label,name,kind\n1,liver,gland\n", "the kind 'gland'"),
        ("a.csv", "label,name,node\n1,liver,perhaps\n", "'perhaps' under node"),
        ("a.csv", "label,name,kind,node\n1,spleen,organ,yes\n", "a node is a lesion"),
        ("a.csv", "label,name\n1,\n", "no name for label 1"),
        ("a.csv", 'label,name\n1,"li"ver\n', "expected"),
        ("a.txt", "1 liver", r"neither in \.json nor in \.csv"),
    ],
)
def test_what_is_not_certain_is_refused_in_one_line(
    tmp_path: Path, name: str, content: Any, said: str
) -> None:
    with pytest.raises(InputRefused, match=said) as caught:
        read_names(save(tmp_path / name, content), kind="organ")
    assert caught.value.code == "names-invalid"
    assert caught.value.subject == name
    assert "label,name" in str(caught.value)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="path-missing"):
        read_names(tmp_path / "names.json", kind="organ")
    (tmp_path / "names.csv").write_bytes(b"label,name\n1,\xff\xfe\n")
    with pytest.raises(InputRefused, match="is no UTF-8 text"):
        read_names(tmp_path / "names.csv", kind="organ")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputRefused, match="path-unreadable"):
        read_names(tmp_path / "folder.csv", kind="organ")


def test_many_names_are_read_in_a_moment(tmp_path: Path) -> None:
    many = {str(n): f"region {n}" for n in range(1, 50_001)}
    assert len(read_names(save(tmp_path / "a.json", many), kind="organ")) == 50_000
