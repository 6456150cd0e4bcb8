"""Attention of query heads: who may look where, and what a place looks like."""

from __future__ import annotations

import math

import pytest
import torch

from medseg.networks.attention import (
    Attention,
    DecoderLayer,
    EncoderLayer,
    cell_centres,
    or_all,
    sine_position,
    within_boxes,
)


def seeded(module: type[torch.nn.Module], *arguments: int) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return module(*arguments).eval()


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_attention_equals_its_definition() -> None:
    layer, queries, cells = seeded(Attention, 8, 2), random(1, 3, 8), random(1, 5, 8)
    allowed = torch.tensor([[[1, 1, 0, 0, 1], [0, 0, 1, 0, 0], [1, 1, 1, 1, 1]]], dtype=torch.bool)
    with torch.no_grad():
        given = layer(queries, cells, cells, allowed)[0]
        q, k, v = layer.query(queries)[0], layer.key(cells)[0], layer.value(cells)[0]
        heads = []
        for part in (slice(0, 4), slice(4, 8)):
            scores = q[:, part] @ k[:, part].T / math.sqrt(4)
            shares = scores.masked_fill(~allowed[0], -torch.inf).softmax(dim=1)
            heads.append(shares @ v[:, part])
        wanted = layer.out(torch.cat(heads, dim=1))
    torch.testing.assert_close(given, wanted)


def test_what_is_not_allowed_changes_nothing() -> None:
    layer, queries, cells = seeded(DecoderLayer, 12, 2, 8), random(1, 2, 12), random(1, 6, 12)
    allowed = torch.zeros(1, 2, 6, dtype=torch.bool)
    allowed[:, :, :3] = True
    groups = torch.eye(2, dtype=torch.bool)[None]
    place = torch.zeros(1, 6, 12)
    other = cells.clone()
    other[:, 3:] += 5.0
    more = queries.clone()
    more[:, 1] += 5.0
    with torch.no_grad():
        first = layer(queries, queries, (cells, place), allowed, groups)
        second = layer(queries, queries, (other, place), allowed, groups)
        third = layer(more, more, (cells, place), allowed, groups)
        free = layer(more, more, (cells, place), allowed)
    torch.testing.assert_close(first, second)
    torch.testing.assert_close(first[:, 0], third[:, 0])
    assert not torch.allclose(first[:, 0], free[:, 0])


def test_cells_are_encoded_in_any_order() -> None:
    layer, cells, place = seeded(EncoderLayer, 12, 2, 8), random(1, 6, 12), random(1, 6, 12)
    turned = torch.tensor([3, 1, 5, 0, 2, 4])
    with torch.no_grad():
        first, second = layer(cells, place), layer(cells[:, turned], place[:, turned])
    torch.testing.assert_close(first[:, turned], second)


def test_an_empty_mask_looks_everywhere() -> None:
    allowed = torch.tensor([[[False, True, False], [False, False, False]]])
    assert or_all(allowed).tolist() == [[[False, True, False], [True, True, True]]]


def test_attention_reaches_half_a_box_more_and_a_cell() -> None:
    # A box of 8 voxels from 8 to 16, its middle at 11.5: with stride 4 to 6 + 4 voxels from there.
    boxes = torch.tensor([[[8.0, 8, 8, 16, 16, 16]]])
    points = cell_centres((8, 1, 1), 4, boxes.device)
    points[:, 1:] = 11.5
    allowed = within_boxes(boxes, points, 4)[0, 0]
    assert points[allowed][:, 0].tolist() == [1.5, 5.5, 9.5, 13.5, 17.5, 21.5]


def test_places_differ_where_objects_could_be_told_apart() -> None:
    points = torch.stack([torch.arange(128.0), torch.zeros(128), torch.zeros(128)], dim=-1)
    place = sine_position(points, 96)
    apart = torch.cdist(place, place) + 10 * torch.eye(128)
    assert place.shape == (128, 96) and float(apart.min()) > 0.5
    # The longest wave comes round once in 128 voxels, the shortest in 4.
    assert place[32, 15] == pytest.approx(1.0, abs=1e-5)
    assert place[1, 0] == pytest.approx(1.0, abs=1e-5)


def test_widths_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="a multiple of 6; got 8"):
        sine_position(torch.zeros(1, 3), 8)
    with pytest.raises(ValueError, match="no multiple of the number of attention heads 5"):
        Attention(12, 5)
