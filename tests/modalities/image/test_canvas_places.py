"""Where images come to lie on canvases, with their boxes and masks: as by torchvision's transforms v2."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from resnets.core.config import decode, encode
from resnets.core.errors import UsageError
from resnets.modalities.image.canvas import Canvas
from resnets.modalities.image.canvas_augmentations import CanvasAugmentations
from resnets.modalities.image.canvas_targets import mirrored_boxes
from resnets.modalities.image.placement import Placement
from resnets.modalities.image.transforms.random_scale_crop import RandomScaleCrop
from resnets.modalities.image.transforms.random_shortest_size import RandomShortestSize
from resnets.modalities.image.transforms.scale_jitter import ScaleJitter
from tests.conftest import noise

SIZE = (48, 80)  # height and width
FILL = (9, 8, 7)
BOXES = np.array([[4, 6, 30, 38], [0, 0, 80, 48], [70.5, 40.25, 79, 47], [10, 2, 11, 3], [60, 1, 64, 5]], np.float64)
CROPS: list[Any] = [
    RandomScaleCrop(), ScaleJitter(), ScaleJitter(min_scale=0.8, max_scale=1.25), RandomShortestSize(),
    RandomShortestSize(min_size=20, max_size=70),
]  # fmt: skip
CANVASES = [
    Canvas(resize=40, crop=(40, 72), targets="instances"),
    Canvas(resize=60, crop=(64, 64), targets="instances"),
    Canvas(crop=(56, 40), targets="instances", letterbox=True),
]


def draws(count: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(count, np.float32)


def masks_of(boxes: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(n, height, width) rectangles."""
    masks = np.zeros((len(boxes), *SIZE), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.round().astype(int), strict=True):
        mask[top:bottom, left:right] = 1
    return masks


def unambiguous(placement: Placement, axis: int) -> NDArray[np.bool_]:
    """Which pixels that are shown have their centre on no border between two pixels of the image, where torch's float32
    decides which of them is the nearest."""
    left, top, right, bottom = placement.region
    shown = np.arange((bottom - top, right - left)[axis]) + placement.corner[axis]
    return np.asarray((2 * shown + 1) * SIZE[axis] % (2 * placement.resized[axis]) != 0)


def by_torchvision(placement: Placement) -> tuple[Any, Any, Any]:
    """Image, boxes and masks, resized, cropped and padded by torchvision."""
    image = Image.fromarray(noise(SIZE[1], SIZE[0]))
    boxes: Any = tv_tensors.BoundingBoxes(torch.tensor(BOXES), format="XYXY", canvas_size=SIZE)  # type: ignore[call-overload]
    masks: Any = tv_tensors.Mask(torch.from_numpy(masks_of(BOXES)))
    (height, width), (top, left), (row, column) = placement.resized, placement.corner, placement.offset
    shown = (min(placement.canvas[0] - row, height - top), min(placement.canvas[1] - column, width - left))
    padding = [column, row, placement.canvas[1] - column - shown[1], placement.canvas[0] - row - shown[0]]
    image = F.resize(image, [height, width])
    boxes = F.resize(boxes, [height, width])
    masks = F.resize(masks, [height, width], interpolation=v2.InterpolationMode.NEAREST_EXACT)
    image, boxes, masks = (F.crop(each, top, left, *shown) for each in (image, boxes, masks))
    boxes = F.clamp_bounding_boxes(boxes)
    return F.pad(image, padding, fill=list(FILL)), F.pad(boxes, padding), F.pad(masks, padding, fill=0)


