"""The report: whole, the same each time, and its page needs no other file."""

from __future__ import annotations

import base64
import csv
import json
import math
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from evaluation_cases import rectangle, study

import medseg.evaluation.report
from medseg.errors import OutputError
from medseg.evaluation import (
    Evaluation,
    EvaluationSettings,
    MatchingRule,
    bland_altman,
    concordance,
    evaluate,
    froc,
)
from medseg.evaluation.document import agreement, document
from medseg.evaluation.page import MOST_SHOWN, page
from medseg.evaluation.pictures import PICTURES, figures_of
from medseg.evaluation.report import FILES, write_report
from medseg.evaluation.wording import About, key_figures, number, overview, settings_in_words
from medseg.types import InputWarning, Instances

SETTINGS = EvaluationSettings(bootstrap_samples=50, size_edges_ml=(0.03, 0.1))
Cases = dict[str, Instances]


def squares(*corners: int, side: int = 5) -> list[np.ndarray]:
    return [rectangle(slice(at, at + side), slice(0, side)) for at in corners]


@pytest.fixture(scope="module")
def cases() -> tuple[Cases, Cases]:
    """Three cases: one pair, one miss and one false alarm; one pair; nothing at all."""
    pred = {
        "one": study(squares(0, 20), scores=[0.9, 0.6]),
        "two": study(squares(10, side=6), scores=[0.8]),
        "three": study([]),
    }
    ref = {"one": study(squares(0, 40)), "two": study(squares(10)), "three": study([])}
    return pred, ref


@pytest.fixture(scope="module")
def found(cases) -> Evaluation:
    return evaluate(*cases, SETTINGS)


ABOUT = About("model", "reader", {"read": "so"}, (InputWarning("unpaired", "x.nii"),))


@pytest.fixture(scope="module")
def written(found, tmp_path_factory) -> Path:
    """A folder with the report and a file of the user's."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "mine.txt").write_text("stays")
    (folder / "report.html").write_text("old")
    write_report(found, folder, ABOUT)
    return folder


@pytest.fixture
def no_pictures(monkeypatch) -> None:
    """Drawing takes a second; what is drawn does not matter here."""
    monkeypatch.setattr(medseg.evaluation.report, "figures_of", lambda _: dict.fromkeys(PICTURES))
    monkeypatch.setattr(medseg.evaluation.report, "png", lambda _: b"picture")


class Page(HTMLParser):
    """Text, images, links and open tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.outside: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and not str(value).startswith("data:"):
                self.outside.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open[-1:] != ["style"]:
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " | ".join(self.words)


def shown(evaluation: Evaluation, about: About | None = None) -> Page:
    return Page(page(evaluation, dict.fromkeys(PICTURES, b"picture"), about or About()))


def test_the_report_has_all_its_files_and_nothing_else(written) -> None:
    assert {path.name for path in written.iterdir()} == {*FILES, "mine.txt"}
    for name in PICTURES:
        assert (written / name).read_bytes().startswith(b"\x89PNG\r\n")


def test_the_same_evaluation_gives_the_same_bytes(cases, written, tmp_path) -> None:
    write_report(evaluate(*cases, SETTINGS), tmp_path, ABOUT)
    for name in FILES:
        assert (written / name).read_bytes() == (tmp_path / name).read_bytes(), name


