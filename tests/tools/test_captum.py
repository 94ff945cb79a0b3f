"""captum's attributions: their axioms hold, and they are those of torchvision's network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from captum.attr import (
    DeepLift,
    GuidedBackprop,
    GuidedGradCam,
    IntegratedGradients,
    LayerConductance,
    LayerGradCam,
    Occlusion,
)

from resnets.models.catalog import CATALOG
from resnets.models.spec import Spec
from tests.tools import guide
from tests.tools.small import SPECS, images, trained

EACH = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


@EACH
def test_integrated_gradients_add_up_to_the_difference_of_logits(spec: Spec) -> None:
    network, x = trained(spec).double(), images().double()
    found, delta = IntegratedGradients(network).attribute(x, target=1, n_steps=50, return_convergence_delta=True)
    with torch.no_grad():
        difference = (network(x) - network(torch.zeros_like(x)))[:, 1]
    torch.testing.assert_close(found.flatten(1).sum(1), difference, rtol=0.05, atol=0.05)
    assert delta.abs().max() < 0.05


# Products and overlapping max pools are left out: DeepLift's rules hold for them only approximately.
@pytest.mark.parametrize("spec", [replace(each, stem="cifar", gate="none") for each in SPECS.values()], ids=SPECS)
def test_deep_lift_adds_up_when_each_module_is_used_once(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, x = trained(spec).double(), images().double()
    with pytest.raises(RuntimeError, match="used more than once"):
        DeepLift(network).attribute(x, torch.zeros_like(x), target=1)
    network = trained(spec).double()  # the failed call leaves its hooks behind
    single = guide.run("DeepLift", tmp_path, monkeypatch, "tools.md").one_module_per_use(network)
    found = DeepLift(single).attribute(x, torch.zeros_like(x), target=1)
    with torch.no_grad():
        assert torch.equal(single(x), network(x))
        difference = (network(x) - network(torch.zeros_like(x)))[:, 1]
    torch.testing.assert_close(found.flatten(1).sum(1), difference, rtol=1e-6, atol=1e-6)


def test_attributions_are_those_of_torchvisions_network() -> None:
    ours = trained(CATALOG["resnet18"])
    theirs = torchvision.models.resnet18().eval()
    theirs.load_state_dict(ours.state_dict())
    for attribute in (
        lambda network: LayerGradCam(network, network.layer4).attribute(images(), target=3),
        lambda network: GuidedGradCam(network, network.layer3).attribute(images(), target=3),
        lambda network: GuidedBackprop(network).attribute(images(), target=3),
    ):
        found, expected = attribute(ours), attribute(theirs)
        assert expected.abs().max() > 0
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_conductance_of_a_stage_and_occlusion() -> None:
    network = trained().double()
    x = images().double()
    found = LayerConductance(network, network.get_submodule("layer1")).attribute(x, target=1, n_steps=100)
    with torch.no_grad():
        difference = (network(x) - network(torch.zeros_like(x)))[:, 1]
        torch.testing.assert_close(found.flatten(1).sum(1), difference, rtol=0.05, atol=0.05)
        occluded = x.clone()
        occluded[:, :, :16, :16] = 0
        change = (network(x) - network(occluded))[:, 1]
    patches = Occlusion(network).attribute(x, sliding_window_shapes=(3, 16, 16), strides=(3, 16, 16), target=1)
    torch.testing.assert_close(patches[:, 0, 0, 0], change.float())
