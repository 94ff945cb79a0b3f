"""Networks of tasks by name: any network on ImageNet with the head of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from resnets.models.box_heads import BoxHead, C4Head, FasterRCNNHead, RetinaNetHead
from resnets.models.heads import DeepLabHead, FCNHead, FPNHead
from resnets.models.spec import Spec


def fcn(backbone: Spec) -> Spec:
    """Long et al. 2015 (1411.4038) as torchvision has it: output stride 8, the 21 classes of Pascal VOC.

    As torchvision's builders do without weights, it leaves the auxiliary head out: `head=FCNHead(auxiliary=True)`.
    """
    return replace(backbone, output_stride=8, classes=21, head=FCNHead())


def deeplab(backbone: Spec) -> Spec:
    """DeepLabV3 (Chen et al. 2017, 1706.05587) as torchvision has it; the auxiliary head is left out as in `fcn`."""
    return replace(backbone, output_stride=8, classes=21, head=DeepLabHead())


def fpn(backbone: Spec) -> Spec:
    """A feature pyramid for pixels (Kirillov et al. 2019, 1901.02446), at the network's own strides."""
    return replace(backbone, classes=21, head=FPNHead())


def detector(head: BoxHead, backbone: Spec) -> Spec:
    """A detector of COCO's 90 ids of classes. Batch norm is frozen, as in He et al. 2015, appendix A, and since."""
    norm = "frozen" if backbone.norm == "batch" else backbone.norm
    return replace(backbone, norm=norm, classes=90, head=head)


# By the pattern of the name, in which the network's own stands.
WITH_HEADS: Mapping[str, Callable[[Spec], Spec]] = {
    "fcn_{}": fcn,
    "deeplabv3_{}": deeplab,
    "fpn_{}": fpn,
    "fasterrcnn_{}_fpn": partial(detector, FasterRCNNHead()),
    "maskrcnn_{}_fpn": partial(detector, FasterRCNNHead(masks=True)),
    "retinanet_{}_fpn": partial(detector, RetinaNetHead()),
    "fasterrcnn_{}_c4": partial(detector, C4Head()),
}
