"""RandAugment against torchvision's and timm's on fixed draws."""

from __future__ import annotations

import random

import numpy as np
import pytest
import timm.data.auto_augment as timm
import torchvision.transforms as theirs
from PIL import Image

from resnets.core.errors import UsageError
from resnets.modalities.image.transforms import RandAugment
from resnets.modalities.image.transforms.magnitudes import SIGNED
from resnets.modalities.image.transforms.rand_augment import OPERATIONS
from tests.modalities.image.transforms.policies import FILL, by_torchvision, chosen, photo, torchvision_name

INCREASING = {"posterize", "solarize", "color", "contrast", "brightness", "sharpness"}
OF_TIMM = RandAugment(scale="timm-increasing", magnitude=7, std=0.5, p=0.5, interpolation="random", fill=FILL)


def numbers(ours: RandAugment, *layers: tuple[int, float, float, float, float]) -> np.ndarray:
    """The uniform numbers of layers that pick operation `layer[0]`; the others as they are."""
    count = len(OPERATIONS[ours.scale])
    return np.array([(chosen(number, count), *rest) for number, *rest in layers], np.float32).reshape(-1)


@pytest.mark.parametrize("operation", OPERATIONS["torchvision"])
def test_every_operation_at_every_magnitude_gives_torchvisions_pixels(operation: str) -> None:
    image = photo(331, 40)
    space = theirs.RandAugment()._augmentation_space(31, (image.height, image.width))
    magnitudes, signed = space[torchvision_name(operation)]
    assert signed == (operation in SIGNED)
    number = OPERATIONS["torchvision"].index(operation)  # type: ignore[arg-type]
    for magnitude in range(0, 31, 3):
        ours = RandAugment(layers=1, magnitude=magnitude, fill=FILL)
        value = float(magnitudes[magnitude]) if magnitudes.ndim else 0.0
        for sign in (0.2, 0.7) if signed else (0.2,):
            expected = by_torchvision(image, operation, -value if sign > 0.5 else value, "bilinear")
            np.testing.assert_array_equal(np.asarray(ours(image, numbers(ours, (number, 0, 0, sign, 0)))), expected)


@pytest.mark.parametrize("scale", ["timm", "timm-increasing"])
@pytest.mark.parametrize("operation", OPERATIONS["timm"])
def test_every_operation_at_every_magnitude_gives_timms_pixels(
    operation: str, scale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = photo(48, 33)
    name = torchvision_name(operation)
    name += "Rel" if name.startswith("Translate") else ""
    name += "Increasing" if scale == "timm-increasing" and operation in INCREASING else ""
    number = OPERATIONS["timm"].index(operation)  # type: ignore[arg-type]
    for magnitude in (0, 1, 3.3, 6.51, 7, 9.999, 10):
        ours = RandAugment(layers=1, magnitude=magnitude, scale=scale, interpolation="bicubic", fill=FILL)  # type: ignore[arg-type]
        for sign in (0.2, 0.7):
            # Theirs moves pixels to the left where ours moves them to the right; both have both directions.
            opposite = operation.startswith("translate")
            monkeypatch.setattr(random, "random", lambda value=1 - sign if opposite else sign: value)
            hparams = {"img_mean": FILL, "interpolation": Image.Resampling.BICUBIC}
            if operation == "posterize" and ours.argument("posterize", magnitude, False, image.size) == 0:
                expected = Image.new("RGB", image.size)  # newer versions of Pillow refuse what timm asks for here
            else:
                expected = timm.AugmentOp(name, prob=1.0, magnitude=magnitude, hparams=hparams)(image)
            changed = ours(image, numbers(ours, (number, 0, 0, sign, 0)))
            np.testing.assert_array_equal(np.asarray(changed), np.asarray(expected), f"{magnitude} {sign}")


def test_the_operations_are_timms_and_torchvisions() -> None:
    of_timm = timm.rand_augment_transform("rand-m7-mstd0.5-inc1", {})
    names = {op.name.removesuffix("Increasing").removesuffix("Rel") for op in of_timm.ops}
    assert names == {torchvision_name(each) for each in OPERATIONS["timm-increasing"]}
    assert len(OPERATIONS["timm-increasing"]) == len(of_timm.ops)
    assert {(op.prob, op.magnitude, op.magnitude_std, of_timm.num_layers) for op in of_timm.ops} == {(0.5, 7, 0.5, 2)}
    of_torchvision = theirs.RandAugment()
    space = of_torchvision._augmentation_space(31, (10, 10))
    assert set(space) == {torchvision_name(each) for each in OPERATIONS["torchvision"]}
    default = RandAugment()
    assert (of_torchvision.num_ops, of_torchvision.magnitude) == (default.layers, default.magnitude)


def test_layers_follow_one_another_and_the_probability_leaves_some_out() -> None:
    image = photo()
    invert = OPERATIONS["timm-increasing"].index("invert")
    rotate = OPERATIONS["timm-increasing"].index("rotate")
    once = OF_TIMM(image, numbers(OF_TIMM, (invert, 0.4, 0.5, 0, 0), (rotate, 0.6, 0.5, 0, 0)))
    np.testing.assert_array_equal(np.asarray(once), 255 - np.asarray(image))
    both = OF_TIMM(image, numbers(OF_TIMM, (invert, 0.4, 0.5, 0, 0), (rotate, 0.4, 0.5, 0.9, 0.9)))
    expected = once.rotate(-21, Image.Resampling.BICUBIC, fillcolor=FILL)
    np.testing.assert_array_equal(np.asarray(both), np.asarray(expected))


def test_the_noise_of_the_magnitude_is_normal_and_stays_in_range() -> None:
    u = np.random.default_rng(2).random(20_000, np.float32)
    drawn = np.array([OF_TIMM._magnitude(float(each)) for each in u])
    assert drawn.mean() == pytest.approx(7, abs=0.02)
    assert drawn.std() == pytest.approx(0.5, abs=0.02)
    wide = RandAugment(scale="timm", magnitude=9, std=5)
    assert {wide._magnitude(0.0), wide._magnitude(1 - 2**-24)} == {0.0, 10.0}


def test_grey_images_stay_grey() -> None:
    image = photo().convert("L")
    for row in np.random.default_rng(3).random((100, OF_TIMM.numbers), np.float32):
        changed = OF_TIMM(image, row)
        assert (changed.mode, changed.size) == (image.mode, image.size)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"magnitude": 31}, "from 0 to 30 with scale=torchvision"),
        ({"magnitude": 11, "scale": "timm"}, "from 0 to 10 with scale=timm"),
        ({"layers": 0}, "layers must be from 1"),
        ({"p": 1.5}, "p must be in"),
        ({"std": -1}, "std must be 0 or more"),
        ({"scale": "tim"}, "did you mean 'timm'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RandAugment(**settings)  # type: ignore[arg-type]
