"""Random erasing against torchvision's and timm's."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import timm.data
import torch
from torchvision import transforms

from resnets.core.errors import UsageError
from resnets.data.batch_rng import StepRNG
from resnets.data.sampler import EpochSampler
from resnets.modalities.image.transforms import RandomErasing

NEVER_FITS = [0.999, 0.999] * 10


def draws(seed: int, count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((count, RandomErasing.numbers), np.float32))


@pytest.mark.parametrize(("height", "width"), [(176, 176), (20, 31)])
def test_rectangles_are_timms_on_fixed_draws(height: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = RandomErasing(p=0.7, scale=(0.02, 1.0), ratio=(0.1, 10.0))
    theirs = timm.data.random_erasing.RandomErasing(
        probability=0.7, min_area=0.02, max_area=1.0, min_aspect=0.1, mode="const", device="cpu"
    )
    images = torch.ones(64, 3, height, width)
    u = draws(1, len(images))
    erased = ours(images, u)
    for image, row in zip(erased, u.double(), strict=True):
        attempts = iter(row[:20].tolist())
        places = iter(row[20:22].tolist())
        monkeypatch.setattr(random, "random", lambda row=row: row[22].item())
        monkeypatch.setattr(random, "uniform", lambda low, high, a=attempts: low + (high - low) * next(a))
        monkeypatch.setattr(random, "randint", lambda low, high, p=places: low + int((high - low + 1) * next(p)))
        assert torch.equal(image, theirs(torch.ones(3, height, width)))
    assert 0 < (erased == 0).flatten(1).any(1).sum() < len(images)


def test_rectangles_are_distributed_as_torchvisions() -> None:
    torch.manual_seed(0)
    count, side = 4000, 32
    theirs = transforms.RandomErasing(p=0.1)
    image = torch.ones(1, side, side)
    expected = torch.stack([theirs(image) for _ in range(count)]) == 0
    found = RandomErasing()(torch.ones(count, 1, side, side), draws(2, count)) == 0
    statistics: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        lambda x: x.flatten(1).any(1),
        lambda x: x,
        lambda x: x[:, :, :4],
        lambda x: x[..., 14:18],
    )
    for statistic in statistics:
        assert statistic(found).float().mean().item() == pytest.approx(
            statistic(expected).float().mean().item(), abs=0.02
        )
    sizes = [
        x[x.flatten(1).any(1)].float().mean((1, 2, 3)).quantile(torch.tensor([0.1, 0.5, 0.9]))
        for x in (found, expected)
    ]
    torch.testing.assert_close(sizes[0], sizes[1], atol=0.03, rtol=0)


def test_noise_fills_the_rectangles_and_is_normal() -> None:
    images, u, noise = torch.full((64, 3, 40, 40), 9.0), draws(3, 64), torch.randn(3, 40, 40)
    erasing = RandomErasing(p=0.7, fill="noise")
    found, hidden = erasing(images, u, noise), RandomErasing(p=0.7)(images, u) == 0
    assert 0 < hidden.float().mean() < 1
    assert torch.equal(found, torch.where(hidden, noise, images))

    sampler = EpochSampler(samples=8, batch=4, seed=0)
    rng = [StepRNG(0, step, sampler, slice(0, 4), 4, torch.device("cpu")) for step in (0, 0, 1)]
    first, same, next_one = (erasing.draw_noise(each, images) for each in rng)
    assert first is not None
    assert same is not None
    assert next_one is not None
    assert torch.equal(first, same)
    assert not torch.equal(first, next_one)
    assert scipy.stats.kstest(first.flatten().numpy(), "norm").pvalue > 0.01
    assert RandomErasing().draw_noise(rng[0], images) is None


def test_where_no_rectangle_fits_nothing_is_erased() -> None:
    u = torch.tensor([[*NEVER_FITS, 0.5, 0.5, 0.0]])
    images = torch.ones(1, 1, 8, 8)
    assert torch.equal(RandomErasing(p=1, scale=(0.9, 1.0), ratio=(1.0, 100.0))(images, u), images)


def test_settings_out_of_range_are_refused() -> None:
    for settings, message in (({"p": 2}, "p must be"), ({"scale": (0, 1)}, "scale"), ({"ratio": (2, 1)}, "ratio")):
        with pytest.raises(UsageError, match=message):
            RandomErasing(**settings)  # type: ignore[arg-type]
