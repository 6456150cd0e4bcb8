"""Recipes: what they hold, and that each mistake is named with the key that was meant."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from medseg.card import Card, TrainingData
from medseg.errors import InputRefused
from medseg.training.recipe import LEFT_TO_TRAINING, Recipe, read_recipe
from medseg.training.sections import PhantomData

SOUND = """
[model]
name = "toy"
version = "1.0.0"
summary = "A toy."
intended_use = "Tests."
limits = "All."
modality = "MR"
body_part = "head"
spacing_mm = [1.0, 1.0, 1.0]
window_shape = [32, 32, 32]
licence = {data = "CC0-1.0", weights = "CC0-1.0", attribution = "nobody"}
backbone = {name = "residual", arguments = {channels = [8, 16]}}
head = {name = "center_offset"}

[[model.channels]]
name = "t1"
normalisation = {kind = "z_score"}

[[model.classes]]
name = "front"
kind = "organ"
label = 1

[data]
kind = "folders"
name = "toys"
images = "images"
labels = "labels"
held_out = ["toy_3"]

[training]
seed = 0
steps = 100
batch_size = 2
crop_shape = [16, 16, 16]
learning_rate = 2e-3
validate_every = 50

[augmentation]
flip = {axes = ["x"], prob = 0.5}
scale = {low = 0.9, high = 1.1, prob = 0.2}
"""


def recipe_at(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(old: str, new: str) -> str:
    if SOUND.count(old) != 1:
        msg = f"{old!r} stands {SOUND.count(old)} times in the sound recipe"
        raise ValueError(msg)
    return SOUND.replace(old, new)


def test_a_sound_recipe_is_read(tmp_path):
    recipe = read_recipe(
        recipe_at(tmp_path, SOUND), heads=["center_offset"], backbones=["residual", "plain"]
    )
    assert recipe.training.learning_rate == 2e-3
    assert recipe.data.held_out == ("toy_3",)
    assert recipe.augmentation.flip.axes == ("x",)
    assert recipe.augmentation.noise is None
    assert recipe.model.backbone.arguments == {"channels": [8, 16]}


def test_a_recipe_cannot_be_altered(tmp_path):
    recipe = read_recipe(recipe_at(tmp_path, SOUND))
    with pytest.raises(ValueError, match="frozen"):
        recipe.training.steps = 3


def test_its_card_carries_the_training_that_was_done(tmp_path):
    recipe = read_recipe(recipe_at(tmp_path, SOUND))
    done = TrainingData(name="toys", cases=4, minutes=1.5, device="cpu")
    card = recipe.card(training=done, weights_sha256="ab")
    assert isinstance(card, Card)
    assert (card.training, card.weights_sha256, card.name) == (done, "ab", "toy")
    assert recipe.model.training.name == "not trained"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "learning_rate",
            "learning_rte",
            r"training.learning_rte: unknown key; did you mean learning_rate\? \[",
        ),
        (
            "batch_size = 2",
            "batch_size = 2\nbody_part = 'x'",
            r"training.body_part: unknown key; did you mean model.body_part\?",
        ),
        (
            "batch_size = 2",
            "batch_size = 2\nzzz = 1",
            "training.zzz: unknown key; known are seed, steps, ",
        ),
        (
            "[augmentation]",
            "[augmentations]",
            r"augmentations: unknown key; did you mean augmentation\?",
        ),
        (
            "label = 1",
            "label = 1\ncolour = [1, 2, 3]",
            r"model.classes\[0\].colour: unknown key; did you mean color\?",
        ),
        (
            'normalisation = {kind = "z_score"}',
            'normalisation = {kind = "z_score", low_percentil = 1}',
            r"normalisation.low_percentil: unknown key; did you mean low_percentile\?",
        ),
        (
            'images = "images"',
            'imges = "images"',
            r"data.imges: unknown key; did you mean images\? \[",
        ),
        (
            "prob = 0.5}",
            "probability = 0.5, prob = 0.5}",
            r"augmentation.flip.probability: unknown key; did you mean prob\?",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_one_that_was_meant(tmp_path, old, new, said):
    with pytest.raises(InputRefused, match=said) as refused:
        read_recipe(recipe_at(tmp_path, changed(old, new)))
    assert refused.value.code == "recipe-invalid"
    assert refused.value.subject == "recipe.toml"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "learning_rate = 2e-3",
            "learning_rate = -1.0",
            "training.learning_rate: -1.0 should be greater than 0",
        ),
        (
            "learning_rate = 2e-3",
            "learning_rate = nan",
            "training.learning_rate: nan should be a finite number",
        ),
        ("steps = 100", "steps = 1.5", "training.steps: 1.5 should be a valid integer"),
        ("steps = 100", "", "training.steps: is missing"),
        (
            "steps = 100",
            "steps = 10\nwarmup_steps = 10",
            "training: warmup_steps 10 leaves nothing of 10 steps",
        ),
        (
            "seed = 0",
            "seed = 0\nschedule = 'polinomial'",
            "schedule: 'polinomial' should be 'polynomial', 'cosine', 'constant' or 'trapezoidal'; "
            "did you mean polynomial",
        ),
        (
            "seed = 0",
            "seed = 0\nloss_weights = {dice = -1}",
            "training.loss_weights.dice: -1 should be greater than or equal to 0",
        ),
        (
            'kind = "folders"',
            'kind = "folder"',
            r"data.kind: unknown kind 'folder'; did you mean folders\?",
        ),
        ('kind = "folders"', "", "data.kind: is missing"),
        (
            'kind = "z_score"',
            'kind = "ct-window"',
            r"channels\[0\].normalisation.kind: unknown kind 'ct-window'; did you mean ct_window",
        ),
        (
            'axes = ["x"]',
            'axes = ["w"]',
            r"augmentation.flip.axes\[0\]: 'w' should be 'z', 'y' or 'x'",
        ),
        (
            'labels = "labels"',
            'labels = "labels"\npossible_ml = {livr = [1.0, 2.0]}',
            "data.possible_ml.livr: the model has no such organ",
        ),
        ("low = 0.9", "low = 1.9", "augmentation.scale: low 1.9 is above high 1.1"),
        ('images = "images"', "images = 3", "data.images: 3 should be a valid string"),
        (
            'images = "images"',
            'images = {t3 = "images"}',
            r"data.images.t3: the model has no such channel; there are t1 ",
        ),
        (
            'images = "images"',
            "images = {}",
            "data.images: no folder for the required channel 't1'",
        ),
        (
            'held_out = ["toy_3"]',
            "held_out = ['a', 'b']\nvalidation = ['b']",
            "data: case 'b' stands in validation and again in held_out",
        ),
        (
            'held_out = ["toy_3"]',
            "held_out = ['a', 'a']",
            "data: case 'a' stands in held_out and again in held_out",
        ),
        (
            'held_out = ["toy_3"]',
            "held_out = ['a']\nfolds = [['b'], ['c', 'a']]",
            "data: case 'a' stands in held_out and again in fold 2",
        ),
        (
            'labels = "labels"',
            'labels = "labels"\nlabel_values = "instance"',
            'label_values "instance" goes with one class',
        ),
        (
            'body_part = "head"',
            "body_part = \"head\"\nweights_sha256 = 'ab'",
            "model: weights_sha256 is written by training; leave it out",
        ),
        ('name = "toy"', 'name = "Toy Model"', "model.name: 'Toy Model' "),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(tmp_path, old, new, said):
    with pytest.raises(InputRefused, match=said) as refused:
        read_recipe(recipe_at(tmp_path, changed(old, new)))
    assert refused.value.code == "recipe-invalid"
    assert "more)" not in refused.value.detail


def test_volumes_are_not_balanced_by_organs_that_nobody_drew(tmp_path):
    balanced = changed("seed = 0", "seed = 0\nbalance_volumes = true")
    partly = balanced.replace('labels = "labels"', 'labels = "labels"\npartly_drawn = true')
    assert read_recipe(recipe_at(tmp_path, balanced)).training.balance_volumes
    with pytest.raises(InputRefused, match="balance_volumes needs organs drawn in full"):
        read_recipe(recipe_at(tmp_path, partly))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "center_offset",
            "centre_offset",
            r"model.head.name: unknown head 'centre_offset'; did you mean center_offset\?",
        ),
        (
            '"residual"',
            '"zzz"',
            "model.backbone.name: unknown backbone 'zzz'; there are plain, residual",
        ),
    ],
)
def test_an_unknown_head_or_backbone_is_named(tmp_path, old, new, said):
    path = recipe_at(tmp_path, changed(old, new))
    with pytest.raises(InputRefused, match=said):
        read_recipe(path, heads=["center_offset"], backbones=["residual", "plain"])
    assert isinstance(read_recipe(path), Recipe)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("centr", r"training.loss_weights.centr: unknown key; did you mean centre\? \["),
        ("zzz", r"training.loss_weights.zzz: unknown key; there are centre, offset"),
        ("offset", None),
    ],
)
def test_a_loss_that_the_head_does_not_have_is_named(tmp_path, name, said):
    heads = {"center_offset": SimpleNamespace(loss_weights={"centre": 1.0, "offset": 0.1})}
    text = changed("validate_every = 50", f"validate_every = 50\nloss_weights = {{{name} = 2.0}}")
    path = recipe_at(tmp_path, text)
    if said is None:
        assert read_recipe(path, heads=heads).training.loss_weights == {name: 2.0}
    else:
        with pytest.raises(InputRefused, match=said) as refused:
            read_recipe(path, heads=heads)
        assert refused.value.code == "recipe-invalid"
    assert read_recipe(path, heads=["center_offset"]).training.loss_weights == {name: 2.0}


def test_all_problems_are_counted_and_the_first_is_told(tmp_path):
    text = changed("steps = 100", "steps = 0").replace("learning_rate", "learning_rte")
    text = text.replace("center_offset", "none")
    said = r"did you mean learning_rate\? \(and 2 more: training.steps, model.head.name\)"
    with pytest.raises(InputRefused, match=said):
        read_recipe(recipe_at(tmp_path, text), heads=["center_offset"])


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"[model", "recipe-invalid"), (b"\xff\xfe\x00", "recipe-invalid"), (None, "path-missing")],
)
def test_what_is_no_toml_is_refused(tmp_path, content, code):
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputRefused, match="recipe.toml") as refused:
        read_recipe(path)
    assert refused.value.code == code


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(InputRefused, match="cannot be read"):
        read_recipe(tmp_path)


@pytest.mark.parametrize("key", LEFT_TO_TRAINING)
def test_what_training_writes_is_never_suggested(tmp_path, key):
    text = changed('body_part = "head"', f'body_part = "head"\n{key}s = 1')
    with pytest.raises(InputRefused, match=f"model.{key}s: unknown key; known are name, ") as no:
        read_recipe(recipe_at(tmp_path, text))
    assert f" {key}," not in no.value.detail


PHANTOM = """
kind = "phantom"
name = "touching lesions"
generator = "touching_lesions"
training_seeds = [1000, 1040]
validation_seeds = [{validation}]
"""


def phantom_recipe(validation: str) -> str:
    start, stop = SOUND.index("[data]") + len("[data]\n"), SOUND.index("[training]")
    return SOUND[:start] + PHANTOM.format(validation=validation) + SOUND[stop:]


def test_phantom_data_gives_its_seeds(tmp_path):
    data = read_recipe(recipe_at(tmp_path, phantom_recipe("1040, 1050"))).data
    assert isinstance(data, PhantomData)
    assert data.seeds["training_seeds"] == range(1000, 1040)
    assert list(data.seeds["held_out_seeds"]) == []


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        ("1039, 1050", "training_seeds and validation_seeds share seed 1039"),
        ("1050, 1050", r"validation_seeds = \[1050, 1050\] holds no seed"),
    ],
)
def test_phantom_seeds_are_kept_apart(tmp_path, validation, said):
    with pytest.raises(InputRefused, match=said):
        read_recipe(recipe_at(tmp_path, phantom_recipe(validation)))
