"""The network of the border-core head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from medseg.card import CardClass
from medseg.heads.center_offset.network import CenterOffset, CenterOffsetNetwork, Refine
from medseg.heads.contract import WindowTarget, lesion_ids


class BorderCore(NamedTuple):
    """What the network gives.

    Shapes: organ (B, 1 + organs, ...) logits, background first, or None without an organ class;
    lesion and core (B, lesions, ...) logits or None; at the window's resolution in training and
    after `refine`, else as `dense.coarse`. `dense` is where they are from: its lesions are the
    classes of lesions, then their cores.
    """

    organ: Tensor | None
    lesion: Tensor | None
    core: Tensor | None
    dense: CenterOffset


class BorderCoreNetwork(nn.Module):
    """Class logits and a core logit a class of lesions, from a pyramid.

    Shapes: pyramid levels (B, channels[i], Z / strides[i], ...) -> BorderCore.

    A core is to the network a class of lesions of its own: it may lie in any other, and comes to
    full resolution as the classes do.
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: Sequence[CardClass],
        *,
        refinement_width: int = 16,
        refine: Refine = "convolution",
        coarse_stride: int = 4,
    ) -> None:
        super().__init__()
        lesions = [classes[position] for position in lesion_ids(classes)]
        self.lesions = len(lesions)
        self.dense = CenterOffsetNetwork(
            in_channels,
            channels,
            strides,
            [*classes, *lesions],
            refinement_width=refinement_width,
            refine=refine,
            coarse_stride=coarse_stride,
            votes=False,
        )

    def forward(self, pyramid: Sequence[Tensor]) -> BorderCore:
        """Everything but the refinement, at the pyramid's resolution."""
        return self._apart(self.dense(pyramid))

    def refine(
        self, image: Tensor, raw: BorderCore, targets: Sequence[WindowTarget] | None = None
    ) -> BorderCore:
        """Logits at the resolution of `image` (B, C, Z, Y, X)."""
        return self._apart(self.dense.refine(image, raw.dense, targets))

    def refine_found(self, image: Tensor, raw: BorderCore) -> BorderCore:
        """The same as `refine` for one window, with the work spent only around what was found."""
        return self._apart(self.dense.refine_found(image, raw.dense))

    def shift_organs(self, amounts: Sequence[float]) -> None:
        """Add to the organs' logits, in their order, for good."""
        self.dense.shift_organs(amounts)

    def _apart(self, dense: CenterOffset) -> BorderCore:
        if dense.lesion is None:
            return BorderCore(dense.organ, None, None, dense)
        lesion, core = dense.lesion[:, : self.lesions], dense.lesion[:, self.lesions :]
        return BorderCore(dense.organ, lesion, core, dense)
