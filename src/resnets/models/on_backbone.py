"""What a network with a task's head asks of the residual network in it."""

# Without `from __future__ import annotations`: TorchScript reads the types of its subclasses.

from typing import ClassVar, Self

from resnets.models.feature_info import FeatureInfo
from resnets.models.memory import Segments
from resnets.models.parameter_groups import ParameterGroups
from resnets.models.resnet import backbone_of


class OnBackbone(ParameterGroups):
    """A network with a residual network in it, which `backbone_of` finds, and the head of a task."""

    __jit_unused_properties__: ClassVar = ["recomputed", "num_features", "num_classes", "feature_info"]

    @property
    def recomputed(self) -> Segments:
        """The segments of the backbone's blocks that are recomputed in the backward pass; see `ResNet.recomputed`."""
        return backbone_of(self).recomputed

    @recomputed.setter
    def recomputed(self, segments: Segments) -> None:
        backbone_of(self).recomputed = segments

    @property
    def num_features(self) -> int:
        """Channels of the backbone's last feature map."""
        return backbone_of(self).num_features

    @property
    def num_classes(self) -> int:
        """Number of classes; of a detector without the background."""
        return self.spec.classes

    @property
    def feature_info(self) -> FeatureInfo:
        """Channels, strides and modules of the backbone's feature maps."""
        return backbone_of(self).feature_info

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Sets whether every block of the backbone is recomputed in the backward pass."""
        backbone_of(self).set_grad_checkpointing(enable)

    def freeze(self, stages: int) -> Self:
        """Freezes the first parts of the backbone; see `Freezable.freeze`."""
        backbone_of(self).freeze(stages)
        return self
