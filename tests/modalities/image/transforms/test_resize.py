from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

from resnets.core.errors import DataError
from resnets.modalities.image.preprocessing import Color, Interpolation, Preprocessing
from resnets.modalities.image.read.pillow import MAX_PIXELS, open_image
from resnets.modalities.image.transforms.resize import center_crop, prepare, resize
from tests.conftest import channels_first, noise

HOW: dict[Interpolation, InterpolationMode] = {
    "nearest": InterpolationMode.NEAREST,
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
}


def pixels(image: Image.Image) -> NDArray[np.int64]:
    return np.asarray(image).astype(np.int64)


@st.composite
def preprocessings(draw: st.DrawFn) -> Preprocessing:
    size = draw(st.integers(1, 40))
    return Preprocessing(resize=size, crop=draw(st.integers(1, size)), interpolation=draw(st.sampled_from(list(HOW))))


@settings(max_examples=400, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), preprocessings(), st.sampled_from([1, 3]))
def test_the_centre_crop_is_torchvisions_to_the_bit(
    width: int, height: int, preprocessing: Preprocessing, channels: int
) -> None:
    p = preprocessing
    image = Image.fromarray(noise(width, height, channels))
    theirs = transforms.Compose([transforms.Resize(p.resize, HOW[p.interpolation]), transforms.CenterCrop(p.crop)])
    ours = center_crop(image, p)
    assert ours.size == (p.crop, p.crop)
    np.testing.assert_array_equal(pixels(ours), pixels(theirs(image)))


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (501, 333), (224, 224), (256, 256), (640, 257), (100, 80)])
def test_the_centre_crop_of_imagenet_is_torchvisions_to_the_bit(size: tuple[int, int]) -> None:
    image = Image.fromarray(noise(*size))
    theirs = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    np.testing.assert_array_equal(pixels(center_crop(image, Preprocessing())), pixels(theirs(image)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(17, 11), (60, 70)])
@pytest.mark.parametrize("how", HOW)
def test_without_antialias_resizing_is_torchs(how: Interpolation, size: tuple[int, int], channels: int) -> None:
    saved = noise(41, 33, channels)
    theirs = tv.resize(torch.tensor(channels_first(saved)).float(), [size[1], size[0]], HOW[how], antialias=False)
    ours = resize(Image.fromarray(saved), size, how, antialias=False)
    assert ours.mode == ("L" if channels == 1 else "RGB")
    np.testing.assert_array_equal(channels_first(np.asarray(ours)), theirs.round().clamp(0, 255).byte().numpy())


@pytest.mark.parametrize("how", HOW)
def test_without_antialias_the_centre_crop_is_torchvisions_of_tensors(how: Interpolation) -> None:
    saved = noise(71, 50)
    theirs = tv.resize(torch.tensor(channels_first(saved)).float(), [30], HOW[how], antialias=False)
    p = Preprocessing(resize=30, crop=24, interpolation=how, antialias=False)
    expected = tv.center_crop(theirs, [24]).round().clamp(0, 255).byte()
    np.testing.assert_array_equal(prepare(Image.fromarray(saved), p), expected.numpy())


def test_antialias_decides_how_an_image_is_shrunk() -> None:
    # Columns of black and white: averaged to grey with, picked out at random places without.
    stripes = Image.fromarray(np.tile(np.array([0, 255], np.uint8), (64, 32)))
    spread = {a: pixels(resize(stripes, (9, 9), "bilinear", antialias=a)).std() for a in (True, False)}
    assert spread[True] < 10
    assert spread[False] > 40


@pytest.mark.parametrize("color", ["RGB", "BGR", "L"])
def test_channels_come_in_the_order_that_colour_names(color: Color) -> None:
    saved = noise(8, 8)
    unit = (0.5,) if color == "L" else (0.5,) * 3
    p = Preprocessing(resize=8, crop=8, color=color, mean=unit, std=unit)
    prepared = prepare(open_image(Image.fromarray(saved), color), p)
    luma = (saved @ np.array([0.299, 0.587, 0.114]))[..., None]
    expected = {"RGB": saved, "BGR": saved[..., [2, 1, 0]], "L": luma}[color]
    assert prepared.dtype == np.uint8
    np.testing.assert_allclose(prepared, expected.transpose(2, 0, 1), atol=1 if color == "L" else 0)


def test_an_image_too_narrow_to_resize_is_refused_by_name() -> None:
    image = Image.new("L", (1, 40_000))
    assert MAX_PIXELS < 256 * 256 * 40_000
    with pytest.raises(DataError, match=r"hair\.png of 1 x 40000 pixels is too narrow"):
        prepare(image, Preprocessing(), "hair.png")
