"""TrivialAugment against torchvision's on fixed draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torchvision.transforms as theirs

from resnets.core.errors import UsageError
from resnets.modalities.image.transforms import TrivialAugmentWide, trivial_augment
from resnets.modalities.image.transforms.magnitudes import SIGNED
from resnets.modalities.image.transforms.trivial_augment import OPERATIONS
from tests.modalities.image.transforms.policies import FILL, by_torchvision, chosen, photo, torchvision_name


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_at_every_magnitude_gives_torchvisions_pixels(operation: str, interpolation: str) -> None:
    image = photo()
    ours = TrivialAugmentWide(interpolation=interpolation, fill=FILL)  # type: ignore[arg-type]
    magnitudes, signed = theirs.TrivialAugmentWide()._augmentation_space(31)[torchvision_name(operation)]
    assert signed == (operation in SIGNED)
    number = [str(each) for each in OPERATIONS].index(operation)
    for bin_ in range(31):
        magnitude = float(magnitudes[bin_]) if magnitudes.ndim else 0.0
        for sign in (0.2, 0.7) if signed else (0.2,):
            u = np.array([chosen(number, len(OPERATIONS)), chosen(bin_, 31), sign], np.float32)
            expected = by_torchvision(image, operation, -magnitude if sign > 0.5 else magnitude, interpolation)
            np.testing.assert_array_equal(np.asarray(ours(image, u)), expected, f"{bin_} {sign}")


def test_operations_magnitudes_and_signs_are_drawn_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [each.lower() for each in theirs.TrivialAugmentWide()._augmentation_space(31)]
    assert sorted(names) == sorted(each.replace("_", "") for each in OPERATIONS)
    drawn: list[tuple[str, float]] = []
    monkeypatch.setattr(trivial_augment, "apply", lambda image, name, value, **_: drawn.append((name, value)))
    image, policy = photo(), TrivialAugmentWide()
    for row in np.random.default_rng(1).random((28_000, policy.numbers), np.float32):
        policy(image, row)
    count = Counter(name for name, _ in drawn)
    assert min(count.values()) > 1800
    assert max(count.values()) < 2200
    turns = Counter(value for name, value in drawn if name == "rotate")
    assert len(turns) == 61  # thirty magnitudes in both directions, and none
    assert max(turns.values()) < 2.5 * 2000 / 31
    assert sum(value < 0 for name, value in drawn if name == "rotate") == pytest.approx(1000 * 30 / 31, abs=100)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="bins must be from 2"):
        TrivialAugmentWide(bins=1)
    with pytest.raises(UsageError, match="fill takes red"):
        TrivialAugmentWide(fill=(0, 0, 256))
