"""RoIAlign against torchvision's, in values and gradients."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign

from resnets.tasks.detection.regions import AlignedRegions

STRIDES = (4, 8, 16, 32)
SIZE = (128, 192)


def maps(dtype: torch.dtype) -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    sizes = [(-(-SIZE[0] // stride), -(-SIZE[1] // stride)) for stride in (*STRIDES, 64)]
    return [torch.randn(2, 5, *size, generator=g, dtype=torch.float64).to(dtype).requires_grad_() for size in sizes]


def regions(count: int) -> Tensor:
    """Boxes of all sizes, some of which reach over the edges."""
    g = torch.Generator().manual_seed(1)
    middles = torch.rand(count, 2, generator=g, dtype=torch.float64) * torch.tensor([SIZE[1], SIZE[0]])
    sides = torch.exp(torch.rand(count, 2, generator=g, dtype=torch.float64) * 6)
    return torch.cat([middles - sides / 2, middles + sides / 2], 1)


EDGES = torch.tensor(
    [[0.0, 0, 192, 128], [191, 127, 192, 128], [5, 5, 5, 5], [-40, -30, -8, -8], [188, 4, 230, 60], [0, 0, 1, 128]],
    dtype=torch.float64,
)


@pytest.mark.parametrize("positions", [7, 14])
@pytest.mark.parametrize("boxes", [(regions(300), EDGES), (EDGES, torch.zeros(0, 4)), (regions(1), regions(40))])
def test_regions_are_torchvisions(positions: int, boxes: tuple[Tensor, Tensor]) -> None:
    peer = MultiScaleRoIAlign([str(number) for number in range(4)], positions, 2)
    given = [each.double() for each in boxes]
    own_maps, their_maps = maps(torch.float64), maps(torch.float64)
    own = AlignedRegions(positions, STRIDES)(own_maps, given)
    theirs = peer(OrderedDict((str(n), each) for n, each in enumerate(their_maps[:4])), given, [SIZE, SIZE])
    assert own.shape == theirs.shape
    assert torch.allclose(own, theirs, rtol=0, atol=1e-12)
    weights = torch.linspace(-1, 1, own.numel(), dtype=torch.float64).view(own.shape)
    (own * weights).sum().backward()
    (theirs * weights).sum().backward()
    for mine, other in zip(own_maps[:4], their_maps[:4], strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        assert torch.allclose(mine.grad, other.grad, rtol=0, atol=1e-12)


def test_no_region_at_all() -> None:
    given = maps(torch.float32)
    found = AlignedRegions(7, STRIDES)(given, [torch.zeros(0, 4), torch.zeros(0, 4)])
    assert found.shape == (0, 5, 7, 7)
    found.sum().backward()


def test_half_precision_is_pooled_in_float32() -> None:
    boxes = [regions(20).float(), EDGES.float()]
    half = AlignedRegions(7, STRIDES)([each.bfloat16() for each in maps(torch.float32)], boxes)
    full = AlignedRegions(7, STRIDES)([each.bfloat16().float() for each in maps(torch.float32)], boxes)
    assert half.dtype == torch.float32
    assert torch.equal(half, full)
