"""A network that gives its feature maps, for detectors, segmentation and other heads."""

# Without `from __future__ import annotations`: tracing copies those of `forward`, and TorchScript needs them as types.

from collections.abc import Sequence

from torch import Tensor, nn

from resnets.core.errors import UsageError
from resnets.models.feature_info import FeatureInfo
from resnets.models.freezing import HEAD, Freezable
from resnets.models.resnet import ResNet
from resnets.models.spec import stage_of


class FeatureNet(Freezable):
    """(N, channels, ...) to a list of feature maps, the finest first. `create(name, features_only=True)` makes one.

    It has the children of a `ResNet` up to the last that it needs, under the same names and with the same weights: the
    keys of the `state_dict` are torchvision's and timm's. In pre-activation nets the last feature map is normalised and
    activated, as `ResNet.features` has it (timm's is not).

    Args:
        network: whose modules it takes, not copies of them.
        out_indices: which feature maps: 0 for the stem's, 1 for the first stage's and so on, negative ones from the
            end; None is all.

    Attributes:
        spec: of `network`, of which later stages may be missing here.
        feature_info: channels, strides and modules of the feature maps.

    Raises:
        UsageError: an index is out of range.
    """

    def __init__(self, network: ResNet, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        self.spec = network.spec
        self.feature_info = FeatureInfo(network.spec, out_indices)
        self.given = self.feature_info.module_name()
        children = {name: child for name, child in network.named_children() if name not in HEAD}
        last = list(children).index(self.given[-1])
        for name in list(children)[: last + 1]:
            self.add_module(name, children[name])
        self.training = network.training

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Sets whether every block is recomputed in the backward pass; see `ResNet.recomputed`."""
        for name, child in self.named_children():
            if name.startswith("layer"):
                child.recomputed = (1,) * self.spec.depths[stage_of(name) - 1] if enable else ()  # type: ignore[assignment]

    def forward(self, x: Tensor) -> list[Tensor]:
        found: list[Tensor] = []
        for name, child in self.named_children():
            x = child(x)
            if name in self.given:
                found.append(x)
        return found


def feature_net(network: nn.Module, out_indices: Sequence[int] | None = None) -> FeatureNet:
    """The feature maps of `network`, of whose head nothing remains.

    Raises:
        UsageError: an index is out of range, or the network is of a task with a head of its own.
    """
    if not isinstance(network, ResNet):
        raise UsageError(
            f"features_only is for classifiers, not for {type(network).__name__}: create the backbone by its own name."
        )
    return FeatureNet(network, out_indices)
