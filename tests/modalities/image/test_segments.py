"""Masks of objects: polygons and runs, as pycocotools draws them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnets.core.errors import DataError
from resnets.modalities.catalog import open_dataset
from resnets.modalities.image.datasets.boxes import BoxDataset
from resnets.modalities.image.segments import decode_segment, encode_segment
from tests.modalities.image.box_files import SCENES, Scene, Thing, write


@pytest.mark.parametrize(
    "segment", [[[1, 2, 3.25, 4, 5, 0.1]], [[0.1] * 8, [7.0] * 6], {"size": [2, 3], "counts": [1, 5]},
                {"size": [2, 3], "counts": "05"}],
)  # fmt: skip
def test_nothing_is_lost_in_the_bytes(segment: Any) -> None:
    assert decode_segment(encode_segment(segment, None)) == segment


def test_masks_are_drawn_as_pycocotools_draws_them(tmp_path: Path) -> None:
    coco_mask = pytest.importorskip("pycocotools.mask")
    g = np.random.default_rng(0)
    drawn = np.zeros((40, 60), np.uint8, order="F")
    drawn[5:30, 10:50] = 1
    runs = coco_mask.encode(drawn)
    counts = runs["counts"].decode()
    plain = [5 + 10 * 40, *[25, 15] * 39, 25, 10 + 10 * 40]
    polygons = [[(g.random(10) * 60).round(2).tolist(), [1, 2, 3.5, 4, 9, 2.25]], [(g.random(20) * 60).tolist()]]
    segments = [*polygons, {"size": [40, 60], "counts": counts}, {"size": [40, 60], "counts": plain}]
    things = [Thing("cat", (1, 2, 30, 20), segment=segment) for segment in segments]
    dataset = open_dataset(str(write(tmp_path, "coco", {"train": [Scene("a", things)]}))).train
    assert isinstance(dataset, BoxDataset)
    assert dataset.has_masks
    assert "masks" not in dataset.target(0)
    masks = dataset.masked().target(0)["masks"]
    assert (masks.shape, masks.dtype.name) == ((4, 40, 60), "uint8")
    for mask, segment in zip(masks[:2], polygons, strict=True):
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segment, 40, 60)))
        assert np.array_equal(mask, expected)
    assert np.array_equal(masks[2], drawn)
    assert np.array_equal(masks[3], drawn)


def test_a_box_without_a_mask_is_named_where_masks_are_needed(tmp_path: Path) -> None:
    things = [Thing("cat", (1, 2, 30, 20), segment=[[1, 2, 3, 4, 5, 9]]), Thing("dog", (1, 2, 30, 20))]
    dataset = open_dataset(str(write(tmp_path, "coco", {"train": [Scene("a", things), Scene("b")]}))).train
    assert isinstance(dataset, BoxDataset)
    with pytest.raises(DataError, match=r"instances_train\.json, annotation 1001 has no mask, which this task needs"):
        dataset.masked().target(0)
    assert dataset.masked().target(1)["masks"].shape == (0, 40, 60)
    plain = open_dataset(str(write(tmp_path / "plain", "coco", {"all": SCENES["train"]}))).train
    assert isinstance(plain, BoxDataset)
    with pytest.raises(DataError, match="has boxes, and no masks of objects"):
        plain.masked()


def test_damaged_runs_are_named(tmp_path: Path) -> None:
    for counts in ("~~~~", "", "é"):
        segment = {"size": [40, 60], "counts": counts}
        root = write(
            tmp_path / counts, "coco", {"train": [Scene("a", [Thing("cat", (1, 2, 30, 20), segment=segment)])]}
        )
        dataset = open_dataset(str(root)).train
        assert isinstance(dataset, BoxDataset)
        with pytest.raises(DataError, match=r"annotation 1000 has a mask that cannot be drawn: "):
            dataset.masked().target(0)
