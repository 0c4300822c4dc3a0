from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.data.augment import cropped, draw, draw_boxes, draw_offsets, mirrored, resize_px, shifted


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(count: int, size: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=seeded())


def test_crops_come_from_an_eighth_more_than_the_resolution_and_centre_on_whole_pixels() -> None:
    assert [resize_px("crop", resolution) for resolution in (224, 160, 32)] == [256, 182, 36]
    assert all((resize_px("crop", resolution) - resolution) % 2 == 0 for resolution in range(1, 600))
    assert resize_px("shift", 224) == resize_px("none", 224) == 224


def test_shifted_moves_whole_images_and_fills_the_edge() -> None:
    pixels = torch.arange(1, 257, dtype=torch.uint8).view(1, 1, 16, 16).expand(200, 3, 16, 16)
    fill = torch.tensor([7, 8, 9], dtype=torch.uint8)
    offsets = draw_offsets(200, 16, seeded())
    canvas = fill.view(3, 1, 1).expand(3, 20, 20).clone()
    canvas[:, 2:-2, 2:-2] = pixels[0]
    for image, (top, left) in zip(shifted(pixels, offsets, fill), offsets.tolist(), strict=True):
        assert torch.equal(image, canvas[:, top : top + 16, left : left + 16])
    assert len({tuple(offset) for offset in offsets.tolist()}) == 25  # 2 pixels of 16 each way, all in 200 draws


def test_mirrored_flips_about_half() -> None:
    pixels = torch.arange(16, dtype=torch.uint8).expand(400, 3, 4, 16)
    flips = draw("shift", 400, 16, True, seeded()).flips
    assert flips is not None
    result = mirrored(pixels, flips)
    assert torch.equal(result[flips], pixels.flip(3)[flips])
    assert torch.equal(result[~flips], pixels[~flips])
    assert 150 < int(flips.sum()) < 250


@pytest.mark.parametrize("size", [8, 31, 64])
def test_the_box_of_everything_changes_nothing(size: int) -> None:
    pixels = noise(2, size)
    boxes = torch.tensor([[0.0, 0.0, size, size]]).expand(2, 4)
    assert torch.equal(cropped(pixels, boxes, size), pixels)
    backwards = pixels.contiguous(memory_format=torch.channels_last)  # as decoders hand them over
    assert torch.equal(cropped(backwards, boxes, size), pixels)


def test_a_box_on_whole_pixels_is_cut_out() -> None:
    pixels = noise(2, 20)
    boxes = torch.tensor([[3.0, 5.0, 8.0, 8.0], [12.0, 0.0, 8.0, 8.0]])
    found = cropped(pixels, boxes, 8)
    assert torch.equal(found[0], pixels[0, :, 5:13, 3:11])
    assert torch.equal(found[1], pixels[1, :, 0:8, 12:20])


@given(st.floats(0, 15), st.floats(0, 15), st.floats(2, 17), st.floats(2, 17), st.integers(1, 24))
@settings(max_examples=50, deadline=None)
def test_a_ramp_stays_a_ramp(left: float, top: float, width: float, height: float, resolution: int) -> None:
    """Bilinear interpolation of 7x + 3y is exact; only what is closer to the edge than half a pixel is held."""
    width, height = min(width, 20 - left), min(height, 20 - top)
    x, y = np.meshgrid(np.arange(20), np.arange(20))
    pixels = torch.from_numpy((7 * x + 3 * y).astype(np.uint8)).expand(1, 3, 20, 20)
    found = cropped(pixels, torch.tensor([[left, top, width, height]]), resolution)[0, 0].numpy()
    centres = (np.arange(resolution) + 0.5) / resolution
    at_x, at_y = (np.clip(a + b * centres - 0.5, 0, 19) for a, b in ((left, width), (top, height)))
    assert np.abs(found - (7 * at_x[None, :] + 3 * at_y[:, None])).max() <= 0.501


def test_boxes_are_within_their_bounds_and_areas_are_uniform() -> None:
    boxes = draw_boxes(20_000, 100, seeded()).double()
    left, top, width, height = boxes.T
    assert (boxes[:, :2] >= 0).all()
    assert (left + width <= 100 + 1e-4).all()
    assert (top + height <= 100 + 1e-4).all()
    area, aspect = width * height / 100**2, width / height
    assert area.min() >= 0.08 - 1e-6
    assert 0.75 - 1e-5 <= aspect.min() < 0.76
    assert 1.32 < aspect.max() <= 4 / 3 + 1e-5
    shares = torch.histc(area, 10, min=0.08, max=1) / len(area)
    assert (shares - 0.1).abs().max() < 0.01  # five standard errors
    assert abs(aspect.log().mean().item()) < 0.01
    assert aspect[area < 0.5].log().std().item() == pytest.approx(math.log(4 / 3) / math.sqrt(3), rel=0.03)
    room = left[width < 90] / (100 - width[width < 90])
    assert room.mean().item() == pytest.approx(0.5, abs=0.01)


def test_the_smallest_area_is_an_argument() -> None:
    boxes = draw_boxes(500, 1, seeded(), smallest=0.9)
    assert (boxes[:, 2] * boxes[:, 3]).min() >= 0.9 - 1e-6


@pytest.mark.parametrize("augment", ["none", "shift", "crop"])
@pytest.mark.parametrize("mirrors", [False, True])
def test_views_of_a_share_are_the_rows_of_the_views_of_all(augment: str, mirrors: bool) -> None:
    pixels, fill = noise(12, 18), torch.zeros(3, dtype=torch.uint8)
    views = draw(augment, 12, 18, mirrors, seeded(3))  # type: ignore[arg-type]
    resolution = 16 if augment == "crop" else 18
    whole = views.of(pixels, fill, resolution)
    assert whole.shape == (12, 3, resolution, resolution)
    assert whole.dtype == torch.uint8
    shares = [views.rows(slice(a, a + 4)).of(pixels[a : a + 4], fill, resolution) for a in (0, 4, 8)]
    assert torch.equal(torch.cat(shares), whole)
    again = draw(augment, 12, 18, mirrors, seeded(3)).of(pixels, fill, resolution)  # type: ignore[arg-type]
    assert torch.equal(again, whole)
    assert torch.equal(whole, pixels) == (augment == "none")
    other = draw(augment, 12, 18, mirrors, seeded(4)).of(pixels, fill, resolution)  # type: ignore[arg-type]
    assert torch.equal(whole, other) == (augment == "none")


def test_each_image_of_a_batch_has_its_own_view() -> None:
    pixels = noise(1, 36).expand(8, -1, -1, -1)
    found = draw("crop", 8, 36, False, seeded()).of(pixels, torch.zeros(3, dtype=torch.uint8), 32)
    assert len({image.numpy().tobytes() for image in found}) == 8
