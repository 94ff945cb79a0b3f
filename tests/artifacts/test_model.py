"""Predictions: the same as a plain pipeline of torch and torchvision on the same image."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode

import resnets
from resnets.artifacts import model_file
from resnets.artifacts.model import Model, load
from resnets.core.errors import DataError, FileError, UsageError
from resnets.modalities.image.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, encode_mean_image
from resnets.models.initialize import create

Levels = NDArray[np.uint8]


def photo(width: int = 90, height: int = 61, seed: int = 0) -> Image.Image:
    """A smooth image without symmetries."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def plainly(model: Model, image: Image.Image, interpolation: str = "bilinear") -> Tensor:
    """Probabilities by torchvision's usual pipeline; `image` is RGB and upright."""
    settings = model.card.preprocessing
    assert isinstance(settings, Preprocessing)
    transform = transforms.Compose(
        [
            transforms.Resize(settings.resize, InterpolationMode(interpolation)),
            transforms.CenterCrop(settings.crop),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    with torch.no_grad():
        return torch.softmax(model.network(transform(image)[None]), 1)[0]


def probabilities(model: Model, image: Any) -> Tensor:
    """Ours, in the order of the classes, through the public `predict`."""
    ranking = dict(model.predict(image, top=100))
    return torch.tensor([ranking[name] for name in model.classes])


def with_preprocessing(model: Model, **changes: Any) -> Model:
    p = replace(model.card.preprocessing, **changes)
    network = create(replace(model.card.spec, channels=p.channels), seed=3).eval()
    return Model(network, replace(model.card, preprocessing=p, spec=network.spec))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("size", [(90, 61), (61, 90), (33, 400), (36, 36), (20, 11), (1, 1), (37, 36)])
def test_predictions_are_those_of_the_plain_pipeline(size: tuple[int, int], interpolation: str, model: Model) -> None:
    model = with_preprocessing(model, interpolation=interpolation)
    image = photo(*size)
    torch.testing.assert_close(probabilities(model, image), plainly(model, image, interpolation), rtol=1e-5, atol=1e-6)


def test_without_antialiasing_images_shrink_as_torchs_tensors_do(model: Model) -> None:
    model = with_preprocessing(model, antialias=False)
    pixels = torch.from_numpy(np.array(photo(200, 150))).permute(2, 0, 1)
    plain = transforms.Compose(
        [transforms.Resize(36, antialias=False), transforms.CenterCrop(32), transforms.ConvertImageDtype(torch.float32)]
    )
    normalized = transforms.functional.normalize(plain(pixels)[None], list(IMAGENET_MEAN), list(IMAGENET_STD))
    with torch.no_grad():
        expected = torch.softmax(model.network(normalized), 1)[0]
    torch.testing.assert_close(probabilities(model, photo(200, 150)), expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(expected, plainly(model, photo(200, 150)), atol=1e-3)


# What a viewer does to the stored pixels for each EXIF orientation (Exif 2.32, tag 274).
UPRIGHT: dict[int, Callable[[Levels], Levels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_images_are_seen_upright(orientation: int, model: Model, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    photo().save(tmp_path / "a.png", exif=exif)
    upright = Image.fromarray(np.ascontiguousarray(UPRIGHT[orientation](np.array(photo()))))
    torch.testing.assert_close(probabilities(model, tmp_path / "a.png"), plainly(model, upright), rtol=1e-5, atol=1e-6)


def sixteen_bits(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    grey = np.array(image.convert("L"))
    deep = grey.astype(np.uint16) * 256 + np.random.default_rng(1).integers(0, 256, grey.shape, np.uint16)
    return Image.fromarray(deep), Image.fromarray(grey)


def grey(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    return image.convert("L"), image.convert("L")


def palette(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    indexed = image.quantize(32)
    return indexed, indexed.convert("RGB")


def transparent(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    return Image.fromarray(np.dstack([np.array(image), np.full(image.size[::-1], 9, np.uint8)])), image


@pytest.mark.parametrize("make", [sixteen_bits, grey, palette, transparent])
def test_images_of_other_modes_count_as_their_colours(
    make: Callable[[Image.Image], tuple[Image.Image, Image.Image]], model: Model, tmp_path: Path
) -> None:
    stored, plain = make(photo())
    stored.save(tmp_path / "a.png")
    expected = plainly(model, plain.convert("RGB"))
    torch.testing.assert_close(probabilities(model, tmp_path / "a.png"), expected, rtol=1e-5, atol=1e-6)


def test_every_way_to_give_a_image_gives_the_same(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    photo().save(path)
    rankings = [
        model.predict(x) for x in (path, str(path), path.read_bytes(), Image.open(io.BytesIO(path.read_bytes())))
    ]
    assert rankings == [rankings[0]] * 4


@pytest.mark.parametrize("color", ["BGR", "L"])
def test_channels_come_in_the_order_that_the_file_says(color: str, model: Model) -> None:
    channels = 1 if color == "L" else 3
    mean, std = IMAGENET_MEAN[:channels], IMAGENET_STD[:channels]
    model = with_preprocessing(model, color=color, mean=mean, std=std, resize=32)
    image = photo(32, 32)
    if color == "L":
        levels = np.array(image.convert("L"), np.float32)[None]
    else:
        levels = np.array(image, np.float32).transpose(2, 0, 1)[::-1]
    x = (levels / 255 - np.array(mean, np.float32)[:, None, None]) / np.array(std, np.float32)[:, None, None]
    with torch.no_grad():
        expected = torch.softmax(model.network(torch.from_numpy(np.ascontiguousarray(x))[None]), 1)[0]
    torch.testing.assert_close(probabilities(model, image), expected, rtol=1e-5, atol=1e-6)


def test_a_mean_image_is_subtracted_pixel_by_pixel(model: Model, tmp_path: Path) -> None:
    mean = np.random.default_rng(2).random((3, 32, 32), np.float32)
    p = Preprocessing(resize=32, crop=32, mean_image=encode_mean_image(mean), std=(1.0, 1.0, 1.0))
    model_file.save(tmp_path / "m", model.network.state_dict(), replace(model.card, preprocessing=p))
    x = np.array(photo(32, 32), np.float32).transpose(2, 0, 1) / 255 - mean
    with torch.no_grad():
        expected = torch.softmax(model.network(torch.from_numpy(x)[None]), 1)[0]
    torch.testing.assert_close(probabilities(load(tmp_path / "m"), photo(32, 32)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("top", "count"), [(1, 1), (3, 3), (7, 7), (50, 7)])
def test_a_ranking_is_the_most_probable_classes_with_the_best_first(top: int, count: int, model: Model) -> None:
    ranking = model.predict(photo(), top=top)
    expected = sorted(zip(plainly(model, photo()).tolist(), model.classes, strict=True), reverse=True)[:count]
    assert [name for name, _ in ranking] == [name for _, name in expected]
    assert [p for _, p in ranking] == pytest.approx([p for p, _ in expected], abs=1e-6)


@pytest.mark.parametrize("top", [0, -1])
def test_a_ranking_of_nothing_is_wrong_use(top: int, model: Model) -> None:
    with pytest.raises(UsageError, match=f"top must be 1 or more, not {top}"):
        model.predict(photo(), top=top)


def test_many_images_are_ranked_in_their_order_whatever_the_batch(model: Model) -> None:
    images = [photo(30 + 5 * i, 61, seed=i) for i in range(7)]
    expected = [model.predict(image) for image in images]
    for batch in (1, 2, 7, 32):
        for ours, single in zip(model.predict_many(images, batch=batch), expected, strict=True):
            assert [name for name, _ in ours] == [name for name, _ in single]
            assert [p for _, p in ours] == pytest.approx([p for _, p in single], abs=1e-6)
    assert model.predict_many([]) == []
    assert model.probabilities([]).shape == (0, 7)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "There is no image at {}"), (b"no image", "{} is not an image"), (b"cut", "{} is damaged")],
    ids=["missing", "text", "cut"],
)
def test_a_missing_or_damaged_image_is_named(content: bytes | None, message: str, model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    if content == b"cut":
        photo().save(path)
        content = path.read_bytes()[:-300]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message.format(path)):
        model.predict(path)


def test_a_saved_model_predicts_the_same_from_its_file_and_its_folder(model: Model, tmp_path: Path) -> None:
    model_file.save(tmp_path / "run" / "model.safetensors", model.network.state_dict(), model.card)
    for place in (tmp_path / "run", str(tmp_path / "run"), tmp_path / "run" / "model.safetensors"):
        loaded = load(place)
        for (name, probability), (own_name, own) in zip(loaded.predict(photo()), model.predict(photo()), strict=True):
            assert name == own_name
            assert probability == pytest.approx(own, rel=1e-5)  # the loaded one has another memory layout
        assert not loaded.network.training


def test_a_run_without_a_model_and_a_missing_path_have_different_errors(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=rf"{tmp_path} is no run: .* If it is data, train on it: resnets train --data"):
        load(tmp_path)
    (tmp_path / "recipe.json").touch()
    with pytest.raises(FileError, match=f"{tmp_path} has no model.safetensors, which is written when training ends"):
        load(tmp_path)
    with pytest.raises(FileError, match=f"There is no model file or run folder {tmp_path / 'gone'}"):
        load(tmp_path / "gone")


def test_a_test_time_augmentation_that_is_not_there_is_refused_with_the_nearest(model: Model, path: Path) -> None:
    message = "There is no test-time augmentation 'tencrop' of images: did you mean ten-crop?"
    for call in (
        lambda: model.check_tta("tencrop"),
        lambda: resnets.evaluate(path, data="digits", tta="tencrop"),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert str(caught.value) == message
