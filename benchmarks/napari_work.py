"""What one process of `napari_panels.py` does in its window: bare napari, or with the panels."""

from __future__ import annotations

import gc
import json
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scenes
from napari_window import Window, own_memory_mb, renderer
from timing import BY_THE_CLOCK, OF_THE_PROCESSOR, Clock

Found = dict[str, Any]
SPACING_MM = (1.0, 0.8, 0.8)
ORGAN = "liver"
LESION = "lesion"
_SHARE = 0.3  # of the canvas that an object takes after a jump, as in the plugin
_STROKE = (0.0, 0.1, 0.2, 0.32)  # of the canvas's shorter side: out of whatever a jump shows
_WARM = 0.2  # of the samples, before growth is looked for


@dataclass(frozen=True)
class Plan:
    """How much is done."""

    folder: str
    clicks: int
    edits: int
    steps: int
    cycles: int
    processor: bool = False

    @property
    def clock(self) -> Clock:
        """Which seconds count."""
        return OF_THE_PROCESSOR if self.processor else BY_THE_CLOCK


def write_scene(folder: Path, size: int, objects: int) -> None:
    """A CT of size³ voxels with lesions 1 to `objects`, and an organ after them, as arrays."""
    shape = (size, size, size)
    drawn = scenes.ellipsoids(objects, size, radii=(2.0, max(3.0, 12.0 * size / 512)))
    labels = scenes.painted(drawn, shape).astype(np.uint16)
    middle = np.array([size / 2, size / 2, size / 3])
    axes = np.array([0.14, 0.2, 0.2]) * size
    one = scenes.Ellipsoids(middle[None], axes[None], np.eye(3)[None])
    organ = scenes.painted(one, shape) > 0
    labels[organ & (labels == 0)] = objects + 1
    rng = np.random.default_rng(0)
    image = np.empty(shape, dtype=np.int16)
    for plane in range(size):
        image[plane] = rng.normal(0, 20, size=shape[1:])
    image[organ] += 60
    image[labels > 0] += 30
    np.save(folder / "image.npy", image)
    np.save(folder / "labels.npy", labels)


def instances_of(folder: Path) -> tuple[Any, Any]:
    """The scene as a volume and its instances; the organ goes on below the lesions in it."""
    from medseg.types import Geometry, Instance, InstanceClass, Instances, Volume

    image, labels = (np.load(folder / f"{name}.npy") for name in ("image", "labels"))
    geometry = Geometry.from_spacing(labels.shape, SPACING_MM)
    volume = Volume(image, geometry, "CT", "HU", acquisition_axis=0)
    found = Instances.from_labelmap(labels, geometry)
    last = int(labels.max())
    classes = (InstanceClass(LESION, "lesion", 1), InstanceClass(ORGAN, "organ", 2))
    items = []
    for item in found:
        if item.id == last:
            mask = item.mask | (labels[item.box] > 0)
            items.append(Instance(item.id, ORGAN, "organ", 1.0, item.box, mask))
        else:
            score = 1.0 - item.id / (2 * last)
            items.append(Instance(item.id, LESION, "lesion", score, item.box, item.mask))
    return volume, Instances(geometry, items, classes)


