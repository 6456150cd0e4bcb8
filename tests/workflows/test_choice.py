"""Which image a rule takes: demands refuse, preferences decide in order, order never matters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from medseg_workflows.choice import Candidate, Verdict, choose
from medseg_workflows.conditions import condition_of, preference_of
from medseg_workflows.facts import ORDER
from medseg_workflows.rules import ChannelRule

NOTHING = dict.fromkeys(ORDER)


def candidate(name: str, number: int = 0, refused: str = "", **facts: Any) -> Candidate:
    return Candidate((name, number), name, NOTHING | facts, refused)


def rule(
    must: dict[str, Any] | None = None,
    prefer: Sequence[dict[str, Any]] = (),
    allowed: Sequence[str] = (),
) -> ChannelRule:
    return ChannelRule(
        "main",
        "CT",
        tuple(condition_of(*pair) for pair in (must or {}).items()),
        tuple(allowed),
        tuple(preference_of(one) for one in prefer),
    )


def verdicts(asked: ChannelRule, *candidates: Candidate) -> dict[tuple[str, int], Verdict]:
    found = choose(candidates, asked)
    return {one.identity: verdict for one, verdict in zip(candidates, found, strict=True)}


# The prototype of five made-up series: a scout, thick and thin stacks, an MPR, one without agent.
LIVER = rule(
    {
        "modality": "CT",
        "image_type_none_of": ["LOCALIZER", "SECONDARY", "MPR", "MIP"],
        "orientation": "axial",
        "slices": {"min": 30},
        "spacing_z_mm": {"max": 5.0},
    },
    [{"contrast": True}, {"kernel_any_of": ["B30", "Br36"]}, {"smallest": "spacing_z_mm"}],
)
AXIAL = {"modality": "CT", "image_type": ("ORIGINAL", "PRIMARY", "AXIAL"), "orientation": "axial"}


def test_a_study_of_five_series_is_decided_as_its_rule_means() -> None:
    scout = {"modality": "CT", "image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}
    found = verdicts(
        LIVER,
        candidate("scout", **scout, orientation="coronal", slices=2, spacing_z_mm=10.0),
        candidate("thick", **AXIAL, slices=60, spacing_z_mm=5.0, contrast=True, kernel="B30f"),
        candidate("thin", **AXIAL, slices=300, spacing_z_mm=1.0, contrast=True, kernel="B30f"),
        candidate("sharp", **AXIAL, slices=400, spacing_z_mm=0.6, contrast=True, kernel="B70f"),
        candidate("native", **AXIAL, slices=300, spacing_z_mm=1.0, kernel="B30f"),
    )
    assert found["scout", 0] == (
        "refused",
        (
            "image_type ORIGINAL/PRIMARY/LOCALIZER is ruled out by LOCALIZER",
            "orientation is coronal, not axial",
            "slices 2 < 30",
            "spacing_z_mm 10 > 5",
        ),
    )
    better = "preference 3 (smallest spacing_z_mm, 1 against 5)"
    assert found["thin", 0] == ("chosen", (f"best of 4: {better}",))
    assert found["thick", 0] == ("beaten", (f"by series thin: {better}",))
    kernel = "by series thin: preference 2 (kernel_any_of B30, Br36)"
    assert found["sharp", 0] == ("beaten", (kernel,))
    agent = "by series thin: preference 1 (contrast yes)"
    assert found["native", 0] == ("beaten", (agent,))


def test_what_is_not_stated_refuses_unless_it_is_allowed() -> None:
    asked = {"contrast": True, "kernel_none_of": ["B70"]}
    (verdict,) = choose([candidate("a")], rule(asked))
    assert verdict == ("refused", ("contrast is not stated", "kernel is not stated"))
    (verdict,) = choose([candidate("a")], rule(asked, allowed=["contrast", "kernel"]))
    assert verdict == ("chosen", ("the only one that fits",))
    (verdict,) = choose(
        [candidate("a", contrast=False)], rule(asked, allowed=["contrast", "kernel"])
    )
    assert verdict == ("refused", ("contrast is no, not yes",))


def test_words_hold_anywhere_in_free_text_and_whole_elsewhere() -> None:
    one = candidate("a", kernel="B30f", description="AX T1 mprage", body_part="HEAD")
    for must, fits in (
        ({"kernel_any_of": ["b30"]}, True),
        ({"kernel": "B30"}, False),
        ({"kernel": "b30F"}, True),
        ({"description_any_of": ["T2", "MPRAGE"]}, True),
        ({"description_none_of": ["MPRAGE"]}, False),
        ({"body_part_any_of": ["HEADNECK", "HEA"]}, False),
        ({"body_part_any_of": ["HEADNECK", "head"]}, True),
    ):
        (verdict,) = choose([one], rule(must))
        assert (verdict.decision == "chosen") is fits, must


def test_a_description_is_never_repeated_in_a_reason() -> None:
    one = candidate("a", description="Canary^Yellow T2")
    for must in (
        {"description_any_of": ["T1"]},
        {"description_none_of": ["T2"]},
        {"description": "x"},
    ):
        (verdict,) = choose([one], rule(must))
        assert verdict.decision == "refused"
        assert "Canary" not in verdict.reasons[0]


def test_what_cannot_be_read_gives_its_code_and_nothing_else() -> None:
    one = candidate("a", refused="gantry-tilt: 18 degrees", slices=2)
    (verdict,) = choose([one], rule({"slices": {"min": 30}}))
    assert verdict == ("refused", ("gantry-tilt: 18 degrees",))


def test_an_image_longer_than_a_crop_is_refused_for_want_of_a_point_whatever_else_fits() -> None:
    asked = replace(rule({"modality": "CT"}), crop_mm=100.0)
    found = verdicts(
        asked,
        candidate("whole", modality="CT", longest_mm=430.0),
        candidate("crop", modality="CT", longest_mm=100.0),
        candidate("other", modality="MR", longest_mm=430.0),
    )
    why = "point-missing: 430 mm long, and without a point the model takes crops of at most 100 mm"
    assert found["whole", 0] == ("refused", (why,))
    assert found["crop", 0].decision == "chosen"
    assert found["other", 0].reasons == ("modality is MR, not CT", why)


def test_an_unknown_value_is_no_better_and_no_worse_than_one_not_preferred() -> None:
    found = verdicts(
        rule(prefer=[{"contrast": True}, {"largest": "slices"}]),
        candidate("known", contrast=False, slices=10),
        candidate("unknown", slices=20),
    )
    assert found["unknown", 0].decision == "chosen"
    assert found["known", 0].reasons == (
        "by series unknown: preference 2 (largest slices, 20 against 10)",
    )


def test_series_that_are_even_are_taken_by_their_uid() -> None:
    found = verdicts(rule(), candidate("1.2.9"), candidate("1.2.10"))
    assert found["1.2.10", 0] == ("chosen", ("best of 2: even in all preferences, first by UID",))
    assert found["1.2.9", 0].decision == "beaten"


def test_distances_that_differ_by_rounding_are_even() -> None:
    prefer = [{"smallest": "spacing_z_mm"}, {"largest": "slices"}]
    found = verdicts(
        rule(prefer=prefer),
        candidate("a", spacing_z_mm=0.9999, slices=10),
        candidate("b", spacing_z_mm=1.0, slices=20),
    )
    assert found["b", 0].decision == "chosen"


def test_volumes_that_nothing_tells_apart_are_refused_and_the_next_series_wins() -> None:
    found = verdicts(
        rule(prefer=[{"smallest": "spacing_z_mm"}]),
        candidate("echoes", 1, spacing_z_mm=1.0, volume_label="EchoTime 20"),
        candidate("echoes", 2, spacing_z_mm=1.0, volume_label="EchoTime 90"),
        candidate("plain", spacing_z_mm=2.0),
    )
    assert found["plain", 0] == ("chosen", ("the only one that fits",))
    for volume in (1, 2):
        decision, (reason,) = found["echoes", volume]
        assert decision == "refused"
        assert reason.startswith("several-volumes: ")
        assert reason.endswith("volumes 1 and 2")


def test_a_rule_chooses_a_volume_by_what_sets_it_apart() -> None:
    echoes = [candidate("echoes", n, volume_label=f"EchoTime {ms}") for n, ms in ((1, 20), (2, 90))]
    by_demand = verdicts(rule({"volume_label_any_of": ["EchoTime 90"]}), *echoes)
    assert by_demand["echoes", 2].decision == "chosen"
    by_preference = verdicts(rule(prefer=[{"volume_label_any_of": ["EchoTime 90"]}]), *echoes)
    assert by_preference["echoes", 2].decision == "chosen"
    assert by_preference["echoes", 1].reasons == (
        "by series echoes, volume 2: preference 1 (volume_label_any_of EchoTime 90)",
    )


def test_no_candidate_gives_no_verdict() -> None:
    assert choose([], LIVER) == ()


FACTS = st.fixed_dictionaries(
    {
        "contrast": st.sampled_from([True, False, None]),
        "kernel": st.sampled_from(["B30f", "B70f", None]),
        "spacing_z_mm": st.sampled_from([1.0, 2.0, 5.0]),
        "slices": st.integers(1, 4),
        "orientation": st.sampled_from(["axial", "coronal"]),
    }
)
CANDIDATES = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.integers(1, 3), st.sampled_from(["", "mosaic: x"]), FACTS
    ),
    unique_by=lambda one: one[:2],
    max_size=8,
)


@given(CANDIDATES, st.randoms(use_true_random=False))
def test_the_order_of_the_series_changes_nothing(
    drawn: list[tuple[str, int, str, dict[str, Any]]], random: Any
) -> None:
    asked = rule(
        {"orientation": "axial", "slices": {"min": 2}},
        [{"contrast": True}, {"kernel_any_of": ["B30"]}, {"smallest": "spacing_z_mm"}],
    )
    candidates = [candidate(name, n, why, **facts) for name, n, why, facts in drawn]
    shuffled = candidates.copy()
    random.shuffle(shuffled)
    found = verdicts(asked, *candidates)
    assert verdicts(asked, *shuffled) == found

    chosen = [one for one in candidates if found[one.identity].decision == "chosen"]
    assert len(chosen) <= 1
    # Whoever is beaten fits, and whoever is chosen is not behind any of them.
    rank = [
        (not one.facts["contrast"], one.facts["kernel"] != "B30f", one.facts["spacing_z_mm"])
        for one in candidates
    ]
    for one, its in zip(candidates, rank, strict=True):
        if found[one.identity].decision == "beaten":
            assert one.facts["orientation"] == "axial"
            assert one.facts["slices"] >= 2
            assert rank[candidates.index(chosen[0])] <= its


@given(CANDIDATES)
def test_a_series_that_is_refused_changes_nothing_for_the_others(
    drawn: list[tuple[str, int, str, dict[str, Any]]],
) -> None:
    asked = rule(prefer=[{"smallest": "spacing_z_mm"}])
    candidates = [candidate(name, n, why, **facts) for name, n, why, facts in drawn]
    found = verdicts(asked, *candidates)
    fit = [one for one in candidates if found[one.identity].decision != "refused"]
    assert verdicts(asked, *fit) == {one.identity: found[one.identity] for one in fit}
