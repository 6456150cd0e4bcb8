"""Series put together from files, one found file at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from medseg.io.dicom.records import Found, Frame, Scan, Series, SeriesKind

_KINDS: list[SeriesKind] = ["image", "damaged", "other"]


@dataclass(slots=True)
class _Group:
    """The files of one series while a scan runs."""

    files: int = 0
    damaged: int = 0
    series_number: float = float("inf")
    frames: list[Frame] = field(default_factory=list)
    sop_classes: set[str] = field(default_factory=set)

    def add(self, found: Found) -> None:
        self.files += 1
        self.damaged += found.kind == "damaged"
        self.series_number = min(self.series_number, found.series_number)
        self.frames.extend(found.frames)
        if found.sop_class:
            self.sop_classes.add(found.sop_class)


class Gathered:
    """What was found in the files so far; `skipped` counts those set aside, by reason."""

    def __init__(self) -> None:
        self.skipped: Counter[str] = Counter()
        self._groups: dict[tuple[str, SeriesKind], _Group] = defaultdict(_Group)

    def add(self, found: Found | str) -> None:
        """One file: what it is, or the reason to set it aside."""
        if isinstance(found, str):
            self.skipped[found] += 1
        else:
            self._groups[found.uid, found.kind].add(found)

    def scan(self) -> Scan:
        """All series, once every file is added."""
        self._merge_damaged()
        return Scan(self._numbered(), dict(self.skipped))

    def _merge_damaged(self) -> None:
        """A damaged file that still names its series counts against that series."""
        groups = self._groups
        for uid, kind in list(groups):
            if kind == "damaged" and (uid, "image") in groups:
                lost = groups.pop((uid, "damaged"))
                groups[uid, "image"].files += lost.files
                groups[uid, "image"].damaged += lost.damaged

    def _numbered(self) -> tuple[Series, ...]:
        """Images first, then by SeriesNumber and UID: an order that no file name decides."""
        groups = self._groups
        keys = sorted(
            groups, key=lambda key: (_KINDS.index(key[1]), groups[key].series_number, key[0])
        )
        return tuple(
            Series(
                uid=uid,
                kind=kind,
                number=number,
                files=groups[uid, kind].files,
                damaged=groups[uid, kind].damaged,
                frames=tuple(groups[uid, kind].frames),
                sop_classes=tuple(sorted(groups[uid, kind].sop_classes)),
            )
            for number, (uid, kind) in enumerate(keys, start=1)
        )
