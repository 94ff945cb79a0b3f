"""`resnets benchmark` measures networks of every task, at rectangles too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import resnets
from resnets.core.errors import UsageError
from resnets.models.heads import DeepLabHead, FCNHead, FPNHead, LinearHead, LocalizationHead
from resnets.models.spec import Spec
from tests.command_line import call
from tests.tasks.detection.small import HEADS

SPEC = Spec(depths=(1, 1, 1, 1), widths=(4, 4, 8, 8), stem_width=4, norm="batch", classes=3)
ALL: dict[str, Any] = {
    "linear": LinearHead(), "fcn": FCNHead(auxiliary=True), "deeplab": DeepLabHead(), "fpn": FPNHead(),
    "localization": LocalizationHead(grid=2, hidden=16), **HEADS,
}  # fmt: skip


@pytest.mark.parametrize(
    "head", [pytest.param(head, marks=[pytest.mark.slow] * (head not in ("linear", "fpn", "maskrcnn"))) for head in ALL]
)
def test_training_and_inference_are_measured(head: str) -> None:
    spec = replace(SPEC, head=ALL[head], norm="frozen" if head in HEADS else "batch")
    found = resnets.benchmark(spec, batch=2, size="96x64", steps=2, device="cpu")
    assert found["size"] == (64, 96)
    assert found["training"]["images_per_second"] > 0
    assert found["inference"]["images_per_second"] > 0
    assert (found["predicted_peak_memory_bytes"] is None) == (head in HEADS)
    assert (found["inference"]["share_of_ceiling"] is None) == (head in HEADS)


def test_what_a_detector_has_not_is_refused_and_the_command_says_what_is_unknown(tmp_path: Path) -> None:
    spec = replace(SPEC, head=HEADS["retinanet"], norm="frozen")
    for more in ({"runtime": "folded"}, {"precision": "int8"}):
        with pytest.raises(UsageError, match="measured in fp32 and by runtime torch alone"):
            resnets.benchmark(spec, batch=1, size=64, steps=1, **more)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="depends on what it finds"):
        resnets.benchmark(spec, batch=1, size=64, steps=1, memory_limit="4GiB")
    result = call("benchmark", "retinanet_resnet18_fpn", "--batch", 1, "--size", "64x96", "--steps", 1, "--train")
    assert (result.code, "not predicted" in result.out) == (0, True), result.err
    assert json.dumps(resnets.benchmark(spec, batch=1, size=64, steps=1, train=True))
