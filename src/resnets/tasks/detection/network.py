"""The network of detection: Faster R-CNN, Mask R-CNN and RetinaNet on any residual network.

`models.box_heads` says what each is. Keys of the `state_dict` are those of torchvision's `fasterrcnn_resnet50_fpn`,
`maskrcnn_resnet50_fpn` and `retinanet_resnet50_fpn`, and so are the values; of Faster R-CNN without a pyramid, which
torchvision has not, the residual network is in `backbone.body` whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, overload

from torch import Tensor, nn

from resnets.core.errors import UsageError
from resnets.models.box_heads import BoxHead, C4Head, RetinaNetHead
from resnets.models.initialize import allocate
from resnets.models.on_backbone import OnBackbone
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.nn.stochastic import number_stochastic_layers
from resnets.tasks.detection.anchors import anchors_on
from resnets.tasks.detection.boxes import Detections, Limits, Objects
from resnets.tasks.detection.dense_head import DenseHead
from resnets.tasks.detection.images import answers_of, objects_of, resized
from resnets.tasks.detection.proposals import ProposalNetwork
from resnets.tasks.detection.pyramid import Pyramid, Shared
from resnets.tasks.detection.region_heads import RegionHeads
from resnets.tasks.regions import regions_of


class Detector(OnBackbone):
    """Boxes of objects in images, and their masks.

    It is called as torchvision's detectors are: `net(images)` in evaluation returns the answers to a list of images,
    `net(images, targets)` in training the losses. Label 0 is the background there, and there alone. The task calls
    `losses` and `detect`, which do the same in training and in evaluation.

    Attributes:
        spec: the architecture; its head is a `BoxHead`. `spec.classes` are without the background.
        backbone: `Pyramid`, or `Shared` for a `C4Head`.
        rpn, roi_heads: of Faster R-CNN: the proposal network and the second stage.
        head: of RetinaNet.
    """

    backbone_prefix: ClassVar[str] = "backbone.body."

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        head = spec.head
        if not isinstance(head, BoxHead):
            raise UsageError(f"Detection needs a model with a head for boxes, and this one has {type(head).__name__}.")
        if spec.dimensions != 2:
            raise UsageError(f"Detection needs a network of images, and this one has {spec.dimensions} dimensions.")
        self.spec = spec
        self.settings: BoxHead = head
        body = ResNet(spec)
        self.backbone = Shared(body) if isinstance(head, C4Head) else Pyramid(body, head)
        if isinstance(head, RetinaNetHead):
            self.head = DenseHead(head, self.backbone.channels, spec.classes)
        else:
            self.rpn = ProposalNetwork(head, self.backbone.channels)
            self.roi_heads = RegionHeads(head, self.backbone, spec.classes)
        number_stochastic_layers(self)

    @property
    def limits(self) -> Limits:
        """Which detections are given where nothing else is said."""
        return Limits(self.settings.min_score, self.settings.nms, self.settings.max_boxes)

    def losses(self, inputs: Tensor, objects: Sequence[Objects], regions: Tensor | None = None) -> dict[str, Tensor]:
        """The parts of the loss of each image, (N,) each, under torchvision's names.

        Each is a mean over the anchors, regions or masks of its image, so that no image depends on the others. Anchors
        and regions are chosen by the keys of the images (`nn.stochastic.set_rng_keys`).

        Args:
            inputs: (N, channels, H, W), normalised.
            objects: of each image, in pixels of the input.
            regions: (N, 4) where the image is on the input; None where it is all of it.
        """
        maps = self.backbone(inputs)
        anchors = anchors_on(maps, self.backbone.strides, self.settings)
        if "head" in self._modules:
            return self.head.losses(maps, anchors, objects)
        scored = self.rpn(maps, anchors)
        proposals = self.rpn.propose(scored, regions_of(inputs, regions).to(anchors), learning=True)
        of_regions = self.roi_heads.losses(self.backbone, maps, proposals, objects)
        return of_regions | self.rpn.losses(scored, objects)

    def detect(
        self, inputs: Tensor, regions: Tensor | None = None, *, limits: Limits | None = None
    ) -> list[Detections]:
        """The objects that are found in each image, in pixels of the input.

        Args:
            inputs: (N, channels, H, W), normalised.
            regions: (N, 4) where the image is on the input, at whose edges boxes are cut; None where it is all of it.
            limits: which detections are given; None takes those of the spec.
        """
        limits = limits or self.limits
        maps = self.backbone(inputs)
        anchors = anchors_on(maps, self.backbone.strides, self.settings)
        within = regions_of(inputs, regions).to(anchors)
        if "head" in self._modules:
            return self.head.detect(maps, anchors, within, limits)
        proposals = self.rpn.propose(self.rpn(maps, anchors), within, learning=False)
        return self.roi_heads.detect(self.backbone, maps, proposals, within, limits)

    @overload
    def forward(self, images: Sequence[Tensor] | Tensor, targets: None = None) -> list[dict[str, Tensor]]: ...
    @overload
    def forward(
        self, images: Sequence[Tensor] | Tensor, targets: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]: ...
    def forward(
        self, images: Sequence[Tensor] | Tensor, targets: Sequence[Mapping[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """The losses in training, each the mean over the images; in evaluation the answers to each image.

        Args:
            images: (channels, height, width) each, from 0 to 1, of any size; they are normalised and resized to
                `spec.head.min_size`.
            targets: of each image "boxes" (M, 4), "labels" (M,) int64 from 1 and for Mask R-CNN "masks" (M, height,
                width). They are needed in training, and not read in evaluation.

        Returns:
            The losses by torchvision's names; or of each image "boxes" (K, 4), "labels" (K,) from 1, "scores" (K,)
            and for Mask R-CNN "masks" (K, 1, height, width) from 0 to 1.

        Raises:
            UsageError: images or targets have other shapes, or there are no targets in training.
        """
        given = resized(list(images), self.spec, self.settings.min_size, self.settings.max_size)
        if not self.training:
            return answers_of(self.detect(given.inputs, given.regions), given)
        if targets is None:
            raise UsageError("In training a detector takes targets too: net(images, targets); for answers, net.eval().")
        objects = objects_of(targets, given, masks=self.settings.masks)
        losses = self.losses(given.inputs, objects, given.regions)
        return {name: of_images.mean() for name, of_images in losses.items()}

    def features(self, x: Tensor) -> dict[str, Tensor]:
        """The feature maps of the residual network by name; see `ResNet.features`."""
        return self.backbone.body.features(x)

    def get_classifier(self) -> nn.Module:
        """The layer that gives the logits of classes."""
        return self.get_submodule(next(iter(self.settings.output_layers)))

    def reset_classifier(self, classes: int) -> None:
        """Replaces the layers with rows for the classes by new ones with torch's own initialisation; `spec` follows.

        Raises:
            UsageError: `classes` is below 1.
        """
        self.spec = self.backbone.body.spec = replace(self.spec, classes=classes)
        for name, rows in self.settings.output_layers.items():
            old, count = self.get_submodule(name), rows.repeats * (rows.background + classes) * rows.numbers
            weight = old.get_parameter("weight")
            new = (
                nn.Linear(weight.shape[1], count)
                if isinstance(old, nn.Linear)
                else nn.Conv2d(weight.shape[1], count, weight.shape[2], padding=weight.shape[2] // 2)
            )
            self.set_submodule(name, new.to(weight.device, weight.dtype).train(self.training))
        if "head" in self._modules:
            self.head.classification_head.num_classes = 1 + classes


def build(spec: Spec) -> Detector:
    """A network on the CPU whose weights are not yet set.

    Raises:
        UsageError: the spec has another head, or too many parameters for the weights to be allocated.
    """
    return allocate(spec, Detector)
