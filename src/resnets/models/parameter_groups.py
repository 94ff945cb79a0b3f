"""Groups of parameters for an optimiser: rates that fall from the head to the stem, and what is not decayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import nn

from resnets.core.errors import UsageError
from resnets.models.spec import Spec


class ParameterGroups(nn.Module):
    """A network whose parameters are put into groups by their depth in the residual network.

    Attributes:
        backbone_prefix: what the names of the residual network's parameters begin with.
    """

    backbone_prefix: ClassVar[str] = ""
    if TYPE_CHECKING:  # at run time TorchScript would read it
        spec: Spec

    def parameter_groups(
        self,
        *,
        lr: float | None = None,
        weight_decay: float = 0.0,
        layer_decay: float = 1.0,
        decay_norms_and_biases: bool = False,
    ) -> list[dict[str, Any]]:
        """The parameters that learn, in groups that torch's and timm's optimisers take.

        Layer-wise learning rates (Clark et al. 2020, 2003.10555, section 3.1; Bao et al. 2021, 2106.08254, section
        3.2): the head learns at the whole rate, the last block at `layer_decay` times that, the block before at its
        square, and the stem at the lowest.

        Args:
            lr: the rate of the head. Each group has its own as "lr"; where it is None, the groups have the factor
                alone, "lr_scale", which timm's schedulers read and torch's optimisers do not.
            weight_decay: of weights; scales and shifts of norms, and biases, have 0.
            layer_decay: factor between the rates of neighbouring blocks, in (0, 1].
            decay_norms_and_biases: whether those are decayed as well.

        Returns:
            Groups from the stem to the head, each with "params", "param_names", "weight_decay" and "lr_scale".

        Raises:
            UsageError: a value is out of range.
        """
        if not (0 < layer_decay <= 1 and weight_decay >= 0 and (lr is None or lr > 0)):
            raise UsageError(
                f"parameter_groups needs layer_decay in (0, 1], weight_decay of 0 or more and lr above 0, not "
                f"layer_decay={layer_decay}, weight_decay={weight_decay}, lr={lr}."
            )
        depth = _depths(self, self.spec, self.backbone_prefix)
        deepest = max(depth.values(), default=0)
        groups: dict[tuple[int, bool], dict[str, Any]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            decayed = parameter.ndim > 1 or decay_norms_and_biases
            scale = layer_decay ** (deepest - depth[name])
            rate = {} if lr is None else {"lr": lr * scale}
            new = {"params": [], "param_names": [], "weight_decay": weight_decay if decayed else 0.0, "lr_scale": scale}
            group = groups.setdefault((depth[name], decayed), new | rate)
            group["params"].append(parameter)
            group["param_names"].append(name)
        return [groups[key] for key in sorted(groups, key=lambda key: (key[0], not key[1]))]


def _depths(network: nn.Module, spec: Spec, prefix: str) -> dict[str, int]:
    """The number of the layer that each parameter belongs to: 0 is the stem, then each block, the last is the head.

    The norm at the end of pre-activation nets belongs to the last block, as in timm.
    """
    blocks = [f"{prefix}{name}." for name, _ in spec.blocks()]
    layers = [f"{prefix}conv1.", *blocks, ""]
    same = {f"{prefix}bn1.": layers[0], f"{prefix}bn.": blocks[-1]}
    found = {}
    for name, _ in network.named_parameters():
        start = name.replace("_orig_mod.", "")  # of stages that torch.compile wraps
        start = next((layer for norm, layer in same.items() if start.startswith(norm)), start)
        found[name] = next(number for number, layer in enumerate(layers) if start.startswith(layer))
    present = sorted(set(found.values()))
    return {name: present.index(number) for name, number in found.items()}
