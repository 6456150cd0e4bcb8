"""A recipe of a few steps that tests of training share."""

from __future__ import annotations

from modelling import LESIONS, card

from medseg.training.recipe import LEFT_TO_TRAINING, Recipe


def recipe(steps: int = 6, **training: object) -> Recipe:
    """Lesions of 16 voxels a side; `training` changes its section."""
    model = card(LESIONS).model_dump(mode="json", exclude_none=True)
    for key in LEFT_TO_TRAINING:
        model.pop(key, None)
    return Recipe.model_validate(
        {
            "model": model,
            "data": {
                "kind": "phantom",
                "name": "touching lesions",
                "generator": "touching_lesions",
                "training_seeds": [10, 14],
                "validation_seeds": [20, 21],
                "shape": [24, 24, 24],
            },
            "training": {
                "seed": 3,
                "steps": steps,
                "batch_size": 2,
                "crop_shape": [16, 16, 16],
                "learning_rate": 1e-3,
                "warmup_steps": 1,
                "ema_decay": 0.9,
                "validate_every": 3,
                "threads": 1,
                **training,
            },
            "augmentation": {
                "flip": {"prob": 0.5, "axes": ["x"]},
                "rotation": {"prob": 0.5, "max_degrees": [10, 10, 10]},
                "elastic": {"prob": 0.5, "magnitude_mm": 1, "spacing_mm": 8},
                "noise": {"prob": 0.5, "maximum": 0.1},
            },
        }
    )
