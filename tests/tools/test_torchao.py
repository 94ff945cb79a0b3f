"""torchao's quantisation of the linear layer of a trained network."""

from __future__ import annotations

from dataclasses import replace

import torch

from tests.tools.small import SPECS, images, trained


# One test with the import in it, since that takes a second in each process.
def test_logits_stay_within_the_step_of_eight_bits() -> None:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig, quantize_

    for spec in SPECS.values():
        for config in (Int8WeightOnlyConfig(), Int8DynamicActivationInt8WeightConfig()):
            network = trained(replace(spec, widths=(32, 32)))  # smaller layers stay as they are
            with torch.inference_mode():
                expected = network(images())
                quantize_(network, config)
                assert type(network.fc.weight) is not torch.nn.Parameter
                error = float((network(images()) - expected).norm() / expected.norm())
            assert 0 < error < 0.03
