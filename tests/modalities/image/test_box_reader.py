"""Images with boxes and masks of objects as networks get them, in training and in evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnets.core.errors import DataError
from resnets.data.batch_rng import StepRNG
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.modalities.base import Dataset, Subset
from resnets.modalities.batch import Batch
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations, Place
from resnets.modalities.image.canvas_reader import CanvasReader
from resnets.modalities.image.datasets.boxes import BoxDataset
from resnets.modalities.image.transforms import ColorJitter, Flip
from resnets.modalities.image.transforms.random_shortest_size import RandomShortestSize
from resnets.modalities.image.transforms.scale_jitter import ScaleJitter
from tests.conftest import truncate
from tests.modalities.image.box_files import Scene, Thing, write
from tests.modalities.image.mask_folders import write_masks

CANVAS = Canvas(resize=32, crop=(48, 64), targets="instances", mean=(0.5,) * 3, std=(1.0,) * 3)
JITTER = CanvasAugmentations(crop=ScaleJitter(), transforms=(Flip(), ColorJitter()))
RAGGED = ("boxes", "labels", "crowds", "difficult", "areas", "masks")


def square(left: float, top: float, right: float, bottom: float, name: str = "cat", **more: Any) -> Thing:
    """A rectangle, which is its mask as well."""
    polygon = [left, top, right, top, right, bottom, left, bottom]
    return Thing(name, (left, top, right, bottom), segment=[polygon], **more)


SCENES = {
    "all": [
        Scene("a", [square(4, 6, 30, 38, "dog"), square(10, 0, 60, 20, crowd=True, area=99.0)], id=41),
        Scene("b", [square(0, 0, 60, 40, "hen")], id=42),
        Scene("none", id=43),
        Scene("c", [square(2, 2, 9, 9), square(50, 30, 58, 39, "dog"), square(20, 10, 40, 30)], (60, 40), id=44),
        Scene("d", [square(i, i, i + 2, i + 3) for i in range(20)], id=45),
    ]
}


@pytest.fixture
def dataset(tmp_path: Path) -> BoxDataset:
    found = open_dataset(str(write(tmp_path, "coco", SCENES))).train
    assert isinstance(found, BoxDataset)
    return found.masked()


def batches(dataset: Dataset, rows: slice | None = None, *, workers: int = 0, batch: int = 4, **how: Any) -> Batches:
    reader = CanvasReader(CANVAS, how.pop("augmentations", JITTER))
    return Batches(
        dataset, sampler=EpochSampler(len(dataset), batch, 3), reader=reader,
        seed=3, bn_batch=batch, device=torch.device("cpu"), rows=rows, workers=workers, **how,
    )  # fmt: skip


def equal(one: Batch, other: Batch) -> bool:
    same = one.dense.keys() == other.dense.keys() and one.ragged.keys() == other.ragged.keys()
    dense = all(torch.equal(one[name], other[name]) for name in one.dense)
    pairs = ((a, b) for name in one.ragged for a, b in zip(one.ragged[name], other.ragged[name], strict=True))
    return same and dense and all(torch.equal(a, b) for a, b in pairs)


def test_a_batch_has_what_lies_on_each_image(dataset: BoxDataset) -> None:
    batch = batches(dataset).make(0)
    counts = [len(boxes) for boxes in batch.ragged["boxes"]]
    assert {name: (tuple(batch[name].shape), batch[name].dtype) for name in batch.dense} == {
        "ids": ((4,), torch.int64), "inputs": ((4, 3, 48, 64), torch.float32), "regions": ((4, 4), torch.float32),
        "image_ids": ((4,), torch.int64),
    }  # fmt: skip
    assert set(batch.ragged) == set(RAGGED)
    for row, count in enumerate(counts):
        shapes = [tuple(batch.ragged[name][row].shape) for name in RAGGED]
        assert shapes == [(count, 4), *[(count,)] * 4, (count, 48, 64)]
    kinds = [batch.ragged[name][0].dtype for name in RAGGED]
    assert kinds == [torch.float32, torch.int64, torch.bool, torch.bool, torch.float32, torch.uint8]
    assert (batch["image_ids"] == batch["ids"] + 41).all()
    assert len(batch.rows(slice(1, 3)).ragged["boxes"]) == 2


def test_a_batch_is_a_function_of_the_step_whatever_makes_it(dataset: BoxDataset) -> None:
    whole = [batches(dataset).make(step) for step in range(4)]
    assert not equal(whole[0], whole[1])
    for workers in (1, 3):
        assert all(equal(a, b) for a, b in zip(batches(dataset, workers=workers).between(0, 4), whole, strict=True))
    for rows in (slice(0, 1), slice(1, 4)):
        part = batches(dataset, rows).make(2)
        expected = whole[2].rows(rows)
        assert part["inputs"].allclose(expected["inputs"], atol=1e-6)
        dense = {name: values for name, values in part.dense.items() if name != "inputs"}
        kept = {name: values for name, values in expected.dense.items() if name != "inputs"}
        assert equal(Batch(dense, part.ragged), Batch(kept, expected.ragged))


@pytest.mark.parametrize(
    "crop", [ScaleJitter(), ScaleJitter(min_scale=0.8, max_scale=1.25), RandomShortestSize(min_size=20, max_size=48)]
)
def test_images_boxes_masks_and_regions_move_together(dataset: BoxDataset, crop: Place) -> None:
    # Every rectangle is its own mask: after all that moves, the box of each mask is its box, to a pixel.
    own = batches(dataset, augmentations=CanvasAugmentations(crop=crop, transforms=(Flip(),)))
    flipped = 0
    for step in range(8):
        batch = own.make(step)
        for row in range(4):
            left, top, right, bottom = batch["regions"][row].tolist()
            outside = torch.ones(48, 64, dtype=torch.bool)
            outside[int(top) : int(bottom), int(left) : int(right)] = False
            assert (batch["inputs"][row][:, outside].abs() <= 0.51 / 255).all()  # the mean
            flipped += left > 0
            for box, mask in zip(batch.ragged["boxes"][row], batch.ragged["masks"][row], strict=True):
                assert not (mask.bool() & outside).any()
                assert (box[2:] - box[:2] >= 1).all()
                rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
                drawn = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                assert (drawn - box).abs().max() <= 1.0
                assert (box >= torch.tensor([left, top, left, top])).all()
                assert (box <= torch.tensor([right, bottom, right, bottom])).all()
    assert flipped


def test_without_transforms_the_boxes_are_those_of_the_file_resized(dataset: BoxDataset) -> None:
    reader = CanvasReader(CANVAS, CanvasAugmentations(crop=RandomShortestSize()))
    assert reader.numbers == 1
    sample = reader.sample(Subset(dataset, np.array([0])), 0, np.zeros(1, np.float32), None)
    assert sample["boxes"] == pytest.approx(dataset.target(0)["boxes"] * 0.8, abs=1e-5)
    assert sample["labels"].tolist() == [1, 0]
    assert sample["crowds"].tolist() == [False, True]
    assert sample["areas"] == pytest.approx([26 * 32 * 0.64, 99 * 0.64])
    assert sample["regions"].tolist() == [0, 0, 48, 32]
    assert sample["masks"].shape == (2, 48, 64)
    nothing = reader.sample(dataset, 2, np.zeros(1, np.float32), None)
    assert [nothing[name].shape for name in RAGGED] == [(0, 4), *[(0,)] * 4, (0, 48, 64)]


def test_objects_of_which_less_than_a_pixel_is_shown_are_left_out_on_the_host(dataset: BoxDataset) -> None:
    plain = CanvasReader(replace(CANVAS, targets="boxes"), CanvasAugmentations(crop=RandomShortestSize()))
    assert len(plain.sample(dataset, 4, np.zeros(1, np.float32), None)["boxes"]) == 20
    tiny = CanvasReader(
        replace(CANVAS, targets="boxes", resize=10), CanvasAugmentations(crop=RandomShortestSize(min_size=10))
    )
    sample = tiny.sample(dataset, 4, np.zeros(1, np.float32), None)  # a quarter: boxes of half a pixel
    assert sample["boxes"].shape == (0, 4)
    assert "masks" not in sample


def test_a_damaged_row_repeats_another_with_its_objects(dataset: BoxDataset) -> None:
    truncate(dataset.path(0))
    own = batches(dataset, replace_damaged=True, batch=5)
    step = next(step for step in range(9) if 0 in own.sampler.ids(step))
    batch = own.make(step)
    assert 0 not in batch["ids"]
    assert batch["weights"].sum() == 4
    row = int((batch["weights"] == 0).nonzero())
    assert len(batch.ragged["labels"][row]) == len(batch.ragged["boxes"][row])
    with pytest.raises(DataError, match=r"a\.jpg"):
        batches(dataset, batch=5).make(step)


@pytest.mark.parametrize("index", range(5))
def test_evaluation_gets_whole_images_and_says_where_they_are(dataset: BoxDataset, index: int) -> None:
    for canvas in (replace(CANVAS, divisor=32), replace(CANVAS, letterbox=True), replace(CANVAS, resize=None)):
        loaded = CanvasReader(canvas).load(dataset, index, "flip")
        assert loaded.size == dataset.size(index)
        for pixels, mirrored, (left, top, right, bottom) in zip(
            loaded.inputs, loaded.mirrored, loaded.regions, strict=True
        ):
            upright = pixels[:, :, ::-1] if mirrored else pixels
            assert np.array_equal(upright, loaded.inputs[0])
            outside = np.ones(pixels.shape[1:], bool)
            outside[top:bottom, left:right] = False
            assert (pixels[:, outside] == 128).all()
            assert (bottom - top, right - left) == canvas.evaluation_size(*dataset.size(index))
    plain = CanvasReader(replace(CANVAS, resize=None)).load(dataset, index, "center").inputs[0]
    assert np.array_equal(plain.transpose(1, 2, 0), np.asarray(dataset.image(index, "RGB")))


def test_a_scan_finds_damaged_images_sizes_and_masks(dataset: BoxDataset, tmp_path: Path) -> None:
    reader = CanvasReader(CANVAS)
    assert [reader.examine(dataset, index, False) for index in range(5)] == [(None, 0)] * 5
    truncate(dataset.path(1))
    Scene("c", size=(60, 41)).write(dataset.path(3))
    for index, said in ((1, r"b\.jpg is damaged"), (3, "has 40 x 60 pixels, and upright it has 41 x 60")):
        with pytest.raises(DataError, match=said):
            reader.examine(dataset, index, False)
    without = write(tmp_path / "w", "coco", {"all": [Scene("a", [square(1, 1, 9, 9), Thing("cat", (1, 2, 9, 9))])]})
    found = open_dataset(str(without)).train
    assert isinstance(found, BoxDataset)
    with pytest.raises(DataError, match="has no mask, which this task needs"):
        reader.examine(found.masked(), 0, False)
    assert reader.examine(found, 0, False) == (None, 0)


def test_masks_of_classes_are_no_boxes(tmp_path: Path) -> None:
    masks = open_dataset(str(write_masks(tmp_path, {"train": 1, "val": 1}))).train
    with pytest.raises(DataError, match="is of a dataset for segmentation, which has no boxes"):
        CanvasReader(CANVAS).sample(masks, 0, np.zeros(3, np.float32), None)


def test_ranks_finish_their_rows_alike(dataset: BoxDataset) -> None:
    reader = CanvasReader(CANVAS, JITTER)
    sampler = EpochSampler(5, 4, 0)
    rng = StepRNG(0, 0, sampler, slice(0, 4), 4, torch.device("cpu"))
    assert reader.draw(rng).u.shape == (4, 3)
    assert np.array_equal(reader.draw(replace(rng, rows=slice(2, 4))).u, reader.draw(rng).u)
