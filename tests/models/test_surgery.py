"""Weights put into a network with other classes or channels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from resnets.core.errors import FileError
from resnets.models.initialize import create
from resnets.models.spec import Spec
from resnets.models.surgery import load_strictly, transplant

SPEC = Spec(depths=(1, 1), widths=(8, 16), stem="cifar", stem_width=8, classes=5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6, 7])
def test_a_image_with_equal_channels_keeps_its_responses(channels: int) -> None:
    source = create(SPEC, seed=1).eval()
    target = create(replace(SPEC, channels=channels), seed=2).eval()
    notes = transplant(target, source.state_dict(), "there")
    grey = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(target(grey.expand(-1, channels, -1, -1)), source(grey.expand(-1, 3, -1, -1)))
    assert len(notes) == (channels != 3)


def test_a_classifier_of_other_classes_stays_new_and_is_noted() -> None:
    source, target = create(SPEC, seed=1), create(replace(SPEC, classes=7), seed=2)
    fresh = target.fc.weight.clone()
    notes = transplant(target, source.state_dict(), "there")
    assert torch.equal(target.fc.weight, fresh)
    assert torch.equal(target.get_parameter("conv1.weight"), source.get_parameter("conv1.weight"))
    assert len(notes) == 2
    assert all("fc." in note and "(5" in note and "(7" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer1.0.conv1.weight"), "layer1.0.conv1.weight is missing"),
        (lambda s: s.update(extra=torch.zeros(1)), "extra is unknown"),
        (
            lambda s: s.update({"layer1.0.bn1.weight": torch.zeros(9)}),
            r"layer1.0.bn1.weight has shape \(9,\), not \(8,\)",
        ),
    ],
)
def test_anything_else_that_differs_is_refused_by_name(change: object, message: str) -> None:
    state = create(SPEC).state_dict()
    change(state)  # type: ignore[operator]
    for put in (load_strictly, transplant):
        with pytest.raises(FileError, match=message):
            put(create(SPEC), state, "there")
