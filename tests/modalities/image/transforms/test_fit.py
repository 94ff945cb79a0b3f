"""Rectangles, and whole images in place of centre crops, against Pillow's and torchvision's own functions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from resnets.core.errors import UsageError
from resnets.modalities.image.preprocessing import Color, Fit, Interpolation, Preprocessing
from resnets.modalities.image.read.pillow import open_image
from resnets.modalities.image.transforms import RandomResizedCrop, ScaledCrop
from resnets.modalities.image.transforms.resize import prepare
from resnets.modalities.image.tta import tta_crops
from tests.conftest import channels_first, noise

PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
SIDES = st.integers(1, 60)
FILTERS = st.sampled_from(list(PILLOW))


def channels(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return channels_first(np.asarray(image))


@settings(max_examples=300, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, FILTERS, st.sampled_from([1, 3]))
def test_a_letterbox_is_pillows_pad(
    width: int, height: int, columns: int, rows: int, how: Interpolation, depth: int
) -> None:
    image = Image.fromarray(noise(width, height, depth))
    fill = (200, 10, 90)
    plain = {"color": "L", "mean": (0.5,), "std": (0.5,)} if depth == 1 else {}
    p = Preprocessing(crop=(rows, columns), fit="letterbox", fill=fill, interpolation=how, **plain)  # type: ignore[arg-type]
    grey = Image.new("RGB", (1, 1), fill).convert("L").getpixel((0, 0))
    if min(width / height * rows, height / width * columns) <= 0.5:
        return  # Pillow's would be empty
    theirs = ImageOps.pad(image, (columns, rows), PILLOW[how], color=fill if depth == 3 else grey)  # type: ignore[arg-type]
    np.testing.assert_array_equal(prepare(image, p), channels(theirs))


@pytest.mark.parametrize("size", [(1, 9000), (9000, 1)])
def test_a_letterbox_of_a_hair_is_one_pixel_wide(size: tuple[int, int]) -> None:
    p = Preprocessing(crop=(30, 40), fit="letterbox", fill=(0, 0, 0))
    found = prepare(Image.new("RGB", size, (255, 255, 255)), p)
    assert (found[0] > 0).sum() == (30 if size[0] == 1 else 40)


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, FILTERS)
def test_a_squashed_image_is_torchvisions_resize(
    width: int, height: int, columns: int, rows: int, how: Interpolation
) -> None:
    image = Image.fromarray(noise(width, height))
    p = Preprocessing(crop=(rows, columns), fit="squash", interpolation=how)
    theirs = tv.resize(image, [rows, columns], InterpolationMode(how), antialias=True)
    np.testing.assert_array_equal(prepare(image, p), channels(theirs))


@settings(max_examples=300, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 20), FILTERS)
def test_a_rectangle_is_torchvisions_resize_and_centre_crop(
    width: int, height: int, columns: int, rows: int, more: int, how: Interpolation
) -> None:
    image = Image.fromarray(noise(width, height))
    shorter = min(rows, columns) + more
    p = Preprocessing(resize=shorter, crop=(rows, columns), interpolation=how)
    box = [round(side * shorter / min(rows, columns)) for side in (rows, columns)]
    if width * box[0] <= height * box[1]:
        covering = [max(box[0], int(box[1] * height / width)), box[1]]
    else:
        covering = [box[0], max(box[1], int(box[0] * width / height))]
    theirs = tv.center_crop(tv.resize(image, covering, InterpolationMode(how), antialias=True), [rows, columns])
    found = prepare(image, p)
    assert found.shape == (3, rows, columns)
    np.testing.assert_array_equal(found, channels(theirs))


@pytest.mark.parametrize("size", [(640, 480), (500, 375), (480, 640), (300, 300), (2000, 90)])
def test_a_wide_input_of_photographs_keeps_their_shape(size: tuple[int, int]) -> None:
    # A circle stays one: of a disc in the middle, the crop has as many rows as columns.
    rows, columns = np.mgrid[: size[1], : size[0]]
    radius = min(size) / 4
    disc = (rows - size[1] / 2 + 0.5) ** 2 + (columns - size[0] / 2 + 0.5) ** 2 < radius**2
    image = Image.fromarray((disc * 255).astype(np.uint8)).convert("RGB")
    for fit in ("crop", "letterbox"):
        p = Preprocessing(resize=120, crop=(120, 160), fit=fit, fill=(0, 0, 0))
        seen = prepare(image, p)[0] > 127
        assert abs(int(seen.any(1).sum()) - int(seen.any(0).sum())) <= 2, fit
    squashed = prepare(image, Preprocessing(crop=(120, 160), fit="squash"))[0] > 127
    assert (abs(int(squashed.any(1).sum()) - int(squashed.any(0).sum())) <= 2) == (size[0] * 3 == size[1] * 4)


@pytest.mark.parametrize("color", ["RGB", "BGR", "L"])
def test_the_fill_is_red_green_and_blue_whatever_the_colour(color: Color) -> None:
    levels = (0.5,) if color == "L" else (0.5,) * 3
    p = Preprocessing(crop=(8, 16), fit="letterbox", fill=(250, 120, 5), color=color, mean=levels, std=levels)
    corner = prepare(open_image(Image.fromarray(noise(8, 8)), color), p)[:, 0, 0].tolist()
    grey = round(0.299 * 250 + 0.587 * 120 + 0.114 * 5)
    assert corner == {"RGB": [250, 120, 5], "BGR": [5, 120, 250], "L": [grey]}[color]


@pytest.mark.parametrize("shape", [(24, 24), (24, 36), (40, 20)])
@pytest.mark.parametrize("how", ["nearest", "bilinear", "bicubic"])
def test_a_random_crop_is_resized_to_the_rectangle_as_torchvision_does(
    how: Interpolation, shape: tuple[int, int]
) -> None:
    saved, transform = noise(90, 70), RandomResizedCrop(scale=(0.3, 1.0))
    p = Preprocessing(resize=48, crop=shape, interpolation=how)
    for number in range(20):
        u = np.random.default_rng(number).random(RandomResizedCrop.numbers, np.float32)
        left, top, width, height = transform.box((90, 70), u, shape[1] / shape[0])
        theirs = tv.resized_crop(
            Image.fromarray(saved), top, left, height, width, list(shape), InterpolationMode(how), antialias=True
        )
        np.testing.assert_array_equal(np.asarray(transform(Image.fromarray(saved), u, p)), np.asarray(theirs))
        if transform.takes_pixels(p):
            fast = transform.crop_pixels(torch.from_numpy(channels_first(saved)), u, p).numpy()
            off = np.abs(fast.astype(int) - channels(theirs).astype(int))
            assert off.mean() < 1
            assert off.max() <= 2 or how == "bicubic"  # which clips noise between its two passes


def test_random_crops_of_a_rectangle_distort_no_more_than_those_of_a_square() -> None:
    transform = RandomResizedCrop(scale=(0.05, 0.3), ratio=(0.8, 1.25))
    for number in range(200):
        u = np.random.default_rng(number).random(RandomResizedCrop.numbers, np.float32)
        _, _, width, height = transform.box((3000, 3000), u, 2.0)
        assert 0.79 <= width / height / 2 <= 1.26
        assert transform.box((50, 90), u) == transform.box((50, 90), u, 1.0)


def test_a_scaled_crop_of_a_rectangle_lies_in_the_image() -> None:
    image = Image.new("RGB", (70, 90), (9, 9, 9))
    p = Preprocessing(resize=40, crop=(32, 48))
    for number in range(40):
        u = np.random.default_rng(number).random(ScaledCrop.numbers, np.float32)
        found = np.asarray(ScaledCrop(min_size=32, max_size=50)(image, u, p))
        assert found.shape == (32, 48, 3)
        assert (found == 9).all()  # nothing outside the image, which would be black


def test_ten_crops_of_a_rectangle_are_its_corners() -> None:
    image = Image.fromarray(noise(60, 40))
    crops = tta_crops(image, Preprocessing(resize=20, crop=(20, 24)), "ten-crop")
    whole = channels(image.resize((30, 20), Image.Resampling.BILINEAR))
    expected = [whole[:, :, :24], whole[:, :, 6:], whole[:, :, :24], whole[:, :, 6:], whole[:, :, 3:27]]
    for found, each in zip(crops, expected, strict=False):
        np.testing.assert_array_equal(found, each)
    assert {each.shape for each in tta_crops(image, Preprocessing(resize=24, crop=(20, 24)), "shift")} == {(3, 20, 24)}


@pytest.mark.parametrize("tta", ["ten-crop", "multi-scale"])
def test_whole_images_have_no_crops_at_several_places(tta: str) -> None:
    p = Preprocessing(crop=8, fit="squash")
    assert tta not in p.tta
    with pytest.raises(UsageError, match="fit=squash takes the whole image: center, flip, shift"):
        tta_crops(Image.new("RGB", (9, 9)), p, tta)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(st.integers(20, 200), st.integers(20, 200), st.sampled_from(["crop", "letterbox", "squash"]), st.booleans())
def test_the_box_of_an_input_is_what_it_shows(width: int, height: int, fit: Fit, wide: bool) -> None:
    """An image whose colours say where each of its pixels is, against where it lands in the input."""
    p = Preprocessing(resize=40, crop=(24, 36) if wide else (32, 32), fit=fit, antialias=False)
    rows, columns = np.mgrid[0:height, 0:width]
    places = np.stack([columns * 255 / (width - 1), rows * 255 / (height - 1), np.full(rows.shape, 200)], -1)
    shown = prepare(Image.fromarray(places.round().astype(np.uint8)), p).astype(np.float64)
    left, top, right, bottom = p.part_of((width, height))
    high, wide_ = p.shape()
    x = left + (np.arange(wide_) + 0.5) * (right - left) / wide_ - 0.5  # of the middle of each pixel of the input
    y = top + (np.arange(high) + 0.5) * (bottom - top) / high - 0.5
    inside = shown[2] == 200
    expected = np.stack(np.meshgrid(x * 255 / (width - 1), y * 255 / (height - 1))).clip(0, 255)
    assert inside.any()
    for channel in range(2):
        error = np.abs(shown[channel] - expected[channel])[inside]
        assert error.max() <= 1 + 255 / (min(width, height) - 1) * 0.5
