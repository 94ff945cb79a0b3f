"""Large images in tiles: they are covered, objects are found once, and memory stays bounded."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import UsageError
from resnets.evaluation.tiles import TiledPredictor, Tiles
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.inputs import dataset_of
from resnets.tasks.classification.task import Classification
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.detection.masks import decode, encode, moved_mask
from resnets.tasks.detection.merging import stitched
from resnets.tasks.detection.task import Detection
from resnets.tasks.records import ragged

WHITE = 200  # objects are squares as bright


@pytest.mark.parametrize(("height", "width"), [(40, 60), (640, 640), (641, 100), (3000, 5000), (1, 7000)])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.75])
def test_tiles_cover_the_image_and_overlap(height: int, width: int, overlap: float) -> None:
    tiles = Tiles(640, overlap)
    places = list(tiles.places(height, width))
    covered = np.zeros((height, width), np.uint16)
    for left, top, right, bottom in places:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert right - left == min(640, width)
        assert bottom - top == min(640, height)
        covered[top:bottom, left:right] += 1
    assert covered.min() == 1
    for ends in ({(each[0], each[2]) for each in places}, {(each[1], each[3]) for each in places}):
        listed = sorted(ends)
        assert all(a[1] - b[0] >= int(640 * overlap) for a, b in itertools.pairwise(listed))


@pytest.mark.parametrize(
    ("size", "overlap", "said"), [(8, 0.2, "--tile takes 16"), (64, 1.0, "--overlap takes a share")]
)
def test_other_values_are_refused(size: int, overlap: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Tiles(size, overlap)


class Bright:
    """In place of a network's predictor: the boxes of bright squares, each found by its connected pixels."""

    def __init__(self, task: Any = None) -> None:
        self.task = task or Detection()
        self.settings = Canvas(targets="boxes")
        self.largest = 0

    def load(self, dataset: Any, index: int) -> Image.Image:
        image: Image.Image = dataset.image(index, "RGB", None)
        return image

    def predict(self, inputs: Sequence[Image.Image]) -> list[DetectedImage]:
        from scipy.ndimage import find_objects, label

        found = []
        for image in inputs:
            pixels = np.asarray(image)[:, :, 0] >= WHITE
            self.largest = max(self.largest, pixels.size)
            boxes = [(x.start, y.start, x.stop, y.stop) for y, x in find_objects(label(pixels)[0])]
            area = np.array([(b[2] - b[0]) * (b[3] - b[1]) for b in boxes], np.float32)
            found.append(
                DetectedImage(
                    pixels.shape, np.array(boxes, np.float32).reshape(-1, 4), 0.5 + area / 1e5,
                    np.zeros(len(boxes), np.int64),
                )
            )  # fmt: skip
        return found


def answer(image: Image.Image, tiles: Tiles) -> DetectedImage:
    predictor = Bright()
    tiled = TiledPredictor(predictor, tiles, predictor.settings)  # type: ignore[arg-type]
    (found,) = tiled.predict([tiled.load(dataset_of(predictor.settings, [image]), 0)])
    assert predictor.largest <= tiles.size**2
    return found  # type: ignore[no-any-return]


def test_every_object_is_found_once_wherever_tiles_are_cut() -> None:
    random = np.random.default_rng(0)
    pixels = np.zeros((700, 1100, 3), np.uint8)
    true = []
    for row in range(0, 700 - 60, 70):
        for column in range(0, 1100 - 60, 70):
            height, width = random.integers(8, 50, 2)
            true.append((column, row, column + width, row + height))
            pixels[row : row + height, column : column + width] = WHITE
    found = answer(Image.fromarray(pixels), Tiles(256, 0.25))
    assert sorted(map(tuple, found.boxes.astype(int).tolist())) == sorted(true)
    assert found.size == (700, 1100)


def test_masks_stand_where_their_tile_is() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:10, 3:9] = 1
    box = np.array([[3, 5, 9, 10]], np.float32)
    tile = DetectedImage((20, 30), box, np.array([0.9], np.float32), np.array([1]), ragged(encode(mask[None])))
    whole = stitched([((40, 7, 70, 27), tile)], (50, 90))
    assert whole.boxes.tolist() == [[43, 12, 49, 17]]
    assert whole.masks is not None
    expected = np.zeros((50, 90), np.uint8)
    expected[12:17, 43:49] = 1
    assert np.array_equal(decode(list(whole.masks), (50, 90))[0], expected)


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_parts_of_an_object_one_stays_though_the_smaller_has_the_better_score(first: int) -> None:
    """Tiles that overlap far: each part lies mostly in the other."""

    def part(box: list[float], score: float) -> DetectedImage:
        return DetectedImage((100, 640), np.array([box], np.float32), np.array([score], np.float32), np.array([0]))

    parts = [((0, 0, 640, 100), part([300, 10, 640, 90], 0.95)), ((360, 0, 1000, 100), part([0, 10, 360, 90], 0.9))]
    found = stitched(parts[first:] + parts[:first], (100, 1000))
    assert found.boxes.tolist() == [[360, 10, 720, 90]]


def test_an_image_without_objects_has_masks_too() -> None:
    empty = DetectedImage((20, 30), np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), ragged([]))
    found = stitched([((0, 0, 30, 20), empty), ((20, 0, 50, 20), empty)], (20, 50))
    assert found.masks is not None
    assert len(found) == 0
    mask = np.ones((1, 20, 30), np.uint8)
    full = DetectedImage((20, 30), np.array([[0, 0, 30, 20.0]]), np.array([0.9]), np.array([0]), ragged(encode(mask)))
    files = Detection().answer_files([("a.png", found), ("b.png", full)], ("cat",))
    assert "segmentation" in files["coco.json"][0]


def test_answers_that_cannot_be_joined_are_refused() -> None:
    with pytest.raises(UsageError, match="--tile is for boxes, not for classification"):
        TiledPredictor(Bright(Classification()), Tiles(64), Canvas())  # type: ignore[arg-type]


def test_masks_are_moved_as_they_are_painted() -> None:
    random = np.random.default_rng(0)
    for place in ((40, 7, 70, 27), (0, 0, 30, 50), (60, 0, 90, 50), (0, 0, 1, 1), (89, 49, 90, 50), (0, 0, 90, 50)):
        left, top, right, bottom = place
        own = (bottom - top, right - left)
        for share in (0.0, 0.1, 0.9, 1.0):
            mask = (random.random(own) < share).astype(np.uint8)
            expected = np.zeros((1, 50, 90), np.uint8)
            expected[0, top:bottom, left:right] = mask
            moved = moved_mask(str(encode(mask[None])[0]), place, own, (50, 90))
            assert moved == encode(expected)[0]
