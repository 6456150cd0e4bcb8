"""The one table of refusals: each code with its meaning, an example and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Refusal(NamedTuple):
    """What a code means, a case that gets it, and the way out; `group` is where the docs list it.

    The way out is what a message shows where the case does not allow a better one.
    """

    group: str
    meaning: str
    example: str
    remedy: str


_GROUPS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    "Files and folders": {
        "path-missing": (
            "there is nothing at this path",
            "a folder's name is mistyped",
            "check the path",
        ),
        "path-unreadable": (
            "no permission, or a broken link",
            "a folder of another user on a shared drive",
            "check the path and its permissions",
        ),
        "archive": (
            "a zip, tar or 7z file",
            "a study as the archive sent it, study.zip",
            "unpack it first and pass the folder",
        ),
        "format-unknown": (
            "no reader knows this file",
            "a text file that is called scan.nii.gz",
            "convert it to NIfTI, NRRD, MetaImage or DICOM",
        ),
        "file-corrupt": (
            "the file is damaged or cut short",
            "a copy to a memory stick stopped in the middle of a header",
            "export the series again, or move the damaged file out of the folder",
        ),
    },
    "Choosing one of several": {
        "several-patients": (
            "the files belong to several patients",
            "two PatientIDs in one folder, or in one series",
            "pass the images of one patient",
        ),
        "several-series": (
            "more than one series, and none was chosen",
            "a folder with T1 and FLAIR",
            "choose one with --series (its number or its code in the list)",
        ),
        "series-unknown": (
            "no series of that name",
            "--series 7 where there are six",
            "choose one of the listed numbers or codes",
        ),
        "several-volumes": (
            "one series holds several volumes, and none was chosen",
            "echo times 20 and 90 ms, b-values, or time points in one series",
            "choose one with --volume K",
        ),
        "volume-unknown": (
            "no volume of that number",
            "--volume 3 where there are two",
            "choose one of the listed volumes",
        ),
    },
    "DICOM objects": {
        "no-image-series": (
            "no DICOM image at all",
            "a folder that holds a report and a structure set alone",
            "pass a folder with CT, MR or PET images",
        ),
        "duplicate-uid": (
            "one SOPInstanceUID on different contents",
            "an export that gave every slice the same UID",
            "export the series again",
        ),
        "sop-class-unsupported": (
            "a kind of DICOM object that is no CT, MR or PET volume",
            "a secondary capture, an ultrasound, a maximum intensity projection",
            "pass the original CT, MR or PET series",
        ),
        "localizer": (
            "a localizer, not a volume",
            "a series of scout images alone",
            "pass the volume series, not its scout",
        ),
        "mosaic": (
            "a Siemens mosaic",
            "functional MR with all slices tiled into one image",
            "convert it with dcm2niix and pass the NIfTI file",
        ),
        "color-image": (
            "a colour image",
            "a fused PET/CT picture in RGB",
            "pass the original series in shades of grey",
        ),
        "photometric-unsupported": (
            "an inverted grey scale (MONOCHROME1)",
            "readers disagree on whether its values are to be inverted",
            "pass the original series (MONOCHROME2)",
        ),
        "not-biped": (
            "an image of an animal",
            "AnatomicalOrientationType is QUADRUPED",
            "images of animals are not supported",
        ),
        "too-large": (
            "more bytes than the limit allows",
            "a header that says 65535 x 65535 on a file of 2 kB",
            "pass a smaller series, or crop it",
        ),
    },
    "DICOM geometry": {
        "geometry-missing": (
            "position, orientation or spacing is absent",
            "a file with ImagerPixelSpacing and no PixelSpacing",
            "pass the original series with its positions",
        ),
        "geometry-invalid": (
            "position, orientation or spacing makes no sense",
            "PixelSpacing 0,8\\0,7 with decimal commas",
            "export the series again",
        ),
        "mixed-matrix": (
            "rows, columns or pixel spacing differ inside the series",
            "two reconstructions under one series UID",
            "pass only the images of one part",
        ),
        "mixed-orientation": (
            "orientations differ inside the series",
            "axial slices and an unmarked coronal scout",
            "remove the scout images, or pass one part",
        ),
        "mixed-frame-of-reference": (
            "several frames of reference inside the series",
            "the patient was moved between two parts of one series",
            "pass only the images of one part",
        ),
        "too-few-slices": (
            "fewer than three slice positions",
            "one file of a series instead of its folder",
            "a volume of at least three slices is needed; pass the whole folder",
        ),
        "duplicate-slices": (
            "an unequal number of images at the slice positions",
            "one slice twice, under another UID",
            "remove the copies",
        ),
        "gantry-tilt": (
            "slices are stacked along a line that is not their normal",
            "a head CT with the gantry tilted by 18 degrees",
            "resample it first (dcm2niix writes a file named _Tilt_1)",
        ),
        "missing-slices": (
            "slices are missing inside the series",
            "gaps of 5, 5 and 10 mm: one file was not copied",
            "fetch the missing slices",
        ),
        "uneven-spacing": (
            "the distance between slices changes",
            "2.5 mm through the liver, then 5 mm",
            "pass a reconstruction with even spacing",
        ),
        "frame-of-reference-missing": (
            "DICOM output needs a frame of reference",
            "SEG for a series without FrameOfReferenceUID",
            "take NIfTI and CSV as the result, or pass the original series",
        ),
    },
    "DICOM values": {
        "rescale-missing": (
            "CT or PET values without slope and intercept",
            "a CT whose tags an anonymiser removed",
            "pass the original series with RescaleSlope and RescaleIntercept",
        ),
        "rescale-invalid": (
            "slope and intercept make no sense, or a Modality LUT is there",
            "RescaleSlope 0, or an intercept on some slices only",
            "export the series again",
        ),
        "pixel-format-unsupported": (
            "bits or sign contradict the pixel data",
            "negative CT values labelled as unsigned",
            "export the series again",
        ),
        "transfer-syntax-unsupported": (
            "no decoder for this compression",
            "frames packed as MPEG-4 video",
            "decompress it first (gdcmconv -w, dcmconv)",
        ),
        "pixel-data-corrupt": (
            "pixel data is short, not decodable or of the wrong frame count",
            "the last file of a copy lacks 200 bytes",
            "export the series again",
        ),
        "suv-not-computable": (
            "the tags do not allow SUV to be computed",
            "PatientWeight is absent, or DecayCorrection is NONE",
            "take the values as they are stored (--raw-units)",
        ),
    },
    "Image files": {
        "not-3d": (
            "the image has another number of dimensions than three",
            "a NIfTI file with 40 time points",
            "split it into volumes, and pass one",
        ),
        "not-real": (
            "voxels hold complex numbers or vectors, not one real number each",
            "a deformation field",
            "pass an image with one number a voxel",
        ),
        "not-finite": (
            "the image holds NaN or infinite values",
            "a map that divided by zero outside the head",
            "replace them, for example by the least value",
        ),
        "constant-image": (
            "every voxel has the same value",
            "an empty mask passed as the image",
            "pass the image itself",
        ),
        "affine-missing": (
            "the file does not say where its voxels lie",
            "a NIfTI file with both codes 0",
            "convert the image again with a program that keeps the affine",
        ),
        "affine-singular": (
            "the affine does not span three dimensions",
            "an affine of zeros",
            "convert the image again",
        ),
        "grid-mismatch": (
            "two volumes that belong together lie on different grids",
            "a mask of the resampled image beside the original",
            "resample one to the other first",
        ),
        "acquisition-mismatch": (
            "the file says another slice thickness or plane",
            "--slice-thickness-mm 5 for an image that says 2.5",
            "leave the option out",
        ),
    },
    "Label maps and tables": {
        "labels-not-integer": (
            "a label map holds values that are not whole numbers from 0 up",
            "a mask that was resampled with interpolation",
            "resample it with nearest neighbour",
        ),
        "not-a-label-map": (
            "values lie scattered as in an image, not together as in objects",
            "image and label map were swapped",
            "pass the label map",
        ),
        "label-map-as-image": (
            "whole numbers that lie together as in objects, in a file taken for an image",
            "label maps beside the images of a folder",
            "move them out, or leave them out by a rule on their names",
        ),
        "names-invalid": (
            "a file of names has faults, or a value of the label map has no name",
            "two names for the label 3",
            "mend the file of names",
        ),
        "pairs-missing": (
            "the files of two sides cannot be paired by their names",
            "case_7.nii.gz has no reference",
            "give both sides the same names",
        ),
        "table-invalid": (
            "a table lacks a column or a row, or a value in it makes no sense",
            "a CSV file without the column case",
            "mend the table",
        ),
    },
    "Models and their input": {
        "model-unknown": (
            "no model of that name, and no folder",
            "--model hipocampus",
            "choose one of `medseg models list`",
        ),
        "model-invalid": (
            "the model package is incomplete, altered or not valid",
            "weights whose hash is not that of the card",
            "fetch the package again",
        ),
        "modality-mismatch": (
            "the model is for another modality",
            "a CT given to a model for MR",
            "choose a model for this modality",
        ),
        "head-not-found": (
            "the model is for crops, and no head is recognised in this larger image",
            "an abdomen given to a model of the hippocampus",
            "give a T1-weighted MR of the head, or a crop around the organ",
        ),
        "point-outside-image": (
            "the point, or the middle of the box, lies outside the image",
            "--at with x and y in RAS millimetres, which LPS has with the other sign",
            "give LPS millimetres inside the image",
        ),
        "point-missing": (
            "the model segments the one object that is pointed at, and the image is no crop",
            "a whole chest CT given to the model of lung nodules",
            "give a point in the object, or a box around it",
        ),
        "unit-mismatch": (
            "the values are in another unit than the model needs",
            "PET in Bq/ml for a model that needs SUVbw",
            "convert the image to the unit of the model",
        ),
        "channel-missing": (
            "a channel that the model requires was not given",
            "FLAIR alone for a model of FLAIR and T1",
            "give one image for each required channel",
        ),
        "channel-unknown": (
            "the model has no channel of that name",
            "--channel t3=t3.nii.gz",
            "name the channels as the model does",
        ),
    },
    "Training": {
        "dataset-invalid": (
            "the data set has faults",
            "an image without its label map",
            "mend or exclude the faulty cases",
        ),
        "recipe-invalid": (
            "the recipe has faults",
            "a head that does not exist",
            "mend the recipe",
        ),
    },
}

REFUSALS: Mapping[str, Refusal] = MappingProxyType(
    {
        code: Refusal(group, *parts)
        for group, entries in _GROUPS.items()
        for code, parts in entries.items()
    }
)
"""The closed vocabulary of `InputRefused.code`, in the order of the docs."""
