"""torchao's quantisation of the linear layer of a trained network."""

from __future__ import annotations

from dataclasses import replace

import torch
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig, quantize_

from resnets.models.spec import Spec
from tests.tools.small import SPECS, images, trained


# One test, since the import of torchao takes seconds in each process.
def test_logits_stay_within_the_step_of_eight_bits() -> None:
    for spec in SPECS.values():
        for config in (Int8WeightOnlyConfig(), Int8DynamicActivationInt8WeightConfig()):
            check(replace(spec, widths=(32, 32)), config)  # smaller layers stay as they are


def check(spec: Spec, config: Int8WeightOnlyConfig | Int8DynamicActivationInt8WeightConfig) -> None:
    network = trained(spec)
    with torch.inference_mode():
        expected = network(images())
        quantize_(network, config)
        assert type(network.fc.weight) is not torch.nn.Parameter
        found = network(images())
    error = ((found - expected).norm() / expected.norm()).item()
    assert 0 < error < 0.03
