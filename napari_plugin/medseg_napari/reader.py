"""What napari opens with medseg: DICOM, NIfTI, NRRD, MetaImage and segmentations.

No Qt and no napari is imported before something is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg.errors import MedsegError
from medseg.io.formats import IMAGE_SUFFIXES, has_suffix

if TYPE_CHECKING:
    from napari import Viewer

Reader = Callable[[str | Sequence[str]], list[Any]]

SUFFIXES = (*IMAGE_SUFFIXES, ".dcm", ".dicom", ".ima")
_MOST_LOOKED_AT = 200
_NOTHING: tuple[None] = (None,)
"""In a list by itself, it says that a path was dealt with and gave no layer."""


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """The reader for a path or paths, None where one of them is nothing for medseg.

    Of a file the name decides; of a folder, whether one of its first files is an image or DICOM.
    """
    paths = _paths(path)
    return read_paths if paths and all(_is_ours(one) for one in paths) else None


def read_paths(path: str | Sequence[str]) -> list[Any]:
    """The layers of a path or paths, as tuples for napari.

    With a window, people are asked where no file gives the answer, and a refusal is shown with its
    code. Without one, it is raised.
    """
    from medseg_napari.view.adapter import open_viewer
    from medseg_napari.view.opening import open_images, read_layers

    viewer = open_viewer()
    if viewer is not None:
        return _read_for(viewer, _paths(path))
    return [one for place in _paths(path) for one in read_layers(place, images=open_images(viewer))]


def _read_for(viewer: Viewer, paths: Sequence[Path]) -> list[Any]:
    """The layers of paths for a window; [(None,)] where there is none."""
    from napari.utils.notifications import show_error, show_warning

    from medseg_napari.view.chooser import asking
    from medseg_napari.view.opening import open_images, read_layers, warnings_of
    from medseg_napari.view.study_view import attach

    found: list[Any] = []
    images = open_images(viewer)
    for place in paths:
        try:
            found += read_layers(place, images=images, asking=asking(viewer))
        except MedsegError as error:
            show_error(str(error))
    for line in warnings_of(found):
        show_warning(line)
    if not found:
        return [_NOTHING]
    attach(viewer)
    return found


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str | os.PathLike) else [Path(one) for one in path]


def _is_ours(path: Path) -> bool:
    if not path.is_dir():
        return has_suffix(path, *SUFFIXES)
    return any(has_suffix(one, *SUFFIXES) or _is_marked(one) for one in _first_files(path))


def _first_files(folder: Path) -> Iterator[Path]:
    """Some files of a folder and of folders in it, so that a look at it takes no time."""
    found = (Path(place, name) for place, _, names in os.walk(folder) for name in sorted(names))
    return islice(found, _MOST_LOOKED_AT)


def _is_marked(path: Path) -> bool:
    """Whether a file has the mark of DICOM."""
    from medseg.io.dicom.access import looks_like_dicom

    try:
        return looks_like_dicom(path)
    except OSError:
        return False
