"""Images of any size as networks get them, with their masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnets.core.errors import DataError
from resnets.data.batch_rng import StepRNG
from resnets.data.sampler import EpochSampler
from resnets.modalities.base import Subset
from resnets.modalities.batch import Batch
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.canvas_reader import CanvasReader
from resnets.modalities.image.datasets.masks import MaskDataset, open_masks
from resnets.modalities.image.transforms import ColorJitter, Flip
from resnets.modalities.image.transforms.random_scale_crop import RandomScaleCrop
from tests.conftest import truncate
from tests.modalities.image.mask_folders import write_masks

PLAIN = Canvas(crop=(8, 8), mean=(0.5, 0.4, 0.3), std=(1.0, 1.0, 1.0))
NO_SCALE = RandomScaleCrop(min_scale=1.0, max_scale=1.0)


@pytest.fixture
def dataset(tmp_path: Path) -> MaskDataset:
    found = open_masks(write_masks(tmp_path, {"train": 4})).train
    assert isinstance(found, MaskDataset)
    return found


def rng(step: int = 0, batch: int = 4, rows: slice | None = None) -> StepRNG:
    sampler = EpochSampler(4, batch, 0)
    return StepRNG(0, step, sampler, rows or slice(0, batch), batch, torch.device("cpu"))


def test_evaluation_gets_the_whole_image(dataset: MaskDataset) -> None:
    loaded = CanvasReader(Canvas(resize=24)).load(dataset, 1, "center")
    assert [each.shape for each in loaded.inputs] == [(3, 24, 40)]
    assert loaded.size == (12, 20)
    unchanged = CanvasReader(Canvas()).load(dataset, 1, "center").inputs[0]
    assert np.array_equal(unchanged.transpose(1, 2, 0), np.asarray(dataset.image(1, "RGB")))


def test_flips_of_test_time_augmentation_are_marked(dataset: MaskDataset) -> None:
    loaded = CanvasReader(Canvas(resize=24)).load(dataset, 1, "flip")
    assert loaded.mirrored == (False, True)
    assert np.array_equal(loaded.inputs[1], loaded.inputs[0][:, :, ::-1])


def test_samples_fill_their_slots(dataset: MaskDataset) -> None:
    reader = CanvasReader(PLAIN)
    slots = reader.slots(None)
    into = {name: np.full((2, *slot.shape), 77, slot.dtype) for name, slot in slots.items()}
    u = reader.draw(rng()).u
    assert u.shape == (4, reader.numbers)
    for row in range(2):
        sample = reader.sample(Subset(dataset, np.array([3, 1])), row, u[row], None)
        reader.write(sample, {name: values[row] for name, values in into.items()}, None)
        again = reader.sample(dataset, (3, 1)[row], u[row], None)
        assert all(np.array_equal(into[name][row], again[name]) for name in slots)


def test_a_small_image_is_filled_with_the_mean_and_void(dataset: MaskDataset) -> None:
    reader = CanvasReader(
        Canvas(crop=(16, 32), mean=(0.5, 0.4, 0.3), std=(1.0, 1.0, 1.0)), CanvasAugmentations(crop=NO_SCALE)
    )
    sample = reader.sample(dataset, 0, np.zeros(3, np.float32), None)
    assert sample["inputs"][:, 15, 31].tolist() == [128, 102, 76]
    assert (sample["masks"][12:] == 255).all()
    assert np.array_equal(sample["masks"][:12, :20], dataset.mask(0))
    batch = Batch({name: torch.from_numpy(values)[None] for name, values in sample.items()})
    assert reader.finish(batch, rng())["inputs"][0, :, 15, 31].abs().max() <= 0.51 / 255


def test_images_and_masks_move_together_and_colours_alone(dataset: MaskDataset) -> None:
    # Masks drawn as images: after all that moves, each pixel has still the level of its class.
    def drawn(masks: torch.Tensor) -> torch.Tensor:
        return (masks[:, None].expand(-1, 3, -1, -1) % 200).to(torch.uint8) * 50

    masks = torch.from_numpy(np.stack([dataset.mask(i) for i in range(4)]))
    batch = Batch({"inputs": drawn(masks), "masks": masks})
    settings = Canvas(mean=(0.0,) * 3, std=(1.0,) * 3)
    reader = CanvasReader(settings, CanvasAugmentations(transforms=(Flip(), Flip(p=0.9))))
    moved = reader.finish(batch, rng())
    assert torch.equal((moved["inputs"] * 255).round().byte(), drawn(moved["masks"]))
    flipped = [not torch.equal(a, b) for a, b in zip(moved["masks"], masks, strict=True)]
    assert any(flipped)
    assert not all(flipped)
    colored = CanvasReader(settings, CanvasAugmentations(transforms=(ColorJitter(),))).finish(batch, rng())
    assert torch.equal(colored["masks"], masks)
    assert not torch.equal(colored["inputs"], batch["inputs"] / 255)


def test_ranks_finish_their_rows_of_the_same_batch(dataset: MaskDataset) -> None:
    reader = CanvasReader(PLAIN, CanvasAugmentations(transforms=(Flip(), ColorJitter())))
    u = reader.draw(rng()).u
    samples = [reader.sample(dataset, int(i), u[row], None) for row, i in enumerate(rng().sampler.ids(0))]
    batch = Batch({name: torch.from_numpy(np.stack([s[name] for s in samples])) for name in ("inputs", "masks")})
    whole = reader.finish(batch, rng())
    for rows in (slice(0, 1), slice(1, 4)):
        part = reader.finish(batch.rows(rows), rng(rows=rows))
        assert torch.equal(part["masks"], whole["masks"][rows])
        torch.testing.assert_close(part["inputs"], whole["inputs"][rows], rtol=0, atol=1e-6)
        assert np.array_equal(reader.draw(rng(rows=rows)).u, u)  # of the global batch, on each rank


@pytest.mark.parametrize("color", ["BGR", "L"])
def test_colours_are_as_the_settings_say(dataset: MaskDataset, color: Any) -> None:
    one = (0.3,) if color == "L" else (0.1, 0.2, 0.3)
    reader = CanvasReader(Canvas(color=color, mean=one, std=one, crop=(16, 32)), CanvasAugmentations(crop=NO_SCALE))
    sample = reader.sample(dataset, 0, np.zeros(3, np.float32), None)["inputs"]
    image = np.asarray(Image.open(dataset.path(0)).convert("L" if color == "L" else "RGB"))
    expected = image[None] if color == "L" else image[..., ::-1].transpose(2, 0, 1)
    assert np.array_equal(sample[:, :12, :20], expected)
    assert sample[:, 15, 31].tolist() == [round(255 * value) for value in one]


def test_examining_finds_what_is_wrong_with_image_and_mask(dataset: MaskDataset) -> None:
    reader = CanvasReader(PLAIN)
    assert reader.examine(dataset, 0, False) == (None, 0)
    truncate(dataset.mask_path(1))
    truncate(dataset.path(2))
    Image.fromarray(np.zeros((12, 19), np.uint8)).save(dataset.mask_path(3))
    for index, said in ((1, r"trainannot/1\.png is damaged"), (2, r"train/2\.png is damaged"), (3, "19 x 12 pixels")):
        with pytest.raises(DataError, match=said):
            reader.examine(dataset, index, False)
        if index > 1:
            with pytest.raises(DataError, match=said):
                reader.load(dataset, index, "center")
