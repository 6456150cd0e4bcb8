"""Reading a DICOM SEG (PS3.3 A.51): segments of any tool as instances."""

from medseg.io.dicom_seg.read import SEG_CLASSES, read_dicom_seg, sop_class_of

__all__ = ["SEG_CLASSES", "read_dicom_seg", "sop_class_of"]