@pytest.mark.parametrize("crop", CROPS, ids=lambda crop: type(crop).__name__)
@pytest.mark.parametrize("canvas", CANVASES, ids=["wide", "square", "letterbox"])
@pytest.mark.parametrize("seed", range(4))
def test_image_boxes_and_masks_are_moved_as_by_torchvision(crop: Any, canvas: Canvas, seed: int) -> None:
    placement = crop.place(draws(crop.numbers, seed), SIZE, canvas, canvas.crop)
    assert placement.canvas == canvas.crop
    image, boxes, masks = by_torchvision(placement)
    own = placement.image(Image.fromarray(noise(SIZE[1], SIZE[0])), FILL, "bilinear")
    assert np.array_equal(np.asarray(own), np.asarray(image))
    assert placement.boxes(BOXES, SIZE) == pytest.approx(
        boxes.numpy(), abs=1e-4
    )  # torchvision's are of float32 in part
    left, top, right, bottom = placement.region
    rows, columns = (unambiguous(placement, axis) for axis in (0, 1))
    drawn = placement.mask(masks_of(BOXES), 0)
    for each in (drawn, masks.numpy()):
        assert not each[:, :top].any()
        assert not each[:, :, :left].any()
    drawn, theirs = (each[:, top:bottom, left:right] for each in (drawn, masks.numpy()))
    assert np.array_equal(drawn[:, rows][:, :, columns], theirs[:, rows][:, :, columns])
    whole = placement.boxes(np.array([[0.0, 0, SIZE[1], SIZE[0]]]), SIZE)[0]
    assert whole == pytest.approx([left, top, right, bottom])
    outside = np.ones(canvas.crop, bool)
    outside[top:bottom, left:right] = False
    assert (np.asarray(own)[outside] == FILL).all()


@pytest.mark.parametrize("side", [40, 64])
@pytest.mark.parametrize("u", [0.0, 0.3, 0.71, 0.999])
def test_scale_jitter_is_torchvisions_for_the_same_number(side: int, u: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of a square only: torchvision divides the target's width by the image's height.
    monkeypatch.setattr(torch, "rand", lambda *_: torch.tensor([u], dtype=torch.float64))
    theirs = v2.ScaleJitter((side, side), (0.1, 2.0)).make_params([Image.fromarray(noise(SIZE[1], SIZE[0]))])["size"]
    own = ScaleJitter().place(np.array([u, 0, 0]), SIZE, Canvas(), (side, side))  # type: ignore[arg-type]
    assert own.resized == tuple(theirs)


@pytest.mark.parametrize("number", range(20, 41, 4))
def test_a_random_shortest_size_is_torchvisions_for_the_same_size(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randint", lambda count, *_: torch.tensor(number - 20))
    transform = v2.RandomShortestSize(list(range(20, 41)), 60)
    theirs = transform.make_params([Image.fromarray(noise(SIZE[1], SIZE[0]))])["size"]
    crop = RandomShortestSize(min_size=20, max_size=40)
    own = crop.place(np.array([(number - 20 + 0.5) / 21], np.float32), SIZE, Canvas(), (60, 60))
    assert own.resized == tuple(theirs)


@pytest.mark.parametrize("size", [(48, 80), (80, 48), (1, 5000), (5000, 1), (1, 1), (333, 500)])
@pytest.mark.parametrize("canvas", [*CANVASES, Canvas(resize=320, crop=(320, 448), targets="boxes")])
def test_a_random_size_is_of_the_whole_image_and_fits(size: tuple[int, int], canvas: Canvas) -> None:
    crop = RandomShortestSize(min_size=20, max_size=400)
    for u in (0.0, 0.4, 0.9999):
        placement = crop.place(np.array([u], np.float32), size, canvas, canvas.crop)
        left, top, right, bottom = placement.region
        assert (bottom - top, right - left) == placement.resized
        assert 0 <= left < right <= canvas.crop[1]
        assert 0 <= top < bottom <= canvas.crop[0]


def test_without_a_range_the_size_is_that_of_evaluation() -> None:
    canvas = Canvas(resize=320, max_size=640, crop=(640, 640), targets="boxes")
    for size in ((333, 500), (480, 640), (64, 63), (100, 400)):
        for u in (0.0, 0.99):
            placement = RandomShortestSize().place(np.array([u], np.float32), size, canvas, canvas.crop)
            assert placement.resized == canvas.evaluation_size(*size)


@pytest.mark.parametrize("flipped", [0, 1])
def test_mirrored_boxes_are_torchvisions(flipped: int) -> None:
    boxes = tv_tensors.BoundingBoxes(torch.tensor(BOXES), format="XYXY", canvas_size=SIZE)  # type: ignore[call-overload]
    expected = F.horizontal_flip(boxes) if flipped else boxes
    own = mirrored_boxes(torch.tensor(BOXES), SIZE[1]) if flipped else torch.tensor(BOXES)
    assert torch.equal(own, expected.as_subclass(torch.Tensor))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ScaleJitter(min_scale=0.0), "ScaleJitter needs 0 < min_scale <= max_scale <= 16"),
        (lambda: ScaleJitter(min_scale=3.0), "ScaleJitter needs"),
        (lambda: RandomShortestSize(min_size=0), "min_size must be from 1 to 16384"),
        (lambda: RandomShortestSize(min_size=5, max_size=4), "min_size 5 must be at most max_size 4"),
        (lambda: Canvas(letterbox=True), "Masks of classes are predicted for the whole input: leave out letterbox"),
        (lambda: Canvas(divisor=32), "leave out letterbox and divisor"),
        (lambda: Canvas(targets="boxes", divisor=0), "divisor must be from 1 to 256"),
        (lambda: ScaleJitter().with_range(480, 640), "ScaleJitter draws scales of the canvas, not sizes"),
    ],
)
def test_wrong_settings_are_named(make: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_settings_are_json_and_back_and_those_of_before_are_as_they_were() -> None:
    assert encode(CanvasAugmentations())["crop"] == {"min_scale": 0.5, "max_scale": 2.0}
    assert not {"targets", "letterbox", "divisor"} & encode(Canvas()).keys()
    for crop in CROPS:
        augmentations = CanvasAugmentations(crop=crop)
        assert decode(CanvasAugmentations, encode(augmentations)) == augmentations
    canvas = Canvas(targets="boxes", letterbox=True, divisor=32)
    assert decode(Canvas, encode(canvas)) == canvas


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        (RandomShortestSize(min_size=240, max_size=320), RandomShortestSize(min_size=480, max_size=640)),
        (RandomShortestSize(), RandomShortestSize()),
        (ScaleJitter(), ScaleJitter()),
        (RandomScaleCrop(), RandomScaleCrop()),
    ],
)
def test_sizes_in_pixels_follow_another_size(crop: Any, expected: Any) -> None:
    assert CanvasAugmentations(crop=crop).with_size(320, 640).crop == expected