class Bare:
    """napari with the layers alone, two lines too: what the panels are compared with."""

    def __init__(self, plan: Plan) -> None:
        folder = Path(plan.folder)
        self.plan = plan
        self.image, labels = (np.load(folder / f"{name}.npy") for name in ("image", "labels"))
        self.boxes = _boxes(labels)
        self.colors: dict[int | None, str] = {None: "transparent", 0: "transparent"}
        last = int(labels.max())
        self.colors |= dict.fromkeys(range(1, last), "red") | {last: "blue"}

    def open(self) -> tuple[Window, Found]:
        """A window with the layers, and the seconds until it is drawn."""
        labels = np.load(Path(self.plan.folder) / "labels.npy")
        began = self.plan.clock.now()
        window = Window(self.plan.clock)
        place = {"scale": SPACING_MM, "units": ("mm",) * 3, "axis_labels": ("z", "y", "x")}
        window.viewer.add_image(self.image, contrast_limits=(-160, 240), multiscale=False, **place)
        window.layer = window.viewer.add_labels(
            labels, colormap=self.colors, opacity=0.6, multiscale=False, **place
        )
        low, high = np.array([[0.3, 0.3], [0.7, 0.7]]) * labels.shape[1:]
        ends = np.array([[low, high], [[low[0], high[1]], [high[0], low[1]]]])
        middle = np.full((2, 2, 1), labels.shape[0] // 2)
        window.viewer.add_shapes(
            list(np.concatenate([middle, ends], axis=2)), shape_type="line", name="lines", **place
        )
        window.settle(lambda: window.paints > 0)
        return window, {"start": window.now() - began}

    def work(self, window: Window) -> Found:
        """Jumps, strokes, steps and edits."""
        found: Found = {"click": [], "paint": []}
        numbers = chosen(list(self.boxes), self.plan.clicks)
        for number in numbers:
            found["click"].append(window.timed(lambda n=number: self._jump(window, n)))
        window.layer.mode = "paint"
        window.layer.brush_size = 8
        for number in numbers[: self.plan.edits]:
            self._jump(window, number)
            window.layer.selected_label = number
            window.settle()
            release = window.drag(_STROKE)
            found["paint"].append(window.timed(release, draws=False))
        window.layer.mode = "pan_zoom"
        found["memory"] = own_memory_mb()
        found["steps"] = sampled(self.plan.steps, lambda n: slice_step(window, n), window.now)

        def edit(n: int) -> None:
            box = self.boxes[numbers[n % len(numbers)]]
            window.layer.paint([(part.start + part.stop) // 2 for part in box], 0)
            window.layer.undo()
            window.settle()

        found["edits"] = sampled(self.plan.edits * 10, edit, window.now)
        found["at end"] = own_memory_mb()
        return found

    def _jump(self, window: Window, number: int) -> None:
        box, viewer = self.boxes[number], window.viewer
        low, high = (np.array([getattr(part, end) for part in box]) for end in ("start", "stop"))
        world = np.asarray(window.layer.data_to_world((low + high - 1) // 2))
        viewer.dims.point = world
        viewer.scene.camera.center = tuple(world[1:])
        extent = float(((high - low) * SPACING_MM).max())
        viewer.scene.camera.zoom = _SHARE * min(viewer.canvas.size) / extent


class Panels:
    """napari with a session, and the panels Lesions and Correct."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.volume, self.instances = instances_of(Path(plan.folder))
        self._opened = 0

    def open(self) -> tuple[Window, Found]:
        """A window with the layers, then with the panel and a review begun; seconds of each."""
        from medseg_napari.view.layer_data import image_data, labels_data
        from medseg_napari.view.opening import add_layers

        data = [image_data(self.volume), labels_data(self.instances)]
        began = self.plan.clock.now()
        window = Window(self.plan.clock)
        add_layers(window.viewer, data)
        window.settle(lambda: window.paints > 0)
        found = {"start": window.now() - began}
        began = window.now()
        from medseg_napari.widgets.lesions import LesionsPanel

        window.panel = LesionsPanel(window.viewer)
        window.viewer.window.add_dock_widget(window.panel, name="Lesions", area="right")
        self._opened += 1
        window.panel.start.reader.setText("AB")
        window.panel.start.folder.setText(str(Path(self.plan.folder) / f"work{self._opened}"))
        window.panel.start.begin.click()
        window.settle(window.panel.table.isVisible)
        found["open"] = window.now() - began
        began = window.now()
        window.settle(lambda: measured(window.panel))
        found["measured"] = window.now() - began
        return window, found

    def work(self, window: Window) -> Found:
        """Clicks on rows, edits, steps."""
        from medseg_napari.widgets.correct import CorrectPanel

        window.correct = CorrectPanel(window.viewer)
        window.viewer.window.add_dock_widget(window.correct, name="Correct", area="left")
        window.settle()
        numbers = chosen([one.id for one in self.instances if one.kind == LESION], self.plan.clicks)
        click_row(window, numbers[-1])()
        window.settle()
        found: Found = {"click": [window.timed(click_row(window, number)) for number in numbers]}
        found |= self._edits(window, numbers)
        found["memory"] = own_memory_mb()
        found["steps"] = sampled(self.plan.steps, lambda n: slice_step(window, n), window.now)
        edited = numbers[: self.plan.edits * 10]
        for number in edited:  # its mask is kept packed from now on, to be undone: that is no leak
            self._edit_and_back(window, number)
        found["edits"] = sampled(
            self.plan.edits * 10,
            lambda n: self._edit_and_back(window, edited[n % len(edited)]),
            window.now,
        )
        found["at end"] = own_memory_mb()
        return found

    def _edits(self, window: Window, numbers: list[int]) -> Found:
        """Seconds until picture and table follow each kind of edit, each undone."""
        found: Found = {name: [] for name in ("paint", "delete", "merge", "undo", "organ")}
        organ = next(one.id for one in self.instances if one.kind == "organ")
        ready = lambda: measured(window.panel)  # noqa: E731
        pairs = zip(numbers[: self.plan.edits], reversed(numbers), strict=False)
        for number, other in pairs:
            for name, chosen_rows in (
                ("paint", [number]),
                ("delete", [number]),
                ("merge", [other, number] if other != number else [numbers[0], numbers[1]]),
                ("organ", [organ]),
            ):
                work = window.panel.controller
                work.select(chosen_rows)
                window.settle(ready)
                steps = len(work.session.steps)
                act = self._act(window, name)
                found[name].append(window.timed(act, ready))
                expect(len(work.session.steps) == steps + 1, f"{name}: {work.message}")
                work.brush.stop()
                window.settle(ready)
                seconds = window.timed(window.correct.history.undo.click, ready)
                found["undo"].append(seconds)
                expect(len(work.session.steps) == steps, "undo")
        return found

    def _act(self, window: Window, name: str) -> Callable[[], Any]:
        if name == "delete":
            return window.correct.tools.delete
        if name == "merge":
            return lambda: window.correct.tools.merge(None)
        work = window.panel.controller
        work.brush.resize(3.0)
        work.brush.start("erase" if name == "organ" else "paint")
        window.settle()
        return window.drag(_STROKE)

    def _edit_and_back(self, window: Window, number: int) -> None:
        work = window.panel.controller
        work.select([number])
        window.correct.tools.delete()
        work.undo()
        window.settle(lambda: measured(window.panel))


def measured(panel: Any) -> bool:
    """Whether all that the table shows is measured."""
    table = panel.controller.session.table
    names = [name for name in panel.table.rows.columns if name in table.column_names]
    return not table.unmeasured(names)


def click_row(window: Window, number: int) -> Callable[[], None]:
    """What clicks on the row of an object, which is scrolled to before."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    table = window.panel.table
    index = table.rows.index(table.rows.row_of(number), 1)
    table.scrollTo(index)
    window.settle()
    place = table.visualRect(index).center()
    keys = Qt.KeyboardModifier.NoModifier
    return lambda: QTest.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, keys, place)


def slice_step(window: Window, number: int) -> None:
    """Go to another slice, and draw it."""
    dims = window.viewer.dims
    dims.set_current_step(0, number % dims.nsteps[0])
    window.settle()


def sampled(
    count: int, act: Callable[[int], None], now: Callable[[], float], samples: int = 20
) -> Found:
    """Do something many times; memory in MB and references to None at even distances."""
    every = max(1, count // samples)
    at, memory, nones, seconds = [], [], [], []
    for number in range(count):
        began = now()
        act(number)
        seconds.append(now() - began)
        if number % every == every - 1:
            at.append(number + 1)
            memory.append(own_memory_mb())
            nones.append(sys.getrefcount(None))
    late = slice(int(_WARM * len(at)), None)
    return {
        "seconds": seconds,
        "mb": memory,
        "growth_mb": growth(np.array(at[late]), np.array(memory[late]), count),
        "growth_none": growth(np.array(at[late]), np.array(nones[late]), count),
    }


def growth(at: np.ndarray, values: np.ndarray, count: int) -> tuple[float, float]:
    """What a straight line through the values gains in `count` steps, and its standard error."""
    if len(at) < 3 or np.ptp(at) == 0:
        return float("nan"), float("nan")
    (slope, _), covariance = np.polyfit(at, values, 1), _covariance(at, values)
    return float(slope * count), float(covariance * count)


def _covariance(at: np.ndarray, values: np.ndarray) -> float:
    line = np.polyval(np.polyfit(at, values, 1), at)
    spread = np.square(values - line).sum() / (len(at) - 2)
    return float(np.sqrt(spread / np.square(at - at.mean()).sum()))


def chosen(numbers: list[int], count: int) -> list[int]:
    """So many of the numbers, by chance, repeated where there are fewer."""
    rng = np.random.default_rng(1)
    order = [
        number for _ in range(-(-count // len(numbers))) for number in rng.permutation(numbers)
    ]
    return [int(number) for number in order[:count]]


def expect(is_true: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    """RuntimeError where the work is not what is to be timed."""
    if not is_true:
        raise RuntimeError(what)


def _boxes(labels: np.ndarray) -> dict[int, tuple[slice, ...]]:
    from scipy.ndimage import find_objects

    found = find_objects(labels)
    return {number + 1: box for number, box in enumerate(found[:-1]) if box is not None}


def once(who: str, plan: Plan) -> Found:
    """Open, work, close, and open and close again: seconds and megabytes of one process."""
    side = {"bare": Bare, "medseg": Panels}[who](plan)
    found: Found = {"before": own_memory_mb(), "closed": []}
    alive = []
    for cycle in range(plan.cycles):
        window, times = side.open()
        if cycle == 0:
            found |= times
            found["renderer"] = renderer()
            found["opened"] = own_memory_mb()
            if plan.clicks:
                found |= side.work(window)
        alive = [weakref.ref(one) for one in held(window)]
        window.close()
        del window
        gc.collect()
        found["closed"].append(own_memory_mb())
        found["alive"] = sum(one() is not None for one in alive)
    return found


def held(window: Window) -> Iterator[Any]:
    """What must not outlive a closed window: the viewer, its layers, and the session."""
    yield window.viewer
    yield from window.viewer.layers
    panel = getattr(window, "panel", None)
    if panel is not None:
        yield panel.controller
        yield panel.controller.session


def main() -> None:
    """Print what `once` found, as JSON."""
    print(json.dumps(once(sys.argv[1], Plan(**json.loads(sys.argv[2])))))


if __name__ == "__main__":
    main()
