"""The networks of the tasks by the head of their spec, for what needs a network and no task."""

from __future__ import annotations

from resnets.models.box_heads import BoxHead
from resnets.models.heads import LocalizationHead, PixelHead
from resnets.models.initialize import allocate
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.tasks.detection import network as detection
from resnets.tasks.localization import network as localization
from resnets.tasks.segmentation import network as segmentation


def build_network(spec: Spec) -> ResNet | segmentation.SegmentationNet | detection.Detector | localization.Localizer:
    """The network of `spec`, with its head, on the CPU; its weights are not yet set.

    Raises:
        UsageError: it has too many parameters for the weights to be allocated.
    """
    if isinstance(spec.head, PixelHead):
        return segmentation.build(spec)
    if isinstance(spec.head, BoxHead):
        return detection.build(spec)
    if isinstance(spec.head, LocalizationHead):
        return localization.build(spec)
    return allocate(spec)
