"""fvcore's counters agree with `models.counts`. It runs where fvcore is installed."""

from __future__ import annotations

import pytest

from resnets.models import counts
from resnets.models.spec import Spec
from tests.tools.small import SPECS, images, trained

fvcore_nn = pytest.importorskip("fvcore.nn", reason="scripts/tools installs fvcore, which has no wheel")


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_multiply_adds_and_parameters_are_ours(spec: Spec) -> None:
    network = trained(spec)
    analysis = fvcore_nn.FlopCountAnalysis(network, images(1)).unsupported_ops_warnings(False)
    found = analysis.by_operator()
    assert found["conv"] + found["linear"] == counts.multiply_adds(spec, 32)
    by_module = analysis.by_module()
    assert sum(by_module[name] for name, _ in network.named_children()) == analysis.total()
    assert fvcore_nn.parameter_count(network)[""] == counts.parameters(spec)
