"""Inference in a process of its own: the interface stays responsive, and a cancel is a kill."""

from medseg_napari.run.job import Job, JobState, Phase
from medseg_napari.run.region import cropped, on_whole_grid
from medseg_napari.run.words import bytes_in_words, seconds_in_words
from medseg_napari.run.worker import JobEstimate, Worker

__all__ = [
    "Job",
    "JobEstimate",
    "JobState",
    "Phase",
    "Worker",
    "bytes_in_words",
    "cropped",
    "on_whole_grid",
    "seconds_in_words",
]
