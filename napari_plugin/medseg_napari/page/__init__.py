"""One HTML page of a case that needs no other file: pictures of its objects, and the table."""

from medseg_napari.page.page import Case, CaseAbout, case_page, write_case_page
from medseg_napari.page.pictures import MOST_PICTURED, object_picture

__all__ = ["MOST_PICTURED", "Case", "CaseAbout", "case_page", "object_picture", "write_case_page"]
