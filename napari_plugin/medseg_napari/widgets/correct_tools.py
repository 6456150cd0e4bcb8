"""The tools of the Correct panel: which step each button takes; no Qt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from medseg.editing import RegionSettings
from medseg.types import Instances, Volume
from medseg_napari import controller_found as pointing
from medseg_napari import controller_steps as steps
from medseg_napari.controller import Controller
from medseg_napari.controller_clicks import Points
from medseg_napari.controller_steps import Step
from medseg_napari.session import Edit, Session
from medseg_napari.session.review import Point
from medseg_napari.view.jump import own_slice_axis
from medseg_napari.widgets.preferences import preferences
from medseg_napari.widgets.segment_plan import ModelChoice, missing


@dataclass
class Settings:
    """What the fields of the panel say, in mm and in the image's unit."""

    by_mm: float = 2.0
    sigma_mm: float = 1.0
    reach_mm: float = 20.0
    tolerance: float | None = None
    keep_out: bool = True
    by_image: bool = False


Run = Callable[[Step, bool], None]
"""Takes a step, and whether it is one to wait for."""

Look = Callable[[Volume, ModelChoice, Point, Callable[[Instances], None]], None]
"""Lets a model look at a point (x, y, z) of an image, LPS mm, then calls with what is there."""


class Tools:
    """Steps on the chosen objects of a controller, run by `run`; `look` runs models."""

    def __init__(self, controller: Controller, settings: Settings, run: Run, look: Look) -> None:
        self._work, self.settings, self._run, self._look = controller, settings, run, look

    @property
    def _session(self) -> Session:
        return self._work.session

    def delete(self) -> None:
        """Take the chosen objects away."""
        self._do(steps.delete)

    def merge(self, to: str | None = None) -> None:
        """Make one of the chosen objects."""
        ids = self._work.chosen
        self._take(lambda: steps.merge(self._session, ids, to), ids)

    def split_parts(self) -> None:
        """Part the current object where it does not hang together."""
        connectivity = preferences().connectivity
        self._on_one(partial(steps.split_parts, connectivity=connectivity))

    def split_by_clicks(self) -> None:
        """Cut the current object between two points that are clicked next."""
        item = self._work.item
        if item is None:
            self._work.say("select a row first")
            return

        def cut(points: Points) -> None:
            by_image = self.settings.by_image
            self._take(
                lambda: steps.split_at(self._session, item.id, points, by_image=by_image),
                [item.id],
            )

        self._work.clicks.ask(2, f"click two points inside {item.kind} {item.id}", cut)

    def change_class(self, name: str) -> None:
        """Give the chosen objects another class."""
        ids = self._work.chosen
        self._take(lambda: steps.change_class(self._session, ids, name), [])

    def grow(self, sign: int) -> None:
        """Move borders outwards (1) or inwards (-1)."""
        mm, keep_out = sign * self.settings.by_mm, self.settings.keep_out
        self._do(lambda session, ids: steps.grow(session, ids, mm, keep_out=keep_out))

    def smooth(self) -> None:
        """Smooth the chosen objects."""
        sigma = self.settings.sigma_mm
        self._do(lambda session, ids: steps.smooth(session, ids, sigma))

    def fill_holes(self, *, by_slice: bool = False) -> None:
        """Fill holes, in 3D or on every slice as they are shown."""
        axis = self._axis() if by_slice else None
        self._do(lambda session, ids: steps.fill_holes(session, ids, axis))

    def keep_largest(self) -> None:
        """Leave the largest connected part alone."""
        self._do(steps.keep_largest_part)

    def interpolate(self) -> None:
        """Fill the empty slices between painted ones, across the slices that are shown."""
        axis = self._axis()
        self._on_one(lambda session, number: steps.interpolate(session, number, axis))

    def add_by_click(self) -> None:
        """Grow a new object from the point that is clicked next, and select it."""
        of = self._work.brush.lesion_class()
        if of is None:
            self._work.say("there is no class of lesions")
            return

        def grown(points: Points) -> None:
            chosen = self.settings
            rules = RegionSettings(reach_mm=chosen.reach_mm, tolerance=chosen.tolerance)
            number = self._session.next_id
            edit = self._work.attempt(
                lambda: steps.add_region(
                    self._session, points[0], of, rules, keep_out=chosen.keep_out
                )
            )
            if edit is not None and self._work.apply(edit):
                self._work.select([number], go=False)

        self._work.clicks.ask(1, f"click into the new {of.name}", grown)

    def add_by_model(self, choice: ModelChoice) -> None:
        """Let a model outline what is at the point that is clicked next, and select it."""
        volume, card = self._session.volume, choice.card
        lost = "" if volume is None else missing(card, {card.channels[0].name: volume})
        if volume is None or lost:
            self._work.say(lost or "there is no image for a model to look at: open the image")
            return

        def clicked(points: Points) -> None:
            x, y, z = (float(mm) for mm in points[0])
            keep_out = self.settings.keep_out

            def ask() -> None:
                pointing.check_free(self._session, (x, y, z), keep_out=keep_out)
                take = partial(self._take_found, choice, (x, y, z), keep_out=keep_out)
                self._look(volume, choice, (x, y, z), take)

            self._work.attempt(ask)

        names = " or ".join(one.name for one in card.classes)
        self._work.clicks.ask(1, f"click into the new {names}", clicked)

    def _take_found(
        self, choice: ModelChoice, point: Point, found: Instances, *, keep_out: bool
    ) -> None:
        number = self._session.next_id
        edit = self._work.attempt(
            lambda: pointing.add_found(self._session, found, point, choice.card, keep_out=keep_out)
        )
        if edit is None or not self._work.apply(edit):
            return
        self._work.select([number], go=False)
        lines = [f"{edit.name}: done", *(f"{detail} [{code}]" for code, detail in found.warnings)]
        self._work.say("\n".join(lines))

    def _axis(self) -> int:
        return own_slice_axis(self._work.viewer, self._work.objects)

    def _do(self, step: Callable[[Session, tuple[int, ...]], Edit]) -> None:
        ids = self._work.chosen
        self._take(lambda: step(self._session, ids), ids)

    def _on_one(self, step: Callable[[Session, int], Edit]) -> None:
        item = self._work.item
        if item is None:
            self._work.say("select a row first")
            return
        self._take(lambda: step(self._session, item.id), [item.id])

    def _take(self, step: Step, ids: tuple[int, ...] | list[int]) -> None:
        heavy = self._work.attempt(lambda: steps.is_heavy(self._session, ids))
        if heavy is not None:  # else an object is gone since, which is said
            self._run(step, heavy)
