"""The groups of buttons and fields of the Correct panel."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from medseg_napari.widgets.segment_plan import ModelChoice

_SAME = "same class"
_ALIKE = "what looks alike"


class Form(QGroupBox):
    """A titled group; `pressed` names the button, `changed` says that a field did."""

    pressed = Signal(str)
    changed = Signal()

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self.buttons: dict[str, QPushButton] = {}
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(6, 6, 6, 6)
        self.grid.setHorizontalSpacing(6)
        self.grid.setVerticalSpacing(4)
        for column in range(3):
            self.grid.setColumnStretch(column, 1)

    def button(self, name: str, words: str, tip: str) -> QPushButton:
        """A button that emits its name."""
        made = QPushButton(words)
        made.setToolTip(tip)
        made.clicked.connect(lambda: self.pressed.emit(name))
        self.buttons[name] = made
        return made

    def spin(self, value: float, ends: tuple[float, float], tip: str) -> QDoubleSpinBox:
        """A length in mm."""
        made = QDoubleSpinBox()
        made.setRange(*ends)
        made.setDecimals(1)
        made.setSingleStep(0.5)
        made.setSuffix(" mm")
        made.setValue(value)
        made.setToolTip(tip)
        made.setKeyboardTracking(False)
        made.valueChanged.connect(lambda _: self.changed.emit())
        return made

    def check(self, words: str, tip: str, *, on: bool = False) -> QCheckBox:
        """A box to tick."""
        made = QCheckBox(words)
        made.setChecked(on)
        made.setToolTip(tip)
        made.toggled.connect(lambda _: self.changed.emit())
        return made

    def rows(self, *rows: Sequence[QWidget]) -> None:
        """Lay widgets out in rows of three; the last of a shorter row is wide."""
        for row, widgets in enumerate(rows):
            for widget in widgets:
                if isinstance(widget, (QComboBox, QDoubleSpinBox)):
                    widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            for column, widget in enumerate(widgets):
                last = column == len(widgets) - 1
                self.grid.addWidget(widget, row, column, 1, 3 - column if last else 1)


class UndoForm(QWidget):
    """Undo and redo, each with the name of its step."""

    def __init__(self) -> None:
        super().__init__()
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.undo, 1)
        row.addWidget(self.redo, 1)

    def show_names(self, undo: str | None, redo: str | None) -> None:
        """Name the steps; None disables a button."""
        for button, word, name, key in (
            (self.undo, "Undo", undo, "Ctrl+Z"),
            (self.redo, "Redo", redo, "Ctrl+Shift+Z"),
        ):
            button.setEnabled(name is not None)
            full = word if name is None else f"{word}: {name}"
            button.setToolTip(f"{full} ({key})")
            room = max(80, self.width() // 2 - 24)
            fitting = button.fontMetrics().elidedText(full, Qt.TextElideMode.ElideRight, room)
            button.setText(fitting)


class ObjectForm(Form):
    """What is done to objects as a whole."""

    def __init__(self) -> None:
        super().__init__("Objects")
        self.by_image = self.check("cut at dark gaps", "Let the image say where the neck is")
        self.classes = QComboBox()
        self.into = QComboBox()
        self.into.setToolTip("The class of what is merged")
        self.rows(
            (
                self.button("delete", "Delete", "Take the chosen objects away"),
                self.button("merge", "Merge", "Make one object of the chosen ones"),
                self.into,
            ),
            (
                self.button("clicks", "Split: 2 clicks", "Cut between two points that you click"),
                self.button("parts", "Split parts", "Part what does not hang together"),
                self.by_image,
            ),
            (QLabel("Class"), self.classes, self.button("class", "Change", "Give this class")),
        )

    def offer(self, classes: Sequence[str], of_one: str | None, *, several: bool) -> None:
        """Offer classes, the one of a single object chosen; merging wants several."""
        for box, names in ((self.classes, list(classes)), (self.into, [_SAME, *classes])):
            if [box.itemText(n) for n in range(box.count())] != names:
                box.clear()
                box.addItems(names)
        if of_one is not None:
            self.classes.setCurrentText(of_one)
        self.buttons["merge"].setEnabled(several)
        self.into.setEnabled(several)

    def class_name(self) -> str:
        """The class to give."""
        return self.classes.currentText()

    def merge_class(self) -> str | None:
        """The class of what is merged, None for that of the rows."""
        return None if self.into.currentIndex() < 1 else self.into.currentText()


class ShapeForm(Form):
    """What is done to borders, in mm."""

    def __init__(self) -> None:
        super().__init__("Shape")
        self.by_mm = self.spin(2.0, (0.1, 100.0), "How far the border moves")
        self.sigma_mm = self.spin(1.0, (0.1, 50.0), "The Gaussian's standard deviation")
        self.rows(
            (
                self.by_mm,
                self.button("grow", "Grow", "Move the border outwards"),
                self.button("shrink", "Shrink", "Move the border inwards"),
            ),
            (
                self.sigma_mm,
                self.button("smooth", "Smooth", "Smooth the border, the volume kept"),
                self.button("largest", "Largest part", "Leave the largest part alone"),
            ),
            (
                self.button("holes", "Fill holes", "Fill what is enclosed in 3D"),
                self.button("slice holes", "… on slices", "Fill what is enclosed on slices shown"),
                self.button("interpolate", "Interpolate", "Fill empty slices between painted ones"),
            ),
        )


class DrawForm(Form):
    """The brush."""

    def __init__(self) -> None:
        super().__init__("Draw")
        self.radius_mm = self.spin(3.0, (0.1, 100.0), "Radius of the brush")
        self.ball = self.check("ball in 3D", "Paint through slices with a ball")
        self.keep_out = self.check(
            "keep off other lesions", "Leave to other lesions what they hold", on=True
        )
        self.classes = QComboBox()
        self.classes.setToolTip("The class of new objects")
        self.classes.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.rows(
            (
                self.button("paint", "Paint", "Add to the current object"),
                self.button("erase", "Erase", "Take from the current object"),
                self.button("stop", "Done", "Put the brush away"),
            ),
            (self.radius_mm, self.ball, self.keep_out),
            (
                QLabel("New of class"),
                self.classes,
                self.button("new", "Paint new", "The next stroke makes a new object"),
            ),
        )

    def offer(self, classes: Sequence[str]) -> None:
        """Offer the classes of new objects."""
        if [self.classes.itemText(n) for n in range(self.classes.count())] != list(classes):
            self.classes.clear()
            self.classes.addItems(list(classes))

    def class_name(self) -> str:
        """The class of new objects."""
        return self.classes.currentText()

    def show_radius(self, radius_mm: float) -> None:
        """Follow a radius that was set elsewhere."""
        if abs(self.radius_mm.value() - radius_mm) > 0.05:
            with QSignalBlocker(self.radius_mm):
                self.radius_mm.setValue(radius_mm)


class AddForm(Form):
    """What makes an object of a click: the region grower, or a model that takes one."""

    def __init__(self) -> None:
        super().__init__("Add by click")
        self.models: list[ModelChoice] = []
        self.by = QComboBox()
        self.by.setToolTip("What outlines the object around the click")
        self.by.addItem(_ALIKE)
        self.by.currentIndexChanged.connect(self._on_by)
        self.reach_mm = self.spin(20.0, (1.0, 200.0), "How far the region may reach")
        self.tolerance = self.spin(0.0, (0.0, 10_000.0), "How far intensities may differ")
        self.tolerance.setSuffix("")
        self.tolerance.setSpecialValueText("automatic")
        self.rows(
            (QLabel("By"), self.by),
            (QLabel("Reach"), self.reach_mm),
            (QLabel("Tolerance"), self.tolerance),
            (
                self.button("add", "Add: click into it", "Make a new object from a click"),
                self.button("cancel", "Cancel", "End the model that is looking"),
                self.button("model", "Folder …", "Choose the folder of another model package"),
            ),
        )
        self.show_busy(busy=False)

    @property
    def model(self) -> ModelChoice | None:
        """The model that is chosen, None for the region grower."""
        place = self.by.currentIndex() - 1
        return self.models[place] if 0 <= place < len(self.models) else None

    def offer(self, models: Sequence[ModelChoice], chosen: ModelChoice | None) -> None:
        """Offer models that take a click, one of them or the region grower chosen."""
        with QSignalBlocker(self.by):
            self.models = [*models]
            self.by.clear()
            self.by.addItems([_ALIKE, *(one.card.name for one in models)])
            places = [n for n, one in enumerate(models, start=1) if one is chosen]
            self.by.setCurrentIndex(next(iter(places), 0))
        self._on_by()

    def show_busy(self, *, busy: bool) -> None:
        """While a model looks nothing but its cancel can be pressed."""
        for widget in (self.by, self.reach_mm, self.tolerance, *self.buttons.values()):
            widget.setEnabled(not busy)
        self.buttons["cancel"].setEnabled(busy)
        self._on_by()

    def _on_by(self, _place: int = 0) -> None:
        """Only the grower wants a reach and a tolerance."""
        for widget in (self.reach_mm, self.tolerance):
            widget.setEnabled(self.model is None and not self.buttons["cancel"].isEnabled())

    def tolerance_value(self) -> float | None:
        """The tolerance in the image's unit, None for the one that the image gives."""
        return self.tolerance.value() or None
