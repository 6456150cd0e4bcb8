"""`medseg models`: what there is, from cards alone."""

from __future__ import annotations

import json

import pytest

import medseg.models


def test_the_list_names_every_shipped_model(run) -> None:
    outcome = run("models", "list", "--json")
    assert outcome.code == 0
    names = [one["name"] for one in json.loads(outcome.out)["models"]]
    assert names == list(medseg.models.shipped())


@pytest.mark.usefixtures("threshold_model")
def test_the_list_says_what_a_model_finds_and_its_licence(run) -> None:
    outcome = run("models", "list")
    for word in ("threshold", "1.0", "MR", "bright spot", "CC0-1.0"):
        assert word in outcome.out


@pytest.mark.usefixtures("threshold_model")
def test_the_list_says_how_good_a_model_is_and_on_how_many_cases(run) -> None:
    (line,) = (line for line in run("models", "list").out.splitlines() if "threshold" in line)
    assert "Dice 0.71, F1 0.66" in line and "17" in line.split()
    (one,) = json.loads(run("models", "list", "--json").out)["models"]
    assert (one["held_out"], one["held_out_cases"]) == ("Dice 0.71, F1 0.66", 17)


def test_a_model_shows_channels_limits_and_licences(run, threshold_model) -> None:
    outcome = run("models", "show", threshold_model)
    assert outcome.code == 0
    for word in ("flair, t1 (optional)", "bright spot (lesion)", "limits", "licence of the data"):
        assert word in outcome.out


def test_a_weak_model_says_what_it_tells_with_every_result(run) -> None:
    assert "caveat" in run("models", "show", "sarcoma-mr").out
    assert "caveat" not in run("models", "show", "hippocampus-mr").out


def test_a_shipped_model_shows_its_figures_and_what_it_is_not_for(run) -> None:
    shown = " ".join(run("models", "show", "sarcoma-mr").out.split())
    assert "not for" in shown
    assert "mean Dice 0.603" in shown
    assert "median absolute volume error 0.454" in shown


def test_a_model_in_json_is_its_card(run, threshold_model) -> None:
    card = json.loads(run("models", "show", threshold_model, "--json").out)
    assert card["channels"][1]["name"] == "t1"
    assert card == medseg.models.card_of(threshold_model).model_dump(mode="json")


def test_a_folder_without_a_card_is_refused(run, tmp_path) -> None:
    outcome = run("models", "show", tmp_path)
    assert outcome.code == 3
    (line,) = outcome.error_lines
    assert "[model-invalid]" in line
    assert tmp_path.name in line
