"""The report of a large batch in a browser: seconds until it can be used, sorted and filtered.

    python benchmarks/batch_report.py [--studies 10000] [--lesions 5] [--rounds 3]

Makes a batch of that many studies by hand, of which one in a hundred failed and one in five has a
warning and a picture of 8 kB, collects it, writes the report, and opens it in headless Chromium,
which with its driver must be installed (Debian: chromium, chromium-driver; Python: selenium). The
clock stops when the browser has drawn what was asked for.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pandas as pd
from medseg_workflows.collect import collect
from medseg_workflows.records import Failure, ModelUse, Record, Settings
from medseg_workflows.report import write_report
from medseg_workflows.report.thumbnails import THUMBNAIL
from selenium import webdriver

from medseg.io.tables import write_table
from medseg.measurement import COLUMNS

BARS_S = {"opens": 3.0, "filters studies": 0.3, "filters lesions": 0.3}
MODEL = ModelUse("lesions", "1.0.0", "0" * 64, "")
DRAWN = "const end = arguments[0]; requestAnimationFrame(() => setTimeout(end));"


def objects(count: int, rng: np.random.Generator) -> pd.DataFrame:
    """A table as `measure` gives it, of lesions with log-normal volumes."""
    values: dict[str, Any] = {
        "instance_id": np.arange(1, count + 1),
        "class_name": ["lesion"] * count,
        "kind": ["lesion"] * count,
        "volume_ml": rng.lognormal(0, 1.5, count),
        "recist_long_mm": rng.lognormal(2.5, 0.5, count),
    }
    missing = {"str": "", "int64": 1, "float64": 1.0, "bool": False}
    return pd.DataFrame(
        {
            one.name: pd.array(
                values.get(one.name, [missing.get(one.dtype, pd.NA)] * count), dtype=one.dtype
            )
            for one in COLUMNS
        }
    )


def make_batch(out: Path, studies: int, lesions: int) -> None:
    """`done/` and `quarantine/` of a batch; tables of 50 kinds take turns."""
    rng = np.random.default_rng(0)
    tables = [objects(int(count), rng) for count in rng.poisson(lesions, 50)]
    pixels = rng.integers(0, 256, (104, 316, 3), dtype=np.uint8)
    picture = bytes(imagecodecs.jpeg_encode(pixels, level=10))[:8_000]
    for place, table in enumerate(tables):
        write_table(table, out / f"{place}.csv")
    (out / "quarantine").mkdir()
    for n in range(studies):
        study, patient = f"{n * 2654435761 % 16**12:012x}", f"{n // 2:020x}"
        names = {"key": f"{study}-{n:012x}", "study": study, "patient": patient}
        if n % 100 == 7:
            code = ("timeout", "memory", "gantry-tilt")[n % 3]
            failure = asdict(Failure(code, "took longer than 600 s", "give it more time"))
            text = json.dumps({**names, "model": MODEL.name, **failure})
            (out / "quarantine" / f"{names['key']}.json").write_text(text)
            continue
        folder = out / "done" / names["key"]
        folder.mkdir(parents=True)
        warnings = [{"code": "sheared-grid", "detail": "3 degrees"}] if n % 5 == 0 else []
        record = record_of(names, tables[n % len(tables)], warnings)
        (folder / "record.json").write_text(json.dumps(record.as_dict()))
        shutil.copyfile(out / f"{n % len(tables)}.csv", folder / "instances.csv")
        if warnings:
            (folder / THUMBNAIL).write_bytes(picture)


def record_of(names: dict[str, str], table: pd.DataFrame, warnings: list[dict[str, str]]) -> Record:
    """A record of the objects in a table."""
    volume_ml = float(table["volume_ml"].sum())
    return Record(
        **names,
        model=MODEL,
        settings=Settings(),
        inputs={"ct": {"shape_zyx": [80, 512, 512], "spacing_mm_zyx": [5, 1, 1], "modality": "CT"}},
        classes={"lesion": {"kind": "lesion", "count": len(table), "volume_ml": volume_ml}},
        warnings=warnings,
        files=[],
        versions={},
        seconds={},
        peak_memory_mb=0.0,
    )


def browser() -> webdriver.Chrome:
    """Headless Chromium of the system."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    return webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))


def timed(driver: webdriver.Chrome, act: Callable[[], object]) -> float:
    """Seconds of an action, until the browser has drawn what came of it."""
    begun = time.perf_counter()
    act()
    driver.execute_async_script(DRAWN)
    return time.perf_counter() - begun


def scripts(text: str) -> dict[str, str]:
    """What a reader does, by name; the text is looked for."""
    typed = (
        "const box = document.querySelector('#{} input');"
        f"box.value = '{text}'; box.dispatchEvent(new Event('input'));"
    )
    return {
        "sorts studies": "document.querySelectorAll('#studies th button')[7].click()",
        "filters studies": typed.format("studies"),
        "filters lesions": typed.format("lesions"),
    }


def measure(page: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of opening, sorting and filtering; the filter's text changes every round."""
    found: dict[str, list[float]] = {}
    with browser() as driver:
        for n in range(rounds):
            found.setdefault("opens", []).append(timed(driver, partial(driver.get, page.as_uri())))
            for name, script in scripts(f"{n:02x}").items():
                act = partial(driver.execute_script, script)
                found.setdefault(name, []).append(timed(driver, act))
    return found


def main() -> None:
    """Print one line for each thing that was timed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--lesions", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        make_batch(out, asked.studies, asked.lesions)
        begun = time.perf_counter()
        collect(out)
        between = time.perf_counter()
        page = write_report(out)
        ended = time.perf_counter()
        print(f"{asked.studies} studies: collect {between - begun:.1f} s, ", end="")
        print(f"report {ended - between:.1f} s, {page.stat().st_size / 1e6:.1f} MB")
        for name, seconds in measure(page, asked.rounds).items():
            bar = BARS_S.get(name)
            middle = statistics.median(seconds)
            said = "" if bar is None else f"  {'met' if middle < bar else 'missed'}: under {bar} s"
            print(f"{name:16}{middle:7.3f} s ({min(seconds):.3f}–{max(seconds):.3f}){said}")


if __name__ == "__main__":
    main()
