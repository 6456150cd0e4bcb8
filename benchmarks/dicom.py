r"""Reading DICOM: medseg with every check beside SimpleITK without any, scanning beside pydicom.

    python benchmarks/dicom.py [--slices 400] [--packed 100] [--size 512] [--headers 20000]
        [--rounds 5] [--processor] [--folder /somewhere]

Series of `size` x `size` slices are written first, plain and compressed without loss, `packed`
slices where compressed: 12 bits and 1024 above HU, as scanners store them; "raw HU" holds 16 bits
that are HU as they stand, which SimpleITK does not rescale. medseg goes from the folder to the
volume: scan, check, read. SimpleITK does so as well: GetGDCMSeriesFileNames, then
ImageSeriesReader; its geometry is not checked. The headers are those of a CT scanner with hardly
any pixels; the loop over them calls pydicom's dcmread up to the pixels and gets each tag that
medseg's own scan of a file asks for. The second scan of an unchanged tree takes what the index of
the first one holds. All files are in the file cache, all have been read once before, and all run in
turn; SimpleITK has one thread for each core, as medseg has. On a busy machine `--processor` counts
the processor's seconds, of all threads.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import SimpleITK as sitk  # noqa: N813 - its usual name
from dicom_series import SYNTAXES, body, write_headers, write_series
from pydicom import dcmread
from timing import (
    BY_THE_CLOCK,
    OF_THE_PROCESSOR,
    Clock,
    Samples,
    interleaved,
    machine,
    print_ratios,
    ratios,
    untimed,
    verdict,
)

from medseg.io.dicom import read_dicom, scan
from medseg.io.dicom.frames import frames_of, image_file
from medseg.io.dicom.header import read_header
from medseg.io.dicom.index import SETTLED_S
from medseg.phantom import write_dicom_series

PLAIN = ("raw", "raw HU")
MOST_OF_SIMPLEITK = {"raw": 0.7, "raw HU": 0.7, "RLE": 1.0, "JPEG-LS": 1.0, "JPEG 2000": 1.0}
MOST_OF_PYDICOM = 1.2
SECOND_SCAN = 0.1
READ = tuple(MOST_OF_SIMPLEITK)


class _Asked(dict[int, Any]):
    """Elements by tag that note which tags are asked for."""

    def __init__(self, elements: dict[int, Any]) -> None:
        super().__init__(elements)
        self.tags: set[int] = set()

    def get(self, key: int, default: Any = None) -> Any:  # type: ignore[override]
        self.tags.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        if isinstance(key, int):
            self.tags.add(key)
        return super().__contains__(key)


def needed_tags(file: Path) -> list[int]:
    """The tags that medseg asks the header of a classic image for."""
    size = file.stat().st_size
    header = read_header(file, size)
    if isinstance(header, str):
        msg = f"{file.name} is {header}"
        raise ValueError(msg)
    asked = _Asked(header.tags.raw)
    header.tags.raw = asked
    frames_of(header, image_file(header, file, 1, size))
    return sorted({*asked.tags, 0x0020000E, 0x00200011})


def simpleitk(folder: Path) -> sitk.Image:
    """The series in a folder as SimpleITK reads it."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def pydicom_loop(folder: Path, tags: Iterable[int]) -> int:
    """Each file of a tree up to its pixels, and the value of each tag; the number of files."""
    count = 0
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        ds = dcmread(file, stop_before_pixels=True)
        for tag in tags:
            ds.get(tag)
        count += 1
    return count


def reading_runs(place: Path, slices: int, packed: int, size: int) -> dict[str, Callable[[], None]]:
    """Write the series, and how each is read by whom."""
    runs: dict[str, Callable[[], None]] = {}
    whole = body(slices, size)
    for name in READ:
        part = whole if name in PLAIN else body(packed, size)
        folder = place / name.replace(" ", "-")
        if name == "raw HU":
            write_dicom_series(part, folder)
        else:
            write_series(part, folder, SYNTAXES[name])
        runs[f"medseg, {name}"] = untimed(lambda folder=folder: read_dicom(folder))  # type: ignore[misc]
        runs[f"SimpleITK, {name}"] = untimed(lambda folder=folder: simpleitk(folder))  # type: ignore[misc]
    return runs


def scanning_runs(place: Path, headers: int) -> dict[str, Callable[[], None]]:
    """Write the headers and an index of them, and how they are gone through by whom."""
    tree, index = place / "headers", place / "index"
    write_headers(tree, headers)
    time.sleep(SETTLED_S + 0.5)  # what changed only now is not kept in an index
    found = scan(tree, index=index)
    files = sum(one.files for one in found)
    if files != headers or scan(tree, index=index) != found:
        msg = f"{files} of {headers} files found, or other ones the second time"
        raise RuntimeError(msg)
    tags = needed_tags(found[0].frames[0].file.path)
    return {
        "pydicom": untimed(lambda: pydicom_loop(tree, tags)),
        "medseg, first": untimed(lambda: scan(tree)),
        "medseg, second": untimed(lambda: scan(tree, index=index)),
    }


def timed(runs: dict[str, Callable[[], None]], rounds: int, clock: Clock) -> dict[str, Samples]:
    """Seconds of all in turn, after each has run once."""
    interleaved(runs, 1)
    return interleaved(runs, rounds, clock)


def print_verdicts(seconds: dict[str, Samples]) -> None:
    """The bars, each beside what was measured (medians of the ratios in a round)."""

    def median(of: str, over: str) -> float:
        return statistics.median(ratios(seconds[of], seconds[over]))

    print()
    for name in READ:
        part, bar = median(f"medseg, {name}", f"SimpleITK, {name}"), MOST_OF_SIMPLEITK[name]
        print(f"{name}, medseg over SimpleITK: {part:.2f}", verdict(part, bar, at_least=False))
    part = median("medseg, first", "pydicom")
    print(f"scan over pydicom loop: {part:.2f}", verdict(part, MOST_OF_PYDICOM, at_least=False))
    part = median("medseg, second", "medseg, first")
    print(f"second scan over first: {part:.3f}", verdict(part, SECOND_SCAN, at_least=False))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("slices", 400), ("packed", 100), ("size", 512), ("headers", 20000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary one by default")
    parser.add_argument(
        "--processor",
        dest="clock",
        action="store_const",
        const=OF_THE_PROCESSOR,
        default=BY_THE_CLOCK,
        help="count the processor's seconds",
    )
    return parser.parse_args()


def main() -> None:
    """Print the tables."""
    arguments = _arguments()
    print(machine("medseg", "pydicom", "imagecodecs", "SimpleITK", "numpy"))
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        place = Path(name)
        runs = reading_runs(place, arguments.slices, arguments.packed, arguments.size)
        seconds = timed(runs, arguments.rounds, arguments.clock)
        seconds |= timed(scanning_runs(place, arguments.headers), arguments.rounds, arguments.clock)
    read = [
        (f"{who}, {kind}", f"{who}, {kind}", f"medseg, {kind}")
        for kind in READ
        for who in ("medseg", "SimpleITK")
    ]
    scanned = [(run, run, "medseg, first") for run in ("medseg, first", "pydicom")]
    rows = [*read, *scanned, ("medseg, second", "medseg, second", "medseg, first")]
    print_ratios(seconds, rows, arguments.clock)
    print_verdicts(seconds)


if __name__ == "__main__":
    main()
