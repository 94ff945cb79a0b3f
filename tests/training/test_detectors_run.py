"""Each detector through the one loop: trained, cut and resumed, evaluated and asked, as users call it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.errors import UsageError
from resnets.tasks.detection.masks import decode
from tests.modalities.image.box_files import Scene, Thing, write
from tests.training.cut import Cut, wait_for_checkpoints
from tests.training.runs import sha_of

BACKBONE = ("model.depths=[1,1,1,1]", "model.widths=[4,4,8,8]", "model.stem_width=4", "model.block=basic")
REGIONS = {"candidates": [40, 30], "proposals": [30, 20], "regions_per_image": 16, "min_score": 0.0}
PYRAMID = {"pyramid": 8, "hidden": 16}
HEADS: dict[str, dict[str, Any]] = {
    "maskrcnn": {"kind": "FasterRCNNHead", "masks": True, **PYRAMID, **REGIONS},
    "retinanet": {"kind": "RetinaNetHead", "pyramid": 8, "min_score": 0.0},
    "fasterrcnn-c4": {"kind": "C4Head", **REGIONS},
}
SETTINGS = (
    "preprocessing.resize=40", "preprocessing.max_size=64", "preprocessing.crop=[64,64]", "batch=4", "bn_batch=2",
    "evaluate_every=1", "precision=fp32", "augmentations.crop.min_size=32", "augmentations.crop.max_size=40",
    "warmup=none",
)  # fmt: skip
BOXES = [(4.0, 6.0, 30.0, 38.0), (10.0, 0.0, 60.0, 20.0), (20.0, 10.0, 44.0, 34.0)]


def scenes() -> Mapping[str, list[Scene]]:
    def thing(number: int) -> Thing:
        x1, y1, x2, y2 = BOXES[number % 3]
        return Thing(("cat", "dog", "hen")[number % 3], BOXES[number % 3], segment=[[x1, y1, x2, y1, x2, y2, x1, y2]])

    every = [Scene(f"{n}", [thing(n + each) for each in range(n % 2 + 1)], id=n + 1) for n in range(9)]
    return {"train": every[:6], "val": every[6:]}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), "coco", scenes())


@pytest.mark.parametrize("kind", HEADS)
def test_a_detector_is_trained_resumed_evaluated_and_asked(kind: str, data: Path, tmp_path: Path) -> None:
    def train(out: Path, **options: Any) -> Any:
        settings = (*BACKBONE, f"model.head={json.dumps(HEADS[kind])}", *SETTINGS)
        return resnets.train(
            f"detection/{kind}", *settings, data=str(data), epochs=2, checkpoint_steps=1, out=out, **options
        )

    def subscriber(event: dict[str, Any]) -> None:
        if event.get("step", 0) >= 2:
            raise Cut

    train(tmp_path / "whole")
    with pytest.raises(Cut):
        train(tmp_path / "cut", subscribers=(subscriber,))
    wait_for_checkpoints()
    resnets.resume(tmp_path / "cut")
    assert sha_of(tmp_path / "cut") == sha_of(tmp_path / "whole")

    assert train(tmp_path / "fold", fold="1/2").metrics["samples"] >= 1
    metrics = resnets.evaluate(tmp_path / "whole", out=tmp_path / "e").metrics
    has_masks = kind == "maskrcnn"
    assert 0 <= metrics["ap"] <= 1
    assert ("mask_ap" in metrics) == has_masks
    written = json.loads((tmp_path / "e" / "coco.json").read_text())
    assert {"image_id", "category_id", "bbox", "score"} <= written[0].keys()
    assert ("segmentation" in written[0]) == has_masks
    assert {each["category_id"] for each in written} <= {3, 7, 8}
    (answer,) = resnets.predict(tmp_path / "whole", data / "val" / "8.jpg", max_boxes=5)
    assert len(answer) == 5
    if has_masks:
        masks = decode(list(answer.masks), answer.size)
        assert masks.shape == (5, 40, 60)


def test_masks_are_learnt_from_data_that_is_read_with_masks_alone(data: Path, tmp_path: Path) -> None:
    head = f"model.head={json.dumps(HEADS['maskrcnn'])}"
    given = ("detection/small", *BACKBONE, head, "model.norm=group", "fine_tuning.freeze=0", "task.masks=true")
    with pytest.raises(UsageError, match=r"Detection with masks needs preprocessing\.targets=instances, not boxes"):
        resnets.train(*given, data=str(data), out=tmp_path / "r")
