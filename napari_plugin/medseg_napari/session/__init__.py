"""A reader's work on studies, without Qt and without napari: edits, marks, measures, files."""

from medseg_napari.session.agreement import (
    Agreement,
    ClassAgreement,
    PairedObject,
    Reading,
    agreement,
    pooled,
)
from medseg_napari.session.case import Case, list_studies
from medseg_napari.session.case_batch import READERS, BatchCase, is_batch
from medseg_napari.session.cases import STATUSES, CaseList, CaseRow, Status
from medseg_napari.session.edits import Change, Edit, named
from medseg_napari.session.export import Exported, export_cases
from medseg_napari.session.jump import LargestSlice, largest_slice
from medseg_napari.session.log import rebuild
from medseg_napari.session.review import Decision, Line, Mark, Review, Which
from medseg_napari.session.reviewing import REVIEW_COLUMNS, Lines
from medseg_napari.session.selection import NO_ORGAN, Filter, Order, Selection
from medseg_napari.session.session import Session
from medseg_napari.session.store import Found, find_session
from medseg_napari.session.table import MeasureOptions, MeasureTable
from medseg_napari.session.totals import ClassCount

__all__ = [
    "NO_ORGAN",
    "READERS",
    "REVIEW_COLUMNS",
    "STATUSES",
    "Agreement",
    "BatchCase",
    "Case",
    "CaseList",
    "CaseRow",
    "Change",
    "ClassAgreement",
    "ClassCount",
    "Decision",
    "Edit",
    "Exported",
    "Filter",
    "Found",
    "LargestSlice",
    "Line",
    "Lines",
    "Mark",
    "MeasureOptions",
    "MeasureTable",
    "Order",
    "PairedObject",
    "Reading",
    "Review",
    "Selection",
    "Session",
    "Status",
    "Which",
    "agreement",
    "export_cases",
    "find_session",
    "is_batch",
    "largest_slice",
    "list_studies",
    "named",
    "pooled",
    "rebuild",
]
