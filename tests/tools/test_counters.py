"""Counters of parameters and multiply-adds agree with `models.counts`."""

from __future__ import annotations

import pytest
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from torchinfo import summary

from resnets.models import counts
from resnets.models.catalog import CATALOG
from resnets.models.spec import Spec
from resnets.tasks.networks import build_network
from tests.tools.small import SPECS, images, trained


def size_for(spec: Spec) -> int:
    return 32 if spec.stem in ("cifar", "whitened") else 64


FAST = ("resnet18", "resnext50_32x4d", "skresnet18", "ecaresnet50d", "cifar_fast", "fcn_resnet50")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name, spec in CATALOG.items()
        if spec.dimensions == 2 and sum(spec.depths) <= 16  # deeper ones have more of the same blocks
    ],
)
def test_torchs_flop_counter_counts_two_for_each_multiply_add(name: str) -> None:
    spec = CATALOG[name]
    size = size_for(spec)
    with torch.device("meta"):
        network = build_network(spec).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, spec.channels, size, size))
    assert counter.get_total_flops() == 2 * counts.multiply_adds(spec, size)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_torchinfo_counts_the_same_parameters_and_names_every_child(spec: Spec) -> None:
    network = trained(spec)
    found = summary(network, input_data=images(1), verbose=0, row_settings=("var_names",))
    assert found.total_params == counts.parameters(spec)
    assert found.total_output_bytes > 0
    assert [name for name, _ in network.named_children()] == [
        each.var_name for each in found.summary_list if each.depth == 1 and not each.is_recursive
    ]


def test_the_profiler_sees_each_convolution() -> None:
    network = trained()
    with profile(activities=[ProfilerActivity.CPU], with_flops=True) as profiler, torch.inference_mode():
        network(images(1))
    found = {event.key: event for event in profiler.key_averages()}
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    assert found["aten::conv2d"].count == convolutions
    flops = found["aten::conv2d"].flops + found["aten::addmm"].flops
    assert flops == 2 * counts.multiply_adds(network.spec, 32)
