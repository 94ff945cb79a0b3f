"""pytorch-grad-cam's heat maps. It runs where grad-cam is installed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision

from resnets.evaluation.grad_cam import grad_cam
from resnets.models.catalog import CATALOG
from tests.tools.small import images, trained

pytorch_grad_cam = pytest.importorskip("pytorch_grad_cam", reason="scripts/tools installs grad-cam, which needs OpenCV")
METHODS = ("GradCAM", "GradCAMPlusPlus", "XGradCAM", "LayerCAM", "EigenCAM", "HiResCAM", "ScoreCAM", "AblationCAM")


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnetv2_50", "cifar_resnet20", "cifar_preact110"])
def test_heat_maps_of_the_last_stage(name: str) -> None:
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network = trained(CATALOG[name])
    layer = network.get_submodule(network.stage_names[-1])[-1]  # type: ignore[index]
    for method in METHODS[:6]:
        with getattr(pytorch_grad_cam, method)(network, [layer]) as cam:
            found = cam(images(2, 64), [ClassifierOutputTarget(3)] * 2)
        assert found.shape == (2, 64, 64), method
        assert np.isfinite(found).all()
        assert found.max() > 0, method


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnetv2_50", "cifar_resnet20"])
def test_our_heat_maps_are_theirs(name: str) -> None:
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    network, given = trained(CATALOG[name]), images(2, 64)
    for stage, module in list(network.spec.stage_modules.items())[-2:]:
        with pytorch_grad_cam.GradCAM(network, [network.get_submodule(module)]) as cam:
            expected = cam(given, [ClassifierOutputTarget(3), ClassifierOutputTarget(5)])
        found, _ = grad_cam(network, given, torch.tensor([3, 5]), stage)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_heat_maps_are_those_of_torchvisions_network(method: str) -> None:
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    ours = trained(CATALOG["resnet18"])
    theirs = torchvision.models.resnet18().eval()
    theirs.load_state_dict(ours.state_dict())
    found = []
    for network in (ours, theirs):
        torch.manual_seed(0)
        with getattr(pytorch_grad_cam, method)(network, [network.get_submodule("layer4")[-1]]) as cam:  # type: ignore[index]
            found.append(cam(images(1, 64), [ClassifierOutputTarget(3)]))
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


def test_guided_gradients_are_torchvisions() -> None:
    ours = trained(CATALOG["resnet18"])
    theirs = torchvision.models.resnet18().eval()
    theirs.load_state_dict(ours.state_dict())
    found, expected = (
        pytorch_grad_cam.GuidedBackpropReLUModel(network, "cpu")(images(1, 64), 3) for network in (ours, theirs)
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected).max() > 0
