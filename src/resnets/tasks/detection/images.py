"""A detector called as torchvision's are: from a list of images of any size to one tensor, and answers back.

Images are scaled to [0, 1] and not normalised; labels count from 1, as 0 is the background. The task does neither: its
inputs are batches of one size, normalised by the preprocessing, and its classes count from 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image

from resnets.core.errors import UsageError
from resnets.models.spec import Spec
from resnets.tasks.detection.boxes import Detections, Objects, has_area

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, repeated in turn for more channels
_MULTIPLE = 32  # of the height and width of a batch


@dataclass(frozen=True)
class ResizedImages:
    """Images in one tensor.

    Args:
        inputs: (N, channels, H, W), normalised; 0 beside and below an image.
        sizes: height and width of each on it.
        originals: height and width of each as it was given.
    """

    inputs: Tensor
    sizes: list[tuple[int, int]]
    originals: list[tuple[int, int]]

    @property
    def regions(self) -> Tensor:
        """(N, 4) where each image is on its input."""
        corners = [(0, 0, width, height) for height, width in self.sizes]
        return torch.tensor(corners, dtype=self.inputs.dtype, device=self.inputs.device)


def resized(images: Sequence[Tensor], spec: Spec, min_size: int, max_size: int) -> ResizedImages:
    """`images` normalised, with shorter sides of `min_size`, or longer ones of `max_size` where those would be longer.

    Args:
        images: (channels, height, width) each, from 0 to 1.

    Raises:
        UsageError: one has another shape or kind of number.
    """
    if not images:
        raise UsageError("A detector takes one image or more.")
    originals, found = [], []
    for image in images:
        if image.ndim != 3 or len(image) != spec.channels or not image.is_floating_point():
            raise UsageError(
                f"A detector takes a list of images ({spec.channels}, height, width) of floats from 0 to 1, not "
                f"{tuple(image.shape)} of {str(image.dtype).removeprefix('torch.')}."
            )
        height, width = image.shape[1:]
        originals.append((height, width))
        scale = min(min_size / min(height, width), max_size / max(height, width))
        found.append(_enlarged(_normalized(image)[None], scale)[0])
    sizes = [(each.shape[1], each.shape[2]) for each in found]
    height, width = (-(-max(sides) // _MULTIPLE) * _MULTIPLE for sides in zip(*sizes, strict=True))
    inputs = found[0].new_zeros(len(found), spec.channels, height, width)
    for place, each in zip(inputs, found, strict=True):
        place[:, : each.shape[1], : each.shape[2]] = each
    return ResizedImages(inputs, sizes, originals)


def objects_of(targets: Sequence[Mapping[str, Tensor]], images: ResizedImages, *, masks: bool) -> list[Objects]:
    """The objects on the inputs, of torchvision's targets.

    Args:
        targets: of each image "boxes" (M, 4), "labels" (M,) int64 from 1 and, for `masks`, "masks" (M, height, width).

    Raises:
        UsageError: an entry is missing, does not fit its image, or a box has no area.
    """
    if len(targets) != len(images.sizes):
        raise UsageError(f"There are {len(images.sizes)} images and {len(targets)} targets.")
    wanted = ("boxes", "labels", "masks") if masks else ("boxes", "labels")
    found = []
    for number, target in enumerate(targets):
        if missing := [name for name in wanted if name not in target]:
            raise UsageError(f"The target of image {number} has no {' and no '.join(missing)}.")
        boxes, labels = target["boxes"], target["labels"]
        if boxes.shape != (len(labels), 4) or not boxes.is_floating_point():
            raise UsageError(
                f"The boxes of image {number} are {tuple(boxes.shape)}, for {len(labels)} labels of floats."
            )
        if not has_area(boxes).all():
            raise UsageError(
                f"A box of image {number} is not wider and higher than 0: {boxes[~has_area(boxes)][0].tolist()}."
            )
        height, width = images.originals[number]
        scale = _scale(images.originals[number], images.sizes[number], boxes)
        own = None
        if masks:
            given = tuple(target["masks"].shape)
            if given != (len(labels), height, width):
                raise UsageError(f"The masks of image {number} are {given}, not {(len(labels), height, width)}.")
            own = _placed(target["masks"], images, number)
        found.append(Objects(boxes * scale, labels - 1, own))
    return found


def answers_of(detections: Sequence[Detections], images: ResizedImages) -> list[dict[str, Tensor]]:
    """torchvision's answers in pixels of the images as they were given: "boxes", "labels" from 1, "scores" and, where
    there are masks, "masks" (K, 1, height, width), the probability of each pixel."""
    found = []
    for number, each in enumerate(detections):
        size = images.originals[number]
        boxes = each.boxes * _scale(images.sizes[number], size, each.boxes)
        answer = {"boxes": boxes, "labels": each.labels + 1, "scores": each.scores}
        if each.masks is not None:
            answer["masks"] = paste_masks_in_image(each.masks[:, None], boxes, size)
        found.append(answer)
    return found


def _normalized(image: Tensor) -> Tensor:
    mean, std = (image.new_tensor([each[i % 3] for i in range(len(image))]) for each in (MEAN, STD))
    return (image - mean[:, None, None]) / std[:, None, None]


def _enlarged(image: Tensor, scale: float) -> Tensor:
    return F.interpolate(image, scale_factor=scale, mode="bilinear", recompute_scale_factor=True, align_corners=False)


def _scale(old: tuple[int, int], new: tuple[int, int], boxes: Tensor) -> Tensor:
    """(4,) the factors of the numbers of a box between two sizes (height, width)."""
    height, width = (after / before for before, after in zip(old, new, strict=True))
    return boxes.new_tensor([width, height, width, height])


def _placed(masks: Tensor, images: ResizedImages, number: int) -> Tensor:
    """The masks (M, height, width) at the size and place of their image on the input."""
    height, width = images.sizes[number]
    whole = masks.new_zeros(len(masks), *images.inputs.shape[2:], dtype=torch.uint8)
    if len(masks):
        whole[:, :height, :width] = F.interpolate(masks[:, None].float(), (height, width), mode="nearest")[:, 0].byte()
    return whole
