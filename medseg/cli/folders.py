"""Where the command line keeps what it may lose: the user's cache folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def index_folder() -> Path | None:
    """The folder for indexes of scanned trees, None where the user has no home; made by who writes.

    XDG_CACHE_HOME or ~/.cache, ~/Library/Caches on macOS, LOCALAPPDATA on Windows.
    """
    names = {"win32": "LOCALAPPDATA"}
    given = os.environ.get(names.get(sys.platform, "XDG_CACHE_HOME"), "")
    if given and Path(given).is_absolute():
        return Path(given) / "medseg" / "index"
    try:
        home = Path.home()
    except RuntimeError:
        return None
    place = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return place / "medseg" / "index"