@pytest.mark.usefixtures("no_pictures")
def test_a_failure_leaves_an_older_report_as_it_was(found, tmp_path) -> None:
    (tmp_path / "summary.csv").write_text("old")
    with pytest.raises(ValueError, match="at the last file"):
        write_report(Broken.of(found), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["summary.csv"]
    assert (tmp_path / "summary.csv").read_text() == "old"
    with pytest.raises(OutputError):
        write_report(found, tmp_path / "nowhere")


class Broken(Evaluation):
    """An evaluation that fails when the last of its files is made."""

    @classmethod
    def of(cls, found: Evaluation) -> Broken:
        return cls(
            found.settings,
            found.summary,
            found.cases,
            found.classes,
            found.objects,
            found.splits_and_merges,
        )

    def as_dict(self) -> dict[str, object]:
        msg = "at the last file"
        raise ValueError(msg)


def test_tables_and_document_hold_the_figures(found, written) -> None:
    with (written / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    (recall,) = (
        row
        for row in rows
        if (row["metric"], row["class_name"], row["size_class"]) == ("recall", "all", "all")
    )
    assert recall["value"] == f"{2 / 3:.4f}"
    read = json.loads((written / "evaluation.json").read_text())
    assert (read["pred"], read["ref"], read["reading"]) == ("model", "reader", {"read": "so"})
    assert read["warnings"] == [{"code": "unpaired", "detail": "x.nii"}]
    assert read["settings"]["bootstrap_samples"] == 50
    assert [row["case"] for row in read["cases"]] == ["one", "two", "three"]
    assert len(read["objects"]) == 4
    assert read == json.loads(json.dumps(document(found, ABOUT), allow_nan=False))


def test_agreement_is_of_the_volumes_and_counts_of_cases(found) -> None:
    volumes = np.array([50, 36, 0]) / 1000, np.array([50, 25, 0]) / 1000
    counts = [2, 1, 0], [2, 1, 0]
    both = agreement(found)
    for name, expected in (
        ("difference", bland_altman(*volumes)),
        ("concordance", concordance(*volumes)),
    ):
        assert asdict(both["volume_ml"][name]) == pytest.approx(asdict(expected))
    assert both["count"]["difference"] == bland_altman(*counts)
    percent = both["volume_ml"]["percent"]
    assert (percent.n, percent.left_out) == (2, 1)
    said = document(found)["agreement"]
    assert said["count"]["concordance"]["ccc"] == 1.0
    assert said["volume_ml"]["difference"]["bias"] == pytest.approx(11 / 3000)


def test_the_page_needs_no_other_file(written) -> None:
    text = (written / "report.html").read_text(encoding="utf-8")
    seen = Page(text)
    assert seen.open == [] and seen.outside == []
    assert not {"script", "link", "iframe"} & set(seen.tags)
    assert "url(" not in text and "@import" not in text
    for image, name in zip(seen.images, PICTURES, strict=True):
        _, _, content = str(image["src"]).partition("data:image/png;base64,")
        assert base64.b64decode(content) == (written / name).read_bytes()
        assert image["alt"] == PICTURES[name]


def test_the_page_says_what_was_found_and_how_it_was_counted(found) -> None:
    text = shown(found, About("model <1>", "reader", {"values": "each is one object"})).text
    assert "3 cases of 3 patients, 3 reference objects, 3 predicted objects" in text
    assert "model <1> against reader" in text
    for words in (
        "Recall | 0.667",
        "values | each is one object",
        "unit | the object, by its mask",
        "connectivity | none applied",
        "minimum size | none",
        "matching | IoU of at least 0.5; by falling score",
        "without a cap on objects",
        "pooling | objects of all cases and classes as one pool",
        "intervals | none, since resampling tells too little of fewer than 10 patients",
        "mAP over IoU 0.10–0.50 | ",
        "Missed, the largest first (1)",
        "False alarms, the highest score first (1)",
        "Pairs, the lowest IoU first (2)",
    ):
        assert words in text
    for metric in found.summary.query("class_name == 'all' and size_class == 'all'")["metric"]:
        assert metric in text
    for conditions in found.summary["conditions"][found.summary["size_class"] == "all"]:
        assert text.count(conditions) == 1


def test_names_and_warnings_cannot_bring_markup_into_the_page() -> None:
    evil = "<script>alert('x')</script>"
    one = study(squares(0), names=["node"])
    about = About(evil, "&amp;", {evil: evil}, (InputWarning("code", evil),))
    seen = shown(evaluate({evil: one}, {evil: one}, SETTINGS), about)
    assert "script" not in seen.tags
    assert seen.text.count(evil) >= 5
    assert "&amp;" in seen.text


def test_long_lists_show_the_worst_and_name_the_file() -> None:
    alarms = squares(*range(0, 46, 2), side=1)
    scores = [n / 100 for n in range(len(alarms))]
    seen = shown(evaluate(study(alarms, scores=scores), study([]), SETTINGS))
    assert f"False alarms, the highest score first ({len(alarms)})" in seen.text
    assert f"{len(alarms) - MOST_SHOWN} more are in objects.csv." in seen.text
    assert "0.220" in seen.text and "0.010" not in seen.text


def test_splits_and_merges_are_listed() -> None:
    whole = [rectangle(slice(0, 10), slice(0, 10))]
    halves = [rectangle(slice(0, 10), slice(0, 5)), rectangle(slice(0, 10), slice(5, 10))]
    assert "split of reference 1" in shown(evaluate(study(halves), study(whole), SETTINGS)).text
    assert "merge of prediction 1" in shown(evaluate(study(whole), study(halves), SETTINGS)).text


def test_no_object_anywhere_is_a_page_without_figures() -> None:
    nothing = evaluate(study([]), study([]), SETTINGS)
    text = shown(nothing).text
    assert "Recall | – |" in text
    assert "No object on either side." in text
    assert json.loads(json.dumps(document(nothing), allow_nan=False))["objects"] == []
    assert len(figures_of(nothing)) == len(PICTURES)


def test_equal_scores_are_stated(cases) -> None:
    pred, ref = cases
    same = dict(settings_in_words(evaluate(ref, ref, SETTINGS), About()))
    assert same["scores"].startswith("every score; all predicted objects have 1")
    different = dict(settings_in_words(evaluate(pred, ref, SETTINGS), About()))
    assert different["scores"] == "every score"


def test_settings_are_said_as_they_are(cases) -> None:
    settings = EvaluationSettings(
        rule=MatchingRule("centre_mm", 4.0, "optimal", many_to_one=True),
        min_volume_ml=0.01,
        score_threshold=0.5,
        size_edges_ml=(),
        connectivity=18,
        bootstrap_samples=0,
        surface=False,
    )
    words = dict(settings_in_words(evaluate(*cases, settings), About()))
    assert words["connectivity"] == "objects are 18-connected components"
    assert words["minimum size"] == "0.01 ml, on both sides"
    assert words["matching"].startswith("centroids at most 4 mm apart; the most pairs")
    assert "several predictions may stand for one reference" in words["matching"]
    assert words["scores"] == "at least 0.5, but every score in curves and AP"
    assert (words["size classes"], words["intervals"]) == ("none", "none")
    assert words["surface Dice"] == "not measured"


def test_patients_with_several_cases_get_no_interval_of_independent_cases(cases) -> None:
    patients = {"one": "p", "two": "p", "three": "q"}
    found = evaluate(*cases, SETTINGS, patients=patients)
    assert "3 cases of 2 patients" in overview(found)
    assert "these intervals are too narrow" in shown(found).text
    counts = figures_of(found)["bland_altman_count.png"]
    assert not counts.axes[0].patches


def test_the_froc_picture_is_the_curve_of_froc(cases, found) -> None:
    curve = froc(
        [(cases[0][name], cases[1][name]) for name in cases[0]], SETTINGS.rule, SETTINGS.fp_per_case
    )
    (axes,) = figures_of(found)["froc.png"].axes
    x, y = axes.lines[0].get_data()
    assert y[1:-1].tolist() == pytest.approx(curve.sensitivity.tolist())
    shown_rates = np.maximum(curve.fp_per_case, axes.get_xlim()[0])
    assert x[1:-1].tolist() == pytest.approx(shown_rates.tolist())
    marks = next(line for line in axes.lines if line.get_marker() == "o")
    assert marks.get_ydata().tolist() == pytest.approx(list(curve.values))


def test_the_picture_of_sizes_has_the_recall_of_each(found) -> None:
    (axes,) = figures_of(found)["recall_by_size.png"].axes
    marks = next(line for line in axes.lines if line.get_marker() == "o")
    assert marks.get_ydata().tolist() == pytest.approx([2 / 3])
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["below 0.03 ml\nn = 3", "0.03 to 0.1 ml\nn = 0", "0.1 ml and more\nn = 0"]


def test_key_figures_have_value_interval_and_definition(found) -> None:
    keys = {name: rest for name, *rest in key_figures(found)}
    assert keys["F1"][0] == f"{2 / 3:.3f}"
    assert keys["HD95 of pairs"][0].endswith(" mm")
    assert keys["F1"][1] == ""
    enough = evaluate([study(squares(0))] * 10, [study(squares(0, 20)), study([])] * 5, SETTINGS)
    assert " to " in next(interval for _, _, interval, _ in key_figures(enough))
    assert keys["F1"][2] == "2 tp / (2 tp + fp + fn)"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.12345, "share", "0.123"),
        (-0.5, "", "\N{MINUS SIGN}0.500"),
        (-1e-9, "share", "0.000"),
        (12.0, "objects", "12"),
        (2.5, "objects", "2.50"),
        (0.0, "mm", "0"),
        (3.14159, "mm", "3.14"),
        (142.4, "mL", "142"),
        (12345.6, "mL", "12346"),
        (math.nan, "share", "–"),
        (None, "mm", "–"),
        (math.inf, "mm", "∞"),
        (-math.inf, "mm", "\N{MINUS SIGN}∞"),
        ("node", "share", "node"),
    ],
)
def test_numbers_as_people_read_them(value, unit, text) -> None:
    assert number(value, unit) == text


