"""The page of a batch: what it says, that it adds up, and that data cannot run in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_cases import batch, fail, finish, job_of, objects, plan, row_of, spots, study_code
from medseg_workflows.collect import TABLES, collect
from medseg_workflows.records import Failure, ModelUse
from medseg_workflows.report import write_report
from medseg_workflows.report.plots import HEIGHT, WIDTH, of_counts, of_volumes
from medseg_workflows.report.thumbnails import THUMBNAIL

from medseg.io.batch_sources import ImageInput


class Page(HTMLParser):
    """The words of a page without its script and style, and the addresses that it names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.addresses, self._inside = "", [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.words += f" {data}"


def written(out: Path) -> str:
    collect(out)
    return write_report(out).read_text(encoding="utf-8")


def words(text: str) -> str:
    return " ".join(Page(text).words.split())


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def rows_of(text: str, name: str = "studies") -> list[dict[str, Any]]:
    table = data_of(text)[name]
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return batch(tmp_path / "out")


def test_totals_add_up(out: Path) -> None:
    said = words(written(out))
    assert "rows in 8 = done 4 + quarantined 2 + not selected 1 + pending 1" in said
    assert "7 studies of 4 patients; 14 lesions and 1 organ found" in said


def test_failures_come_first_with_reason_and_remedy(out: Path) -> None:
    fail(out, job_of(6), Failure("timeout", "took longer than 600 s", "give it more time", 2))
    said = words(written(out))
    first = said.index("Failures by reason")
    assert said.index("2 timeout took longer than 600 s give it more time") > first
    tilt = "1 gantry-tilt slices are stacked along a line that is not their normal; for example: "
    assert said.index(tilt) > said.index("2 timeout")  # the most frequent first
    assert said.index("1 localizer: a localizer, not a volume") > said.index("Not selected")
    assert first < said.index("Warnings: out of domain") < said.rindex("Distributions")


def test_a_study_that_no_rule_takes_has_the_fact_or_the_code_as_its_reason(out: Path) -> None:
    nearest = {
        9: ("localizer: a localizer, not a volume",),
        10: ("modality is CT, not MR", "slices 4 < 10"),
        11: ("description has none of a: b",),
    }
    jobs = [job_of(n, patient=(n + 1) // 2) for n in range(1, 7)]
    left = [row_of(job_of(n), decision="refused", reasons=why) for n, why in nearest.items()]
    plan(out, jobs, left)
    reasons = {row["study"]: row["reason"] for row in rows_of(written(out))}
    assert [reasons[study_code(n)] for n in nearest] == ["localizer", "modality", "description"]
    assert reasons[study_code(4)] == "timeout"
    assert reasons[study_code(1)] is None


def test_warnings_are_counted_with_their_words(out: Path) -> None:
    assert "1 sheared-grid the voxels' axes miss the right angle" in words(written(out))


def test_studies_and_lesions_of_the_page_are_those_of_the_tables(out: Path) -> None:
    text = written(out)
    rows = {(row["study"], row["model"]): row for row in rows_of(text)}
    assert len(rows) == 8
    second = rows[study_code(2), "spots"]
    assert (second["lesions"], second["lesions ml"], second["flags"]) == (12, 9.75, "sheared-grid")
    assert rows[study_code(4), "spots"]["what to do"] == "give it more time"
    assert rows[study_code(4), "spots"]["lesions"] is None
    lesions = rows_of(text, "lesions")
    assert [row["volume ml"] for row in lesions[:2]] == [1.5, 0.25]
    studies = rows_of(text)
    assert [studies[row["row"]]["study"] for row in lesions] == [
        *[study_code(1)] * 2,
        *[study_code(2)] * 12,
    ]


def test_what_data_says_is_never_markup(out: Path) -> None:
    trap = "</script><script>alert(1)</script><!--<script><img src=x onerror=alert(1)>"
    fail(out, job_of(6), Failure("failed", trap, trap, 1))
    rows = [{**spots(1.0)[0], "class_name": trap}]
    finish(out, job_of(30), objects(rows), warnings=[{"code": "odd", "detail": trap}])
    text = written(out)
    assert trap not in text
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img src=x" not in text
    assert trap in [row["what happened"] for row in rows_of(text)]
    assert trap in [row["class"] for row in rows_of(text, "lesions")]
    assert words(text).count(trap) == 3  # as words they are there: twice a failure, once a warning


def test_the_page_fetches_nothing_and_runs_its_own_script_alone(out: Path) -> None:
    text = written(out)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy[1].partition("style-src")[0]
    assert all(one.startswith("#") for one in Page(text).addresses)
    assert not re.search(r"https?://|url\(|@import", text)


def test_the_same_results_give_the_same_bytes(out: Path) -> None:
    first = written(out)
    assert written(out) == first


def test_no_path_and_no_uid_of_a_job_is_in_tables_or_page(tmp_path: Path) -> None:
    canary = "Wellensittich"
    image = ImageInput((f"/{canary}/1.2.3.dcm",), f"1.2.{canary}")
    model = ModelUse("spots", "1.2.0", "ab" * 32, f"/{canary}/model")
    done, failed, left = (replace(job_of(n, model), inputs={"image": image}) for n in (1, 2, 3))
    plan(tmp_path, [done, failed, left])
    finish(tmp_path, done, objects(spots(1.0)))
    fail(tmp_path, failed, Failure("timeout", "took longer than 600 s", "give it more time", 1))
    written(tmp_path)
    for name in (*TABLES, "report.html"):
        assert canary.encode() not in (tmp_path / name).read_bytes(), name
        assert str(tmp_path).encode() not in (tmp_path / name).read_bytes(), name


def test_models_versions_and_settings_are_told(out: Path) -> None:
    said = words(written(out))
    assert "spots 1.2.0 weights abababababab (3 studies)" in said
    assert "medseg 0.1.0, torch 2.8.0 (4 studies)" in said
    assert "threads 1, device cpu (4 studies)" in said


def test_a_batch_of_which_nothing_is_done_has_a_page(tmp_path: Path) -> None:
    plan(tmp_path, [job_of(1)])
    said = words(written(tmp_path))
    assert "rows in 1 = done 0 + quarantined 0 + not selected 0 + pending 1" in said
    assert "Nothing was quarantined." in said
    assert "Distributions" not in said


def test_pictures_are_in_the_page_of_all_studies_or_of_those_with_a_flag(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in (1, 2, 3):
        (out / "done" / job_of(n).key / THUMBNAIL).write_bytes(b"picture")
    rows = rows_of(written(out))
    pictured = {rows[int(place)]["study"] for place in data_of(written(out))["pictures"]}
    assert pictured == {study_code(1), study_code(2), study_code(3)}
    monkeypatch.setattr("medseg_workflows.report.content.MOST_PICTURES", 2)
    pictured = {rows[int(place)]["study"] for place in data_of(written(out))["pictures"]}
    assert pictured == {study_code(2)}


def test_of_too_many_objects_the_largest_stay_in_their_order(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg_workflows.report.content.MOST_OBJECTS", 3)
    monkeypatch.setattr("medseg_workflows.report.MOST_OBJECTS", 3)
    text = written(out)
    assert [row["volume ml"] for row in rows_of(text, "lesions")] == [1.5, 1.375, 1.5]
    assert "The 3 largest of 14; lesions.csv has all." in words(text)


def test_a_study_far_above_the_others_of_its_model_is_flagged(tmp_path: Path) -> None:
    for n in range(1, 30):
        finish(tmp_path, job_of(n), objects(spots(*[0.5] * (1 + n % 4))))
    finish(tmp_path, job_of(50), objects(spots(*[0.5] * 40)))
    finish(tmp_path, job_of(51), objects(spots(900.0)))
    flags = {row["study"]: row["flags"] for row in rows_of(written(tmp_path))}
    assert flags.pop(study_code(50)) == "count-outlier volume-outlier"
    assert flags.pop(study_code(51)) == "volume-outlier"
    assert set(flags.values()) == {""}


def test_counts_fill_one_bar_a_number(tmp_path: Path) -> None:
    drawn = of_counts("lesions", np.asarray([0, 0, 1, 3]))
    assert [bar.says for bar in drawn.bars] == ["0: 2", "1: 1", "2: 0", "3: 1"]
    assert [bar.height for bar in drawn.bars] == [HEIGHT, HEIGHT / 2, 0, HEIGHT / 2]
    assert drawn.caption == "n = 4; median 0.5, from 0 to 3"


def test_high_counts_share_bars_of_one_width() -> None:
    drawn = of_counts("lesions", np.asarray([0, 1, 2, 99]))
    assert len(drawn.bars) <= 24
    assert drawn.bars[0].says == "0–4: 3"
    assert drawn.bars[-1].says == "95–99: 1"


def test_volumes_lie_on_decades_and_none_is_lost() -> None:
    values = np.asarray([0.01, 0.011, 0.5, 1.0, 9.99, 10.0, 100.0])
    drawn = of_volumes("volume", values)
    assert [text for _, text in drawn.ticks] == ["0.01", "0.1", "1", "10", "100"]
    assert [x for x, _ in drawn.ticks] == pytest.approx(np.linspace(0, WIDTH, 5))
    assert sum(int(bar.says.rpartition(": ")[2]) for bar in drawn.bars) == len(values)
    assert drawn.bars[0].says == "0.01–0.0147 ml: 2"
    assert drawn.caption == "n = 7; median 1, from 0.01 to 100 ml"


def test_equal_volumes_have_a_decade_around_them() -> None:
    drawn = of_volumes("volume", np.asarray([1500.0]))
    assert [text for _, text in drawn.ticks] == ["1000", "10000"]
    assert [bar.says for bar in drawn.bars if bar.height] == ["1,470–2,150 ml: 1"]


def test_an_assumed_modality_is_told_at_the_top_and_not_only_in_a_table(tmp_path: Path) -> None:
    jobs = [job_of(1), job_of(2)]
    plan(tmp_path, jobs)
    told = {"code": "modality-assumed", "detail": "channel 'mr' does not say its modality: as MR"}
    finish(tmp_path, jobs[0], objects(spots(1.5)), warnings=[told])
    finish(tmp_path, jobs[1], objects(spots(1.5)))
    text = written(tmp_path)
    head = words(text).partition("Failures by reason")[0]
    assert "1 study does not state the modality of an image" in head
    assert told["detail"] in head and "--modality" in head
    (tmp_path / "done" / jobs[0].key).rename(tmp_path / "elsewhere")
    assert "not state the modality" not in written(tmp_path)
