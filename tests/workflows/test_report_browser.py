"""The page of a batch in headless Chromium: sort, filter, click through to a lesion's picture."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from batch_cases import batch, finish, job_of, objects, spots, study_code
from medseg_workflows.collect import collect
from medseg_workflows.report import write_report
from medseg_workflows.report.thumbnails import write_thumbnail

from medseg.inference.results import FILES
from medseg.io.preview import write_preview
from medseg.measurement import measure
from medseg.phantom import touching_lesions

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
PICTURED, MANY = (11, 12, 13), 150
ROWS = 8 + len(PICTURED) + MANY


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with three pictures of phantoms, and more studies than are drawn at once."""
    out = batch(tmp_path_factory.mktemp("browser") / "out")
    for n in PICTURED:
        made = touching_lesions(n)
        folder = finish(out, job_of(n), measure(made.truth, made.volume))
        write_preview(made.volume, made.truth, folder / FILES[3])
        write_thumbnail(folder)
    for n in range(20, 20 + MANY):
        finish(out, job_of(n), objects(spots(0.01 * n)))
    collect(out)
    return write_report(out)


@pytest.fixture(scope="module")
def driver(page: Path, skip_unless: Callable[[bool, str], None]) -> Iterator[Any]:
    """A browser that has opened the page."""
    skip_unless(find_spec("selenium") is not None, "selenium is not installed (extra test)")
    skip_unless(bool(CHROMIUM and DRIVER), "chromium and chromium-driver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    flags = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,943")
    for flag in flags:  # the height of 943 leaves 800 for the page
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(DRIVER)) as made:
        made.get(page.as_uri())
        yield made


@pytest.fixture
def fresh(driver: Any) -> Any:
    """The browser with the page opened anew."""
    driver.refresh()
    return driver


def one(driver: Any, selector: str) -> Any:
    return driver.find_element("css selector", selector)


def cells(driver: Any, section: str, column: str) -> list[str]:
    """What a column of the drawn rows shows."""
    script = """
        const heads = [...document.querySelectorAll(`#${arguments[0]} th`)];
        const n = heads.findIndex((head) => head.textContent === arguments[1]);
        const rows = [...document.querySelectorAll(`#${arguments[0]} tbody tr`)];
        return rows.map((row) => row.children[n].textContent);"""
    return driver.execute_script(script, section, column)


def count(driver: Any, section: str) -> str:
    return one(driver, f"#{section} [role=status]").text


def sort(driver: Any, section: str, column: str) -> None:
    one(driver, f"#{section}").find_element("xpath", f".//th/button[text()='{column}']").click()


def test_a_page_of_rows_is_drawn_and_the_rest_on_the_next(fresh: Any) -> None:
    assert len(cells(fresh, "studies", "study")) == 100
    assert count(fresh, "studies") == f"1–100 of {ROWS}"
    back, forth = one(fresh, "#studies .tools").find_elements("css selector", "button")
    assert not back.is_enabled()
    forth.click()
    assert len(cells(fresh, "studies", "study")) == ROWS - 100
    assert not forth.is_enabled()


def test_a_click_on_a_head_sorts_and_another_turns_the_order(fresh: Any) -> None:
    sort(fresh, "lesions", "volume ml")
    volumes = [float(text) for text in cells(fresh, "lesions", "volume ml")]
    assert volumes == sorted(volumes)
    sort(fresh, "lesions", "volume ml")
    volumes = [float(text) for text in cells(fresh, "lesions", "volume ml")]
    assert volumes == sorted(volumes, reverse=True)
    assert volumes[0] == max(volumes) > 1.5
    sort(fresh, "studies", "lesions")
    sort(fresh, "studies", "lesions")
    counts = [int(text) for text in cells(fresh, "studies", "lesions")]  # missing ones come last
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 12


def test_words_and_choices_filter_rows(fresh: Any) -> None:
    box = one(fresh, "#studies input")
    box.send_keys("GANTRY tilt")
    assert cells(fresh, "studies", "study") == [study_code(5)]
    assert count(fresh, "studies") == f"1–1 of 1, from {ROWS}"
    box.send_keys(" no such word")
    assert cells(fresh, "studies", "study") == []
    box.clear()
    one(fresh, "#studies select[data-column=state]").send_keys("pending")
    assert cells(fresh, "studies", "study") == [study_code(6)]
    one(fresh, "#lesions select[data-column=class]").send_keys("shell")
    assert set(cells(fresh, "lesions", "class")) == {"shell"}


