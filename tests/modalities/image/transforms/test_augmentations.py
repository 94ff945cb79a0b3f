from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import ClassVar, get_args, get_type_hints

import pytest
import torch

from resnets.core.errors import UsageError
from resnets.modalities.image.transforms import (
    Affine,
    ColorJitter,
    Crop,
    CutMix,
    Cutout,
    Flip,
    Mix,
    Mixup,
    PaddedCrop,
    RandomResizedCrop,
    Transform,
)
from tests.modalities.image.transforms.samples import photos, uniforms


@pytest.mark.parametrize("transform", [PaddedCrop(), Flip(), Affine(shear=5), ColorJitter(hue=0.2), Cutout(size=3)])
def test_each_sample_depends_on_its_own_numbers_alone(transform: Transform) -> None:
    images, u = photos(6), uniforms(transform, 6)
    together = transform(images, u)
    assert together.shape == images.shape
    alone = torch.cat([transform(images[i : i + 1], u[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together, alone, rtol=0, atol=0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomResizedCrop(scale=(0.0, 1.0)),
        lambda: RandomResizedCrop(scale=(0.5, 0.2)),
        lambda: RandomResizedCrop(scale=(0.5, 1.1)),
        lambda: RandomResizedCrop(ratio=(2.0, 1.0)),
        lambda: PaddedCrop(padding=-1),
        lambda: Cutout(size=0),
        lambda: Flip(p=1.5),
        lambda: Affine(zoom=1.0),
        lambda: Affine(shear=90.0),
        lambda: Affine(degrees=-1.0),
        lambda: ColorJitter(contrast=-0.1),
        lambda: ColorJitter(hue=0.6),
        lambda: Mixup(alpha=0.0),
        lambda: CutMix(alpha=math.nan),
    ],
)
def test_settings_out_of_range_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        make()


def test_settings_are_imported_without_torch_and_numpy() -> None:
    check = "import sys, resnets.modalities.image.transforms; sys.exit(bool({'torch', 'numpy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize("kind", get_args(Crop | Transform | Mix), ids=lambda kind: kind.__name__)
def test_every_augmentation_says_how_many_numbers_it_needs(kind: type[Crop | Transform | Mix]) -> None:
    assert isinstance(kind.numbers, int)
    assert get_type_hints(kind)["numbers"] == ClassVar[int]
    assert "numbers" not in {field.name for field in fields(kind)}  # it is no setting, so no file has it
