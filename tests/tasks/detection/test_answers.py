"""Answers as JSON, as lines and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnets.core.errors import UsageError
from resnets.tasks.detection.answers import DetectedImage, answer_json, answer_lines, best, drawn, write_answer
from resnets.tasks.detection.masks import decode, encode
from resnets.tasks.drawing import MASK, class_color

CLASSES = ("ant", "bee\x1b", "cat")
GREY = 90


@pytest.fixture
def answer() -> DetectedImage:
    """A large box of the last class, and a small one of the second inside of it, with masks: of the large one the left
    half, of the small one all."""
    masks = np.zeros((2, 200, 300), np.uint8)
    masks[0, 120:150, 220:260] = 1
    masks[1, 40:180, 20:150] = 1
    boxes = np.array([[220.0, 120, 260, 150], [20, 40, 280, 180]])
    return DetectedImage((200, 300), boxes, np.array([0.25, 0.875]), np.array([1, 2]), encode(masks))


def test_the_json_has_the_boxes_the_best_first(answer: DetectedImage) -> None:
    found = answer_json(answer, CLASSES)["boxes"]
    assert [(each["name"], each["score"], each["box"]) for each in found] == [
        ("cat", 0.875, [20, 40, 280, 180]), ("bee\x1b", 0.25, [220, 120, 260, 150]),
    ]  # fmt: skip
    assert all(each["mask"]["size"] == [200, 300] for each in found)
    assert decode([found[0]["mask"]["counts"]], (200, 300))[0, 41, 149] == 1
    without = DetectedImage(answer.size, answer.boxes, answer.scores, answer.labels)
    assert all(each.keys() == {"name", "score", "box"} for each in answer_json(without, CLASSES)["boxes"])


def test_the_lines_are_printable(answer: DetectedImage) -> None:
    assert answer_lines(answer, CLASSES) == [
        "   87.50%  cat  20, 40 to 280, 180", r"   25.00%  bee\x1b  220, 120 to 260, 150",
    ]  # fmt: skip
    assert answer_lines(best(answer, [1.0] * 3), CLASSES) == ["  no boxes"]


def test_the_thresholds_are_those_of_the_classes(answer: DetectedImage) -> None:
    assert best(answer, [0.5, 0.25, 0.9]).labels.tolist() == [1]
    assert best(answer, [0.5, 0.26, 0.875]).labels.tolist() == [2]
    assert len(best(answer, [0.0] * 3)) == 2


def test_boxes_and_masks_are_drawn_in_the_colours_of_the_classes(answer: DetectedImage) -> None:
    image = Image.new("RGB", (300, 200), (GREY,) * 3)
    pixels = np.asarray(drawn(answer, image, CLASSES))
    for label, (x, y) in ((2, (20, 160)), (2, (150, 179)), (1, (240, 120)), (1, (259, 140))):
        assert tuple(pixels[y, x].tolist()) == class_color(label)
    mixed = np.array(class_color(2)) * MASK + GREY * (1 - MASK)
    assert pixels[160, 100] == pytest.approx(mixed, abs=1)
    assert pixels[135, 240] == pytest.approx(np.array(class_color(1)) * MASK + GREY * (1 - MASK), abs=1)
    assert pixels[160, 200].tolist() == [GREY] * 3  # in the box, not in the mask
    field = pixels[20:40, 20:60].reshape(-1, 3)
    assert (field == class_color(2)).all(1).mean() > 0.3  # with letters, above the box
    assert np.asarray(image).max() == GREY  # the image stays


def test_a_box_at_the_border_has_its_label_inside() -> None:
    boxes = np.array([[250.0, 0, 300, 200], [-10, 180, 20, 230]])
    answer = DetectedImage((200, 300), boxes, np.array([1.0, 1.0]), np.array([0, 2]))
    pixels = np.asarray(drawn(answer, Image.new("L", (300, 200), GREY), ("a very long name", "b", "c")))
    assert pixels.shape == (200, 300, 3)
    assert tuple(pixels[2, 299].tolist()) == class_color(0)
    assert (pixels[0:12, 150:] == class_color(0)).all(2).any(0).sum() > 100


@pytest.mark.parametrize("size", [(1, 1), (5000, 2), (2, 300)])
def test_images_of_any_size_are_drawn_on(size: tuple[int, int]) -> None:
    answer = DetectedImage(size[::-1], np.array([[0.0, 0, *size]]), np.ones(1), np.zeros(1, int))
    assert drawn(answer, Image.new("RGB", size), CLASSES).size == size
    nothing = DetectedImage(size[::-1], np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    assert drawn(nothing, Image.new("RGB", size), CLASSES).size == size


def test_an_image_of_another_size_is_refused(answer: DetectedImage) -> None:
    with pytest.raises(UsageError, match="299 x 200 pixels, and its answer is of 300 x 200"):
        drawn(answer, Image.new("RGB", (299, 200)), CLASSES)


def test_the_file_is_the_drawn_image(answer: DetectedImage, tmp_path: Path) -> None:
    image = Image.new("RGB", (300, 200), (GREY,) * 3)
    write_answer(answer, tmp_path, "a", image, CLASSES)
    write_answer(answer, tmp_path, "b", None, CLASSES)
    assert [each.name for each in tmp_path.iterdir()] == ["a.drawn.jpg"]
    with Image.open(tmp_path / "a.drawn.jpg") as file:
        difference = np.asarray(file).astype(int) - np.asarray(drawn(answer, image, CLASSES))
    assert abs(difference).mean() < 3


def test_colours_of_the_first_classes_differ() -> None:
    colors: Any = np.array([class_color(number) for number in range(12)])
    distances = abs(colors[:, None] - colors[None]).sum(2) + 1000 * np.eye(12, dtype=int)
    assert distances.min() > 40
    assert abs(colors[:4, None] - colors[None, :4]).sum(2)[np.triu_indices(4, 1)].min() > 150
