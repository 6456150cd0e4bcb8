"""The picture of one slice through several heads says what each found."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from medseg.phantom import touching_lesions

Load = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def picture(load: Load) -> ModuleType:
    return load("heads_picture")


def test_panels_count_what_is_true_and_what_is_not(picture: ModuleType) -> None:
    phantom, other = (touching_lesions(seed, shape=(24, 40, 40)) for seed in (3, 4))
    z, truth = picture.fullest_slice(phantom.truth), phantom.truth
    found = {
        "image": None,
        "truth": truth,
        "exact": truth.filter(lambda one: True),
        "one": truth.filter(lambda one: one.id == truth.items[0].id),
        "other": other.truth,
    }
    figure = picture.drawn(list(found.items()), phantom, z)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    count = len(truth)
    assert titles[:4] == [
        "image",
        "truth",
        f"exact: {count} of {count}, 0 false",
        f"one: 1 of {count}, 0 false",
    ]
    assert titles[4].startswith("other: ") and not titles[4].endswith(" 0 false")


def test_the_slice_is_the_one_that_meets_most_objects(picture: ModuleType) -> None:
    truth = touching_lesions(3, shape=(24, 40, 40)).truth
    planes = [
        [picture.plane(item, truth.geometry.shape, z) is not None for item in truth]
        for z in range(24)
    ]
    assert picture.fullest_slice(truth) == int(np.sum(planes, axis=1).argmax())
