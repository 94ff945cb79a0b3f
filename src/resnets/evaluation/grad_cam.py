"""Where in an image a network sees a class: Grad-CAM (Selvaraju et al. 2017, 1610.02391)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.core.errors import lookup
from resnets.models.resnet import backbone_of
from resnets.nn.modes import evaluation_mode
from resnets.tasks.forward import lay_out

_SMALLEST = 1e-7  # by which a map of zeros is divided


def grad_cam(
    network: nn.Module, inputs: Tensor, target: Tensor | None = None, stage: str | None = None
) -> tuple[Tensor, Tensor]:
    """The heat map of a class for each input, and the logits.

    The channels of a feature map are weighted by the mean over the positions of the gradient of the class's logit
    (equation 1), summed, and cut off at zero (equation 2). The least value is then 0 and the greatest 1; the map is
    enlarged to the size of the input, bilinearly.

    Args:
        network: in whatever mode; it computes in evaluation mode, and no gradient of its weights is touched.
        inputs: (N, channels, H, W) float32, normalised, on its device.
        target: (N,) int64 numbers of classes; None takes the most probable of each input.
        stage: whose feature map, of `ResNet.features`, such as "C4"; None is the last.

    Returns:
        (N, H, W) float32 from 0 to 1, and (N, classes) float32.

    Raises:
        UsageError: there is no such stage.
    """
    backbone = backbone_of(network)
    modules = backbone.spec.stage_modules
    module = backbone.get_submodule(list(modules.values())[-1] if stage is None else lookup(modules, stage, "stage"))
    kept: list[Tensor] = []

    def keep(module: nn.Module, given: object, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())  # what is before it needs no gradient
        return kept[-1]

    with torch.inference_mode(False), torch.enable_grad(), evaluation_mode(network):
        handle = module.register_forward_hook(keep)
        try:
            logits: Tensor = network(lay_out(inputs.clone() if inputs.is_inference() else inputs))
        finally:
            handle.remove()
        chosen = logits.argmax(1) if target is None else target.to(logits.device)
        (gradient,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), kept[-1])
    weights = gradient.mean((2, 3), keepdim=True)
    heat = (weights * kept[-1].detach()).sum(1, keepdim=True).clamp(min=0).float()
    enlarged = F.interpolate(_from_0_to_1(heat), inputs.shape[2:], mode="bilinear", align_corners=False)
    return _from_0_to_1(enlarged)[:, 0], logits.detach()


def _from_0_to_1(heat: Tensor) -> Tensor:
    """(N, 1, H, W), the least of each at 0 and the greatest at 1; one that is the same everywhere at 0."""
    heat = heat - heat.amin((2, 3), keepdim=True)
    return heat / (heat.amax((2, 3), keepdim=True) + _SMALLEST)
