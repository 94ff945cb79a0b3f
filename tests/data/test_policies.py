"""Policies of operations in the batches of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from resnets.modalities.image.datasets.folder import FolderDataset, read_classes
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.modalities.image.transforms import (
    Augmentations,
    AutoAugment,
    Flip,
    Policy,
    RandAugment,
    RandomResizedCrop,
    TrivialAugmentWide,
)
from tests.conftest import noise
from tests.data.conftest import EVERYTHING
from tests.data.test_loader import UNIT, batches, same

POLICIES = (
    RandAugment(),
    RandAugment(scale="timm-increasing", magnitude=7, std=0.5, p=0.5),
    TrivialAugmentWide(),
    AutoAugment(),
)


@pytest.mark.parametrize("policy", POLICIES)
def test_batches_are_the_same_with_and_without_workers(folder: FolderDataset, policy: Policy) -> None:
    augmentations = replace(EVERYTHING, auto_augment=policy)
    made = batches(folder, augmentations)
    changed = False
    for step, batch in enumerate(batches(folder, augmentations, workers=2).between(0, 3)):
        assert same(batch, made.make(step))
        changed |= not same(batch, batches(folder, EVERYTHING).make(step))
    assert changed


def test_a_policy_changes_the_crops_and_leaves_their_numbers_alone(folder: FolderDataset) -> None:
    """Images that the policy leaves as they are have the crop that they have without it."""
    augmentations = Augmentations(crop=RandomResizedCrop())
    plain = batches(folder, augmentations).make(1)["inputs"]
    policy = RandAugment(scale="timm", magnitude=5, p=0.3)
    changed = batches(folder, replace(augmentations, auto_augment=policy)).make(1)["inputs"]
    alike = (plain == changed).flatten(1).all(1)
    assert alike.any()
    assert not alike.all()


@pytest.mark.parametrize("color", ["RGB", "BGR", "L"])
def test_without_a_crop_the_policy_works_on_the_image_as_it_is_evaluated(color: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
    pixels = pixels[:, :1] if color == "L" else pixels
    dataset = InMemoryDataset(("a", "b"), np.arange(6) % 2, pixels)
    channels = pixels.shape[1]
    settings = replace(UNIT, color=color, mean=(0.0,) * channels, std=(1 / 255,) * channels)  # type: ignore[arg-type]
    augmentations = Augmentations(auto_augment=RandAugment(layers=1))
    loader = batches(dataset, augmentations, batch=6, preprocessing=settings)
    ids = loader.make(0)["ids"]
    found = loader.make(0)["inputs"]
    drawn = augmentations.decoding_numbers(loader._rng(0))

    def expected(index: int, u: NDArray[np.float32]) -> NDArray[np.uint8]:
        image = dataset.image(index, "L" if color == "L" else "RGB")
        array = np.asarray(augmentations.auto_augment(image, u))  # type: ignore[misc]
        array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        return array[::-1].copy() if color == "BGR" else array

    wanted = np.stack([expected(int(index), u) for index, u in zip(ids, drawn, strict=True)])
    torch.testing.assert_close(found, torch.from_numpy(wanted).float(), atol=1e-4, rtol=0)


def test_images_of_a_policy_are_read_anew_and_not_held() -> None:
    assert not Augmentations(auto_augment=AutoAugment()).holds
    assert Augmentations().holds


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_policy_that_is_never_applied_changes_no_bit(tmp_path: Path, ending: str) -> None:
    """Nor does its way through Pillow, of an image that was decoded without it either."""
    for number in range(6):
        (tmp_path / "abc"[number % 3]).mkdir(exist_ok=True)
        Image.fromarray(noise(40, 30, seed=number)).save(tmp_path / "abc"[number % 3] / f"{number}.{ending}")
    dataset = read_classes(tmp_path, None, [])
    augmentations = Augmentations(crop=RandomResizedCrop(), transforms=(Flip(),))
    never = replace(augmentations, auto_augment=RandAugment(p=0.0))
    plain, other = (batches(dataset, each, batch=6).make(0) for each in (augmentations, never))
    assert same(plain, other)