def test_totals_and_reasons_lead_to_their_studies(fresh: Any) -> None:
    one(fresh, "button.key[data-state=quarantined]").click()
    assert cells(fresh, "studies", "study") == [study_code(4), study_code(5)]
    one(fresh, "#failures button[data-reason=timeout]").click()
    assert cells(fresh, "studies", "study") == [study_code(4)]
    one(fresh, "#warnings button[data-find=sheared-grid]").click()
    assert cells(fresh, "studies", "study") == [study_code(2)]


def test_a_lesion_leads_to_the_picture_of_its_study(fresh: Any, page: Path) -> None:
    one(fresh, "#lesions select[data-column=class]").send_keys("shell")
    study = cells(fresh, "lesions", "study")[0]
    one(fresh, "#lesions tbody button").click()
    dialog = one(fresh, "#detail")
    assert dialog.is_displayed()
    assert f"of study {study}" in dialog.find_element("css selector", "h2").text
    assert "shell" in dialog.text
    picture = dialog.find_element("css selector", "img")
    assert picture.is_displayed()
    assert fresh.execute_script("return arguments[0].naturalWidth", picture) > 300
    link = dialog.find_element("css selector", "a").get_attribute("href")
    assert link.startswith(page.parent.as_uri())
    assert Path(link.removeprefix("file://")).is_file()
    one(fresh, "#close").click()
    assert not dialog.is_displayed()


def test_a_failure_says_what_happened_and_what_to_do(fresh: Any) -> None:
    one(fresh, "#failures button[data-reason=timeout]").click()
    one(fresh, "#studies tbody button").click()
    said = one(fresh, "#detail").text
    assert "took longer than 600 s" in said
    assert "give it more time" in said
    assert not one(fresh, "#detail img").is_displayed()
    assert not one(fresh, "#detail a").is_displayed()


def test_pictures_are_drawn_and_lead_to_their_study(fresh: Any) -> None:
    cards = fresh.find_elements("css selector", "#gallery .card")
    assert len(cards) == len(PICTURED)
    assert all(card.find_element("css selector", "img").is_displayed() for card in cards)
    cards[0].click()
    assert one(fresh, "#detail img").is_displayed()


def test_nothing_leaves_the_machine_and_nothing_is_amiss(fresh: Any, page: Path) -> None:
    fetch = """
        const end = arguments[0];
        fetch('https://example.org').then(() => end('sent'), () => end('refused'));"""
    assert fresh.execute_async_script(fetch) == "refused"
    complaints = [entry["message"] for entry in fresh.get_log("browser")]
    assert all("example.org" in text for text in complaints)
    sent = set()
    for entry in fresh.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            sent.add(message["params"]["request"]["url"].partition(",")[0])
    assert sent == {page.as_uri(), "data:image/jpeg;base64"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_window_of_1280_by_800(fresh: Any, tmp_path: Path, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    fresh.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    fresh.execute_script("scrollTo(0, 0)")
    size = "return [innerWidth, innerHeight, document.documentElement.scrollWidth]"
    width, height, needed = fresh.execute_script(size)
    assert (width, height) == (1280, 800)
    assert needed <= width
    low = one(fresh, ".keys").rect
    assert low["y"] + low["height"] < height
    back = fresh.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")
    assert fresh.save_screenshot(str(tmp_path / f"report-{scheme}.png"))
    fresh.execute_script("document.getElementById('plots').scrollIntoView()")
    fresh.save_screenshot(str(tmp_path / f"gallery-{scheme}.png"))
    one(fresh, "#gallery .card").click()
    fresh.save_screenshot(str(tmp_path / f"study-{scheme}.png"))


@pytest.mark.slow
def test_the_benchmark_opens_a_page_of_its_own(driver: Any, repository: Path) -> None:
    script = repository / "benchmarks" / "batch_report.py"
    ran = subprocess.run(
        [sys.executable, str(script), "--studies", "40", "--rounds", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    first, *lines = ran.stdout.splitlines()
    assert first.startswith("40 studies: collect")
    names = [line[:16].strip() for line in lines]
    assert names == ["opens", "sorts studies", "filters studies", "filters lesions"]
