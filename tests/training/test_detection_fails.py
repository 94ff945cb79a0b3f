"""What a detector's run says that cannot go on: a step that is not finite, and memory that ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.errors import TrainingError
from resnets.tasks.detection.task import Detection
from tests.modalities.image.box_files import write
from tests.training.test_detection_run import scenes, train

IMAGES = len(scenes()["train"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("data"), "coco", scenes())


def test_a_step_that_is_not_finite_is_named_with_its_layer_and_images(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="has a gradient that is not finite") as caught:
        train(data, tmp_path / "r", "optimizer.lr=1e30", "clip_norm=none", "precision=fp32", device="cpu")
    message = str(caught.value)
    assert "in no single layer" not in message
    assert any(f"{number}.jpg" in message for number in range(IMAGES))
    step = int(message.partition("Step ")[2].split()[0])
    replayed = resnets.replay(tmp_path / "r", step=step)
    assert replayed.layer is not None
    assert f"pass of {replayed.layer}" in message


@pytest.mark.parametrize(
    ("settings", "advice"), [((), "Train anew with bn_batch=2, smaller images"), (("bn_batch=1",), "anew with smaller")]
)
def test_out_of_memory_says_what_takes_less(
    settings: tuple[str, ...], advice: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(*_: Any, **__: Any) -> Any:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Detection, "loss", loss)
    with pytest.raises(TrainingError, match=r"Out of memory with \d samples at a time on cpu") as caught:
        train(data, tmp_path / "r", *settings, device="cpu")
    assert advice in str(caught.value)
    monkeypatch.undo()
    assert resnets.resume(tmp_path / "r").metrics["task"] == "detection"  # nothing was lost
