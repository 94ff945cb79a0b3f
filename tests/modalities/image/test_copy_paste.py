"""Objects of one image pasted over another, with their masks and boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.ops import masks_to_boxes

from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.modalities.batch import Batch
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.canvas_reader import CanvasReader
from resnets.modalities.image.datasets.boxes import BoxDataset
from resnets.modalities.image.transforms import Flip
from resnets.modalities.image.transforms.copy_paste import CopyPaste, boxes_of
from resnets.modalities.image.transforms.scale_jitter import ScaleJitter
from tests.modalities.image.box_files import write
from tests.modalities.image.test_box_reader import SCENES, equal

CANVAS = Canvas(crop=(48, 64), targets="instances", mean=(0.5,) * 3, std=(1.0,) * 3)
JITTER = ScaleJitter(min_scale=0.8, max_scale=1.25)


@pytest.fixture
def dataset(tmp_path: Path) -> BoxDataset:
    found = open_dataset(str(write(tmp_path, "coco", SCENES))).train
    assert isinstance(found, BoxDataset)
    return found.masked()


def batches(dataset: BoxDataset, p: float | None, rows: slice | None = None, bn_batch: int = 4) -> Batches:
    paste = None if p is None else CopyPaste(p=p)
    augmentations = CanvasAugmentations(crop=JITTER, transforms=(Flip(),), copy_paste=paste)
    return Batches(
        dataset, sampler=EpochSampler(5, 4, 3), reader=CanvasReader(CANVAS, augmentations), seed=3, bn_batch=bn_batch,
        device=torch.device("cpu"), rows=rows,
    )  # fmt: skip


def objects(batch: Batch, row: int) -> dict[str, Tensor]:
    return {name: values[row] for name, values in batch.ragged.items()}


@pytest.mark.parametrize("p", [0.5, 1.0])
def test_pasted_pixels_masks_and_boxes_are_those_of_the_other_image(dataset: BoxDataset, p: float) -> None:
    own, plain = batches(dataset, p), batches(dataset, None)
    pasted = 0
    for step in range(6):
        after, before = own.make(step), plain.make(step)
        for row in range(4):
            now, was = objects(after, row), objects(before, row)
            count = len(was["labels"])
            more = now["labels"][count:]
            if not len(more):
                continue
            cover = now["masks"][count:].bool().any(0)
            pasted += bool(cover.any())
            # What is not covered is as it was; what is covered is one of the other images.
            assert torch.equal(after["inputs"][row][:, ~cover], before["inputs"][row][:, ~cover])
            assert any(
                torch.equal(after["inputs"][row][:, cover], before["inputs"][other][:, cover]) for other in range(4)
            )
            assert torch.equal(now["labels"][:count], was["labels"])
            assert torch.equal(now["masks"][:count], was["masks"] * ~cover)
            for box, mask in zip(now["boxes"], now["masks"], strict=True):
                if mask.any():
                    assert (box - boxes_of(mask[None])[0]).abs().max() <= 1.0
                else:
                    assert box.tolist() == [0, 0, 0, 0]
            left, top, right, bottom = after["regions"][row].tolist()
            assert (now["boxes"][:, :2] >= torch.tensor([left, top])).logical_or(now["boxes"][:, :2] == 0).all()
            assert (now["boxes"][:, 2:] <= torch.tensor([right, bottom])).all()
    assert pasted > 3


def test_groups_of_objects_are_never_pasted(dataset: BoxDataset) -> None:
    for step in range(6):
        after, before = batches(dataset, 1.0).make(step), batches(dataset, None).make(step)
        for row in range(4):
            now, count = objects(after, row), len(before.ragged["labels"][row])
            crowds = now["crowds"][count:]
            assert not now["masks"][count:][crowds].any()


def test_with_a_probability_of_0_nothing_is_pasted(dataset: BoxDataset) -> None:
    after, before = batches(dataset, 0.0).make(1), batches(dataset, None).make(1)
    assert torch.equal(after["inputs"], before["inputs"])
    for row in range(4):
        now, was = objects(after, row), objects(before, row)
        assert torch.equal(now["boxes"][: len(was["boxes"])], was["boxes"])
        assert not now["masks"][len(was["boxes"]) :].any()


@pytest.mark.parametrize("bn_batch", [2, 4])
def test_ranks_paste_alike_within_their_ghost_batches(dataset: BoxDataset, bn_batch: int) -> None:
    whole = batches(dataset, 0.5, bn_batch=bn_batch).make(2)
    for rows in (slice(0, 2), slice(2, 4), slice(3, 4)):
        part = batches(dataset, 0.5, rows, bn_batch).make(2)
        assert equal(part, whole.rows(rows))


def test_boxes_of_masks_are_torchvisions() -> None:
    masks = torch.from_numpy(np.random.default_rng(0).random((6, 12, 20)) > 0.97).byte()
    masks[3] = 0
    masks[4] = 1
    shown = masks.bool().any(2).any(1)
    theirs = masks_to_boxes(masks[shown])
    assert torch.equal(boxes_of(masks)[shown], theirs + torch.tensor([0, 0, 1, 1]))  # which end at the last pixel
    assert not boxes_of(masks)[3].any()
    assert boxes_of(masks[:0]).shape == (0, 4)


def test_it_needs_masks_of_objects() -> None:
    augmentations = CanvasAugmentations(copy_paste=CopyPaste())
    usual: dict[str, Any] = {"least": 17, "normalize": "given", "tta": "center"}
    augmentations.check(CANVAS, **usual)
    for targets in ("masks", "boxes"):
        with pytest.raises(UsageError, match="copy_paste needs masks of objects"):
            augmentations.check(Canvas(targets=targets), **usual)
    with pytest.raises(UsageError, match=r"p must be in \[0, 1\], not 1.5"):
        CopyPaste(p=1.5)


def test_settings_are_json_and_left_out_at_their_default() -> None:
    assert "copy_paste" not in encode(CanvasAugmentations())
    augmentations = CanvasAugmentations(copy_paste=CopyPaste(p=0.25))
    assert decode(CanvasAugmentations, encode(augmentations)) == augmentations
