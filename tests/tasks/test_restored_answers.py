"""Answers of every task that a command that was cut off has left, and the next one goes on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import resnets
from resnets.core import progress
from resnets.core.files import to_json
from resnets.tasks.catalog import SETTINGS, find, open_task
from resnets.tasks.detection import masks
from resnets.tasks.detection.answers import DetectedImage
from resnets.tasks.multilabel.answers import ClassAnswer
from resnets.tasks.segmentation.answers import of_mask
from tests.command_line import call
from tests.modalities.image.box_files import write
from tests.modalities.image.mask_folders import write_masks
from tests.training import test_detectors_run, test_segmentation_run
from tests.training.test_detectors_run import BACKBONE, HEADS, scenes

CLASSES = ("cat", "dog", "hen")
BOXES = np.array([[1.5, 2, 7, 5.25], [0, 0, 3, 4]], np.float32)
MASK = np.arange(40, dtype=np.uint8).reshape(5, 8) % 3
ANSWERS: dict[str, Any] = {
    "classification": [("dog", 0.75), ("cat", 0.1)],
    "multi-label": [ClassAnswer("hen", 0.9, True), ClassAnswer("cat", 0.2, False), ClassAnswer("dog", 0.0, False)],
    "regression": -1.25,
    "localization": [("dog", 0.75, (1.0, 2.5, 3.0, 4.0))],
    "detection": DetectedImage(
        (5, 8),
        BOXES,
        np.array([0.75, 0.1], np.float32),
        np.array([2, 0]),
        masks.encode(np.stack([MASK == 0, MASK == 2])),
    ),
    "segmentation": of_mask(MASK, 3),
}


class Cut(BaseException):
    """Ends a command as rudely as an exception can."""


def written(name: str) -> dict[str, Any]:
    """The example of a task as JSON."""
    task = open_task(find(name))
    return json.loads(to_json(task.answer_json(ANSWERS[name], CLASSES) | task.answer_extra(ANSWERS[name])))  # type: ignore[no-any-return]


def test_every_task_has_an_example() -> None:
    assert set(ANSWERS) == {each.name for each in SETTINGS}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_read_as_it_was_written(name: str) -> None:
    task = open_task(find(name))
    found = task.restore_answer(written(name), CLASSES)
    assert task.answer_json(found, CLASSES) == task.answer_json(ANSWERS[name], CLASSES)
    assert task.answer_lines(found, CLASSES) == task.answer_lines(ANSWERS[name], CLASSES)


def test_the_size_and_the_masks_are_kept() -> None:
    task = open_task(find("detection"))
    found = task.restore_answer(written("detection"), CLASSES)
    assert found.size == (5, 8)
    assert np.array_equal(masks.decode(list(found.masks), found.size)[1], MASK == 2)
    empty = DetectedImage((5, 8), np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
    found = task.restore_answer(task.answer_json(empty, CLASSES) | task.answer_extra(empty), CLASSES)
    assert (len(found), found.size, found.masks, found.boxes.shape) == (0, (5, 8), None, (0, 4))
    found = open_task(find("segmentation")).restore_answer(written("segmentation"), CLASSES)
    assert np.array_equal(found.mask, MASK)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("detection", {"size": [5]}),
        ("detection", {"size": [5, "8"]}),
        ("detection", {"boxes": [{"name": "cow", "score": 0.5, "box": [0, 0, 1, 1], "mask": {"counts": ""}}]}),
        ("detection", {"boxes": [{"name": "cat", "score": True, "box": [0, 0, 1, 1], "mask": {"counts": ""}}]}),
        ("detection", {"boxes": [{"name": "cat", "score": 0.5, "box": [0, 0, 1], "mask": {"counts": ""}}]}),
        ("segmentation", {"mask": "%%"}),
        ("segmentation", {"mask": "AAAA"}),
        ("segmentation", {"size": [9, 9]}),
        ("segmentation", {"size": [4, 8]}),
        ("localization", {"classes": [{"name": "cat", "probability": 0.5, "box": None}]}),
    ],
)
def test_damaged_answers_are_no_answers(name: str, damage: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        open_task(find(name)).restore_answer(written(name) | damage, CLASSES)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[Path]]]:
    """By task a run with the images that it is asked for."""
    root = tmp_path_factory.mktemp("runs")
    head = f"model.head={json.dumps(HEADS['maskrcnn'])}"
    boxes = write(root / "boxes", "coco", scenes())
    pixels = write_masks(root / "masks", {"train": 8, "val": 2}, classes=4)
    return {
        "detection": (
            resnets.train(
                "detection/maskrcnn", *BACKBONE, head, *test_detectors_run.SETTINGS, data=str(boxes), epochs=1,
                out=root / "detection",
            ).folder,
            sorted((boxes / "train").glob("*.jpg")),
        ),
        "segmentation": (
            test_segmentation_run.train(pixels, root / "segmentation", epochs=1).folder,
            sorted((pixels / "train").glob("*.png")),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("ending", [".json", ""])
@pytest.mark.parametrize("name", ["detection", "segmentation"])
def test_a_command_goes_on_where_it_was_cut_off(
    name: str, ending: str, runs: dict[str, tuple[Path, list[Path]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a file and with a folder, which has the images drawn."""
    run, files = runs[name]
    whole, out = tmp_path / f"whole{ending}", tmp_path / f"out{ending}"
    assert call("predict", run, *files, "--out", whole).code == 0
    shown = 0
    show = progress.Line.__call__

    def cut(self: progress.Line, text: str, *, now: bool = False) -> None:
        nonlocal shown
        shown += 1
        if shown == 5:  # in the second batch
            raise Cut
        show(self, text, now=now)

    with monkeypatch.context() as patched:
        patched.setattr(progress.Line, "__call__", cut)
        with pytest.raises(Cut):
            call("predict", run, *files, "--out", out)
    result = call("predict", run, *files, "--out", out)
    assert (result.code, "4 inputs of " in result.err) == (0, True)
    if ending:
        assert out.read_bytes() == whole.read_bytes()
    else:
        written = {path.name: path.read_bytes() for path in out.iterdir()}
        assert written == {path.name: path.read_bytes() for path in whole.iterdir()}
        assert len(written) > len(files)
    assert not list(tmp_path.rglob("*.unfinished*"))