def test_a_range_is_of_training_and_its_largest_size_of_evaluation() -> None:
    assert RandomShortestSize().with_range(480, 640) == RandomShortestSize(min_size=480, max_size=640)
    assert RandomScaleCrop().with_range(480, 640) == RandomScaleCrop(min_scale=0.75, max_scale=1.0)


@pytest.mark.parametrize(
    ("was", "size", "expected"),
    [
        (Canvas(resize=320, max_size=533, crop=(320, 448), targets="boxes"), 640, (640, 1066, (640, 896))),
        (Canvas(resize=None, crop=(416, 416), targets="boxes", letterbox=True), 640, (None, 2048, (640, 640))),
    ],
)
def test_another_size_of_images_with_boxes(was: Canvas, size: int, expected: tuple[Any, ...]) -> None:
    found = was.with_size(size)
    assert (found.resize, found.max_size, found.crop) == expected


@pytest.mark.parametrize(
    ("canvas", "size", "expected"),
    [
        (Canvas(resize=320, targets="boxes"), (480, 640), ((320, 426), (320, 426), (0, 0, 426, 320))),
        (Canvas(resize=320, targets="boxes", divisor=32), (480, 640), ((320, 426), (320, 448), (0, 0, 426, 320))),
        (Canvas(crop=(64, 64), targets="boxes", letterbox=True), (48, 80), ((38, 64), (64, 64), (0, 13, 64, 51))),
        (Canvas(crop=(64, 64), targets="boxes", letterbox=True), (80, 40), ((64, 32), (64, 64), (16, 0, 48, 64))),
    ],
)
def test_where_an_image_lies_in_evaluation(canvas: Canvas, size: tuple[int, int], expected: tuple[Any, ...]) -> None:
    resized = canvas.evaluation_size(*size)
    whole = canvas.evaluation_canvas(resized)
    region = Placement(resized, (0, 0), whole, canvas.offset(resized, whole)).region
    assert (resized, whole, region) == expected
