"""The loss of segmentation against torch's own mean over pixels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from resnets.tasks.segmentation.loss import cross_entropy, valid_pixels

N, CLASSES, H, W = 4, 5, 6, 7


def random_case(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of two heads and masks, in which the share of void rises from sample to sample; the last is all void."""
    g = torch.Generator().manual_seed(seed)
    out, aux = torch.randn(2, N, CLASSES, H, W, generator=g, dtype=dtype)
    masks = torch.randint(0, CLASSES, (N, H, W), generator=g, dtype=torch.uint8)
    void = torch.rand(N, H, W, generator=g) < torch.linspace(0, 1, N)[:, None, None]
    return out, aux, masks.masked_fill(void, 255)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_mean_is_torchs_mean_over_the_pixels_that_count(label_smoothing: float) -> None:
    out, aux, masks = random_case()
    parts = cross_entropy({"out": out, "aux": aux}, masks, auxiliary_weight=0.4, label_smoothing=label_smoothing)
    pixels = valid_pixels(masks).sum()

    def expected(logits: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, masks.long(), ignore_index=255, label_smoothing=label_smoothing)

    torch.testing.assert_close(parts["pixels"].sum() / pixels, expected(out))
    torch.testing.assert_close(parts["auxiliary"].sum() / pixels, 0.4 * expected(aux))


def test_without_an_auxiliary_head_there_is_one_part() -> None:
    out, _, masks = random_case()
    assert list(cross_entropy({"out": out}, masks, auxiliary_weight=0.4)) == ["pixels"]


def test_each_sample_has_its_own_sum_and_void_has_none() -> None:
    out, _, masks = random_case()
    whole = cross_entropy({"out": out}, masks, auxiliary_weight=0)["pixels"]
    alone = [cross_entropy({"out": out[i : i + 1]}, masks[i : i + 1], auxiliary_weight=0)["pixels"] for i in range(N)]
    torch.testing.assert_close(whole, torch.cat(alone))
    assert whole[-1] == 0
    assert valid_pixels(masks).tolist() == [(mask != 255).sum().item() for mask in masks]
    assert valid_pixels(masks)[-1] == 0


def test_float64_stays_and_bf16_is_computed_in_float32() -> None:
    out, _, masks = random_case(dtype=torch.float64)
    assert cross_entropy({"out": out}, masks, auxiliary_weight=0)["pixels"].dtype == torch.float64
    rounded = out.bfloat16()
    assert torch.equal(
        cross_entropy({"out": rounded}, masks, auxiliary_weight=0)["pixels"],
        cross_entropy({"out": rounded.float()}, masks, auxiliary_weight=0)["pixels"],
    )
