"""RTSTRUCT: contours on slices, read as instances and written from them."""

from medseg.io.rtstruct.read import read_rtstruct
from medseg.io.rtstruct.write import rtstruct_dataset

__all__ = ["read_rtstruct", "rtstruct_dataset"]
