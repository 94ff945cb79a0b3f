"""Spatial sizes: of feature maps, behind pools, the least that a network takes, and those of rectangles."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from resnets.core.errors import UsageError
from resnets.models import counts
from resnets.models.catalog import CATALOG
from resnets.models.initialize import create
from resnets.models.spec import Spec
from tests.models.test_catalog import on_meta


@pytest.mark.parametrize(
    "name",
    [
        "resnet50",
        "resnetv2_50",
        "cifar_resnet20",
        "resnet50d",
        "resnet26t",
        "resnetblur18",
        "resnetaa50",
        "resnetrs50",
        "resnetv2_50x1_bit",
    ],
)
@pytest.mark.parametrize("output_stride", [None, "half"])
def test_features_have_the_channels_and_strides_that_the_spec_says(name: str, output_stride: str | None) -> None:
    spec = replace(CATALOG[name], depths=(1,) * len(CATALOG[name].depths))
    if output_stride:
        spec = replace(spec, output_stride=list(spec.stage_strides.values())[-1] // 2)
    features = create(spec).eval().features(torch.randn(1, 3, 64, 64))
    assert {k: f.shape[1] for k, f in features.items()} == spec.stage_channels
    assert {k: 64 // f.shape[2] for k, f in features.items()} == spec.stage_strides


POOLED = Spec(widths=(8, 8, 8, 8), stem_width=8, stride_in="max pool", shortcut="D")


@pytest.mark.parametrize(
    ("spec", "least"),
    [
        (CATALOG["cifar_fast"], 9),
        (replace(CATALOG["cifar_fast"], output_stride=4), 5),
        (replace(CATALOG["cifar_fast"], output_stride=2), 3),
        (CATALOG["cifar_resnet20"], 1),
        (CATALOG["resnet18"], 1),
        (POOLED, 29),
        (replace(POOLED, stem="deep", output_stride=8), 5),
        (CATALOG["resnetblur18"], 17),
        (replace(CATALOG["resnetblur50"], output_stride=16), 17),
        (replace(CATALOG["resnetblur50"], output_stride=8), 9),
        (replace(CATALOG["cifar_resnet20"], antialias="blur", shortcut="B"), 3),
        (CATALOG["resnetaa50"], 3),
        (CATALOG["resnetrs50"], 1),
        (CATALOG["resnetv2_50x1_bit"], 1),
        (replace(CATALOG["resnetblur18"], dimensions=3), 17),
        (replace(CATALOG["resnetaa50"], dimensions=3), 19),
        (replace(CATALOG["resnet18d"], dimensions=3), 17),
    ],
)
def test_the_least_size_is_the_smallest_that_a_network_takes(spec: Spec, least: int) -> None:
    network = on_meta(spec).eval()
    assert spec.least_size == least
    network(torch.empty(1, 3, *[least] * spec.dimensions, device="meta"))
    assert all(min(layer.shape) >= 1 for layer in counts.layers(spec, least))
    if least > 1:
        with pytest.raises(RuntimeError, match=r"too small|greater than actual|smaller than kernel size"):
            network(torch.empty(1, 3, *[least - 1] * spec.dimensions, device="meta"))
    with pytest.raises(UsageError, match=f"the minimum is {least} px"):
        counts.layers(spec, least - 1)


@pytest.mark.parametrize("size", [32, 33, 40])
def test_sizes_behind_pools_are_as_counted(size: int) -> None:
    spec = CATALOG["cifar_fast"]
    features = create(spec).eval().features(torch.randn(1, 3, size, size))
    shapes = {layer.name: layer.shape for layer in counts.layers(spec, size)}
    for number in (1, 2, 3):
        assert features[f"C{number + 1}"].shape[1:] == shapes[f"layer{number}.0.conv2"]


@pytest.mark.parametrize(
    "name", ["resnet18", "cifar_fast", "cifar_resnet20", "resnet50d", "resnetblur18", "resnetaa50"]
)
def test_counts_of_spectrograms(name: str) -> None:
    spec, size = replace(CATALOG[name], channels=1), (101, 40)
    with FlopCounterMode(display=False) as profiler:
        on_meta(spec).eval()(torch.empty(1, 1, *size, device="meta"))
    assert counts.multiply_adds(spec, size) == pytest.approx(profiler.get_total_flops() / 2, rel=0.01)
    assert counts.multiply_adds(spec, (40, 101)) == counts.multiply_adds(spec, size)
    with pytest.raises(UsageError, match="3 numbers does not fit an input of 2 dimensions"):
        counts.layers(spec, (1, 2, 3))


def test_a_rectangle_that_is_too_small_is_refused_by_its_smaller_side() -> None:
    with pytest.raises(UsageError, match="A 4x100 px input is too small for this model; the minimum is 9 px"):
        counts.layers(CATALOG["cifar_fast"], (100, 4))
