"""Body parts as DICOM names them (PS3.16 annex L), and the regions of the body that they cover."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_EVERYWHERE = "head neck chest abdomen pelvis limbs"

COVERED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("HEAD", "BRAIN", "SKULL", "HIPPOCAMPUS", "ORBIT", "FACE", "EAR"), "head"),
        **dict.fromkeys(("NECK", "CSPINE", "THYROID", "LARYNX"), "neck"),
        **dict.fromkeys(("CHEST", "LUNG", "THORAX", "HEART", "BREAST", "TSPINE"), "chest"),
        **dict.fromkeys(("ABDOMEN", "LIVER", "KIDNEY", "PANCREAS", "SPLEEN", "LSPINE"), "abdomen"),
        **dict.fromkeys(("PELVIS", "PROSTATE", "BLADDER", "UTERUS", "RECTUM"), "pelvis"),
        **dict.fromkeys(("HIP", "SSPINE"), "pelvis limbs"),
        **dict.fromkeys(("KNEE", "LEG", "FOOT", "ANKLE", "THIGH", "FEMUR"), "limbs"),
        **dict.fromkeys(("ARM", "ELBOW", "WRIST", "HAND", "SHOULDER", "EXTREMITY"), "limbs"),
        **dict.fromkeys(("HEADNECK", "HEAD_NECK"), "head neck"),
        **dict.fromkeys(("NECKCHEST", "NECK_CHEST"), "neck chest"),
        **dict.fromkeys(("CHESTABDOMEN", "CHEST_ABDOMEN"), "chest abdomen"),
        **dict.fromkeys(("ABDOMENPELVIS", "ABDOMEN_PELVIS", "ABDPELVIS"), "abdomen pelvis"),
        **dict.fromkeys(("CHESTABDPELVIS", "CAP", "TRUNK"), "chest abdomen pelvis"),
        **dict.fromkeys(("NECKCHESTABDPELV",), "neck chest abdomen pelvis"),
        **dict.fromkeys(("NECKCHESTABDOMEN",), "neck chest abdomen"),
        **dict.fromkeys(("SPINE", "WHOLESPINE"), "neck chest abdomen pelvis"),
        **dict.fromkeys(("WHOLEBODY", "BODY", "PHANTOM"), _EVERYWHERE),
    }
)
"""The regions of each value of BodyPartExamined that leaves no doubt."""


def other_parts(said: str) -> tuple[str, ...]:
    """The values of BodyPartExamined that lie elsewhere than the body part of a card.

    `said` is a value of `COVERED`, in any case of letters, or a region; else nothing is known to
    lie elsewhere.
    """
    word = said.strip().upper()
    regions = set(COVERED.get(word, said.strip().lower()).split())
    if not regions & set(_EVERYWHERE.split()):
        return ()
    return tuple(part for part, covered in COVERED.items() if not regions & set(covered.split()))