@pytest.mark.parametrize(
    ("ious", "name"),
    [((0.1, 0.3, 0.5), "mAP over IoU 0.10–0.50"), ((0.25,), "mAP at IoU 0.25")],
)
def test_map_is_shown_with_its_range_on_cards_and_in_tables(cases, ious, name) -> None:
    settings = EvaluationSettings(bootstrap_samples=0, iou_thresholds=ious)
    both = study(squares(0, 20), names=["node", "tumour"])
    found = evaluate(both, both, settings)
    assert name in [key for key, *_ in key_figures(found)]
    text = shown(found).text
    assert text.count(name) == 2  # the card, and the head of the table by class
    bare = evaluate(both, both, EvaluationSettings(bootstrap_samples=0, iou_thresholds=()))
    assert "mAP" not in [key for key, *_ in key_figures(bare)]
    assert "AP and mAP | not taken" in shown(bare).text


def test_what_was_not_measured_has_no_column() -> None:
    both = study(squares(0, 20), names=["node", "tumour"])
    heads = [
        shown(evaluate(both, both, EvaluationSettings(bootstrap_samples=0, surface=one))).text
        for one in (True, False)
    ]
    assert ["HD95 of pairs (mm)" in text for text in heads] == [True, False]


def test_both_ways_to_an_interval_of_agreement_are_told_apart() -> None:
    few = evaluate([study(squares(0))] * 3, [study(squares(0))] * 3, SETTINGS)
    many = evaluate([study(squares(0))] * 10, [study(squares(0))] * 10, SETTINGS)
    caption = "with intervals for independent cases and normal differences"
    other = "Those by resampling patients, which ask for neither, are with every figure."
    for found, both in ((few, False), (many, True)):
        text = shown(found).text
        assert caption in text and (other in text) == both


def test_across_classes_the_settings_say_so() -> None:
    across = EvaluationSettings(MatchingRule(within_class=False), bootstrap_samples=0)
    words = dict(settings_in_words(evaluate(study([]), study([]), across), About()))
    assert "one to one, whatever the class, without a cap" in words["AP and mAP"]
