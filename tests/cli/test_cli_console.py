"""What tables on the terminal never do."""

from __future__ import annotations

import pytest

from medseg.cli import console
from medseg.cli.console import show_table


def test_figures_are_not_broken_over_two_lines_and_words_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_WIDTH_WITHOUT_TERMINAL", 44)
    rows = [["a class of a very long name indeed", 1032.372, "43.3 × 39.7", 12]]
    show_table("title", ["class", "ml", "RECIST mm", "id"], rows)
    out = capsys.readouterr().out
    for figure in ("1032.372", "43.3 × 39.7", "12"):
        assert figure in out
    assert "a class of a very long name indeed" not in out
    assert max(len(line) for line in out.splitlines()) <= 44
