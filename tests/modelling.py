"""Small cards and models that tests of heads, inference and training share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from medseg.card import Card
from medseg.heads.center_offset.network import CenterOffset
from medseg.models import Model, decoder_of

LESIONS = [
    {"name": "ellipsoid", "kind": "lesion", "label": 1},
    {"name": "shell", "kind": "lesion", "label": 2},
]
ORGANS = [
    {"name": "left", "kind": "organ", "label": 1},
    {"name": "right", "kind": "organ", "label": 2},
]


def card(classes: list[dict[str, Any]], **changes: Any) -> Card:
    """A small card of MR in 1 mm, changed where asked."""
    content: dict[str, Any] = {
        "name": "small",
        "version": "1",
        "summary": "A small model.",
        "intended_use": "Tests.",
        "limits": "Knows nothing.",
        "modality": "MR",
        "body_part": "phantom",
        "licence": {"data": "Apache-2.0", "weights": "Apache-2.0", "attribution": "None."},
        "channels": [{"name": "mr", "normalisation": {"kind": "z_score"}}],
        "classes": classes,
        "spacing_mm": (1.0, 1.0, 1.0),
        "window_shape": (16, 16, 16),
        "backbone": {
            "name": "residual_pyramid",
            "arguments": {"channels": [8, 16], "blocks": [1, 1], "stem_stride": 2},
        },
        "head": {"name": "center_offset", "network": {"width": 8, "refinement_width": 8}},
        "training": {"name": "nothing", "cases": 0, "minutes": 0, "device": "cpu"},
    }
    return Card.model_validate({**content, **changes})


class BrightIsOrgan(nn.Module):
    """A network without weights: the one organ is where the image is above half its range."""

    multiple = 2

    def coarse(self, image: Tensor) -> CenterOffset:
        """Logits that are 0 between the window's darkest and brightest, and steep around it."""
        half = (image.amin() + image.amax()) / 2
        organ = torch.cat([torch.zeros_like(image), 20.0 * (image - half)], dim=1)
        return CenterOffset(organ, None, None, None, organ, image)

    def refine_found(self, image: Tensor, raw: CenterOffset) -> CenterOffset:
        """They are at full resolution already."""
        return raw


def bright_is_organ(**changes: Any) -> Model:
    """A model that finds what is bright, and whose answer is known therefore."""
    found = card([{"name": "bright", "kind": "organ", "label": 1}], **changes)
    network: Any = BrightIsOrgan()
    return Model(found, network, decoder_of(found))
