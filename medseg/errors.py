"""What can go wrong, said in one line: what, where, which code, the way out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Self

REFUSAL_CODES: Mapping[str, str] = MappingProxyType(
    {
        # Files and folders.
        "path-missing": "there is nothing at this path",
        "path-unreadable": "no permission, or a broken link",
        "archive": "a zip, tar or 7z file",
        "format-unknown": "no reader knows this file",
        "file-corrupt": "the file is damaged or cut short",
        # Images.
        "not-3d": "the image has another number of dimensions than three",
        "not-real": "voxels hold complex numbers or vectors, not one real number each",
        "not-finite": "the image holds NaN or infinite values",
        "constant-image": "every voxel has the same value",
        "affine-missing": "the file does not say where its voxels lie",
        "affine-singular": "the affine does not span three dimensions",
        "too-large": "more bytes than the limit allows",
        # Label maps and instances.
        "labels-not-integer": "a label map holds values that are not whole numbers from 0 up",
        "not-a-label-map": "values lie scattered as in an image, not together as in objects",
        "names-invalid": "a file of names has faults, or a value of the label map has no name",
        "acquisition-mismatch": "the file says another slice thickness or plane",
        "grid-mismatch": "two volumes that belong together lie on different grids",
        "pairs-missing": "the files of two sides cannot be paired by their names",
        "table-invalid": "a table lacks a column or a row, or a value in it makes no sense",
        # Several of what there should be one of.
        "several-patients": "the files belong to several patients",
        "several-series": "more than one series, and none was chosen",
        "several-volumes": "one series holds several volumes, and none was chosen",
        "series-unknown": "no series of that name",
        "volume-unknown": "no volume of that number",
        # DICOM.
        "no-image-series": "no DICOM image at all",
        "duplicate-uid": "one SOPInstanceUID on different contents",
        "sop-class-unsupported": "a kind of DICOM object that is no CT, MR or PET volume",
        "localizer": "a localizer, not a volume",
        "mosaic": "a Siemens mosaic",
        "color-image": "a colour image",
        "photometric-unsupported": "an inverted grey scale (MONOCHROME1)",
        "not-biped": "an image of an animal",
        "geometry-missing": "position, orientation or spacing is absent",
        "geometry-invalid": "position, orientation or spacing makes no sense",
        "mixed-matrix": "rows, columns or pixel spacing differ inside the series",
        "mixed-orientation": "orientations differ inside the series",
        "mixed-frame-of-reference": "several frames of reference inside the series",
        "too-few-slices": "fewer than three slice positions",
        "duplicate-slices": "an unequal number of images at the slice positions",
        "gantry-tilt": "slices are stacked along a line that is not their normal",
        "missing-slices": "slices are missing inside the series",
        "uneven-spacing": "the distance between slices changes",
        "rescale-missing": "CT or PET values without slope and intercept",
        "rescale-invalid": "slope and intercept make no sense, or a Modality LUT is there",
        "pixel-format-unsupported": "bits or sign contradict the pixel data",
        "transfer-syntax-unsupported": "no decoder for this compression",
        "pixel-data-corrupt": "pixel data is short, not decodable or of the wrong frame count",
        "suv-not-computable": "the tags do not allow SUV to be computed",
        "frame-of-reference-missing": "DICOM output needs a frame of reference",
        # Models and their input.
        "model-unknown": "no model of that name, and no folder",
        "model-invalid": "the model package is incomplete, altered or not valid",
        "modality-mismatch": "the model is for another modality",
        "unit-mismatch": "the values are in another unit than the model needs",
        "channel-missing": "a channel that the model requires was not given",
        "channel-unknown": "the model has no channel of that name",
        # Training.
        "dataset-invalid": "the data set has faults",
        "recipe-invalid": "the recipe has faults",
    }
)
"""The closed vocabulary of `InputRefused.code`, with what each code means."""


class MedsegError(Exception):
    """An error whose one line names the thing, what was found, a code, and the way out.

    `subject` is what the error is about (a file, a series, a key), never a patient's name.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, subject: str, detail: str, remedy: str) -> None:
        super().__init__(code, subject, detail, remedy)
        self.code = code
        self.subject = subject
        self.detail = detail
        self.remedy = remedy

    def __str__(self) -> str:
        line = f"{self.subject}: {self.detail} [{self.code}]; {self.remedy}"
        return " ".join(line.split())

    def as_dict(self) -> dict[str, str]:
        """The four parts, for JSON."""
        return {
            "code": self.code,
            "subject": self.subject,
            "detail": self.detail,
            "remedy": self.remedy,
        }


class InputRefused(MedsegError):  # noqa: N818 - a refusal is an outcome, not a fault of the program
    """The input is not certain enough to be read; `code` is one of `REFUSAL_CODES`."""

    exit_code: ClassVar[int] = 3

    def __init__(self, code: str, subject: str, detail: str, remedy: str) -> None:
        if code not in REFUSAL_CODES:
            msg = f"{code!r} is not one of the refusal codes"
            raise ValueError(msg)
        super().__init__(code, subject, detail, remedy)


class ModelError(InputRefused):
    """A model package cannot be found, read or trusted."""


class OutputError(MedsegError):
    """A result cannot be written: no permission, no room, something in the way."""


class MissingExtraError(MedsegError):
    """A part of medseg needs packages that the base install leaves out."""

    def __init__(self, extra: str, feature: str) -> None:
        super().__init__(
            "extra-missing",
            feature,
            f"needs the extra {extra!r}",
            f"pip install 'medseg[{extra}]' (in a checkout: pip install -e '.[{extra}]')",
        )
        self.extra, self.feature = extra, feature

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.extra, self.feature)  # errors cross process borders
