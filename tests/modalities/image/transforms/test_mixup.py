from __future__ import annotations

import pytest
import torch
from torchvision.transforms import v2

from resnets.core import rng
from resnets.core.config import encode
from resnets.data.batch_rng import StepRNG
from resnets.data.sampler import EpochSampler
from resnets.modalities.image.transforms import Augmentations, CutMix, Mixup
from tests.modalities.image.transforms.samples import photos

PARTNERS = torch.tensor([3, 0, 1, 2, 4])


def test_mixup_blends_each_image_with_its_partner() -> None:
    images, lam = photos(5), torch.tensor([0.0, 0.25, 0.5, 0.9, 1.0])
    mixed, kept = Mixup()(images, PARTNERS, lam, torch.zeros(5, 2))
    weight = lam.numpy()[:, None, None, None]
    expected = weight * images.numpy() + (1 - weight) * images.numpy()[PARTNERS.numpy()]
    torch.testing.assert_close(mixed, torch.from_numpy(expected))
    assert torch.equal(kept, lam)


def step_rng(seed: int, rows: slice = slice(0, 8)) -> StepRNG:
    return StepRNG(seed, 0, EpochSampler(8, 8, seed), rows, 8, torch.device("cpu"))


@pytest.mark.parametrize("mix", [Mixup(alpha=0.8, per="batch"), CutMix(per="batch")])
def test_a_batch_mixed_with_one_lam_is_torchvisions(mix: Mixup | CutMix, monkeypatch: pytest.MonkeyPatch) -> None:
    images = photos(8, 3, 20, 30)
    u = mix.draw(step_rng(1), "mix place")
    lam = torch.from_numpy(mix.sample_lam(rng.generator(1, "mix"), 8))
    assert len(lam.unique()) == 1
    theirs = v2.CutMix(num_classes=8) if isinstance(mix, CutMix) else v2.MixUp(num_classes=8)
    monkeypatch.setattr(theirs._dist, "sample", lambda shape: lam[0])
    centers = iter(reversed(u[0].tolist()))  # theirs draws the column first
    monkeypatch.setattr(torch, "randint", lambda high, size: torch.tensor([int(high * next(centers))]))
    expected, targets = theirs(images, torch.arange(8))
    found, kept = mix(images, torch.arange(8).roll(1), lam, u)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(kept, targets.diagonal())


def test_ranks_draw_the_same_rectangle_of_a_batch_and_the_default_is_not_written() -> None:
    mix = CutMix(per="batch")
    whole = mix.draw(step_rng(2), "mix place")
    assert len(whole.unique(dim=0)) == 1
    assert torch.equal(mix.draw(step_rng(2, slice(4, 8)), "mix place"), whole[4:])
    assert encode(CutMix()) == {"alpha": 1.0}


def test_mixes_are_switched_evenly_from_step_to_step() -> None:
    augmentations = Augmentations(mix=(Mixup(alpha=0.2, per="batch"), CutMix(per="batch")))
    images = torch.zeros(8, 1, 16, 16)
    images[::2] = 1
    cut = 0
    for seed in range(300):
        mixed, _, lam = augmentations.mix_batch(images, step_rng(seed))
        cut += bool((mixed.flatten(1).amax(1) > mixed.flatten(1).amin(1)).any())
        assert len(lam.unique()) == 1
    assert 110 < cut < 170  # half, but for rectangles that cover nothing or all
