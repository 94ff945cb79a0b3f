"""A small folder of images, and everything that can be done to it while training."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnets.modalities.image.datasets.folder import FolderDataset, read_classes
from resnets.modalities.image.preprocessing import Preprocessing
from resnets.modalities.image.transforms import (
    Affine,
    Augmentations,
    ColorJitter,
    CutMix,
    Flip,
    Mixup,
    PaddedCrop,
    RandomResizedCrop,
)
from tests.conftest import write_tree

SMALL = Preprocessing(resize=16, crop=12)
EVERYTHING = Augmentations(
    crop=RandomResizedCrop(),
    transforms=(Flip(), PaddedCrop(padding=2), Affine(), ColorJitter(hue=0.1)),
    mix=(Mixup(), CutMix()),
)


@pytest.fixture
def folder(tmp_path: Path) -> FolderDataset:
    return read_classes(write_tree(tmp_path, {"cat": 9, "dog": 8, "owl": 4}), None, [])
