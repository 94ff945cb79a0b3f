"""Objects of another image of the batch, pasted over an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from resnets.core.typed import checked
from resnets.modalities.image.transforms.base import require

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from resnets.modalities.batch import Batch

_GOLDEN = (
    0.6180339887498949  # by whose multiples the numbers of an image's objects differ, so that they are spread evenly
)


@dataclass(frozen=True, kw_only=True)
@checked
class CopyPaste:
    """Simple copy-paste (Ghiasi et al. 2021, 2012.07177, section 3): some objects of another image of the ghost batch
    are pasted where they lie there, without blending; those that they cover lose what is covered.

    Objects that are not pasted, or covered altogether, stay in the batch with empty masks and with boxes without an
    area, since how many an image has must be known on the host. The loss has to pass them over.

    Args:
        p: probability that an object of the other image is pasted. Groups of objects never are.
    """

    p: float = 0.5

    numbers: ClassVar[int] = 1  # uniform numbers for an image

    def __post_init__(self) -> None:
        require(0 <= self.p <= 1, f"p must be in [0, 1], not {self.p}.")

    def __call__(self, batch: Batch, partners: NDArray[np.int64], u: Tensor) -> Batch:
        """The batch with the objects pasted.

        Args:
            batch: "inputs" (N, C, H, W), "regions" and the ragged arrays of objects with masks.
            partners: (N,) the row that each image gets objects from; its own gives it none.
            u: (N, 1) uniform numbers in [0, 1).
        """
        import torch

        from resnets.modalities.batch import Batch

        images, regions = [], []
        ragged: dict[str, list[Tensor]] = {name: [] for name in batch.ragged}
        for row, partner in enumerate(partners.tolist()):
            own = {name: values[row] for name, values in batch.ragged.items()}
            image, region = batch["inputs"][row], batch["regions"][row]
            if partner != row:
                other = {name: values[partner] for name, values in batch.ragged.items()}
                chosen = self._chosen(u[row], other["crowds"])
                cover = (other["masks"].bool() & chosen[:, None, None]).any(0)
                image = torch.where(cover, batch["inputs"][partner], image)
                region = _union(region, batch["regions"][partner])
                own = {
                    name: torch.cat([values, _pasted(other, chosen)[name]])
                    for name, values in _covered(own, cover).items()
                }
            images.append(image)
            regions.append(region)
            for name, values in own.items():
                ragged[name].append(values)
        dense = {**batch.dense, "inputs": torch.stack(images), "regions": torch.stack(regions)}
        return Batch(dense, {name: tuple(values) for name, values in ragged.items()})

    def _chosen(self, u: Tensor, crowds: Tensor) -> Tensor:
        """(n,) which objects are pasted."""
        import torch

        numbers = torch.arange(len(crowds), device=crowds.device, dtype=torch.float32)
        return ((u + _GOLDEN * numbers) % 1.0 < self.p) & ~crowds


def _pasted(objects: dict[str, Tensor], chosen: Tensor) -> dict[str, Tensor]:
    """The objects, those that are not chosen without a mask and an area."""
    masks = objects["masks"] * chosen[:, None, None]
    return {**objects, "masks": masks, "boxes": objects["boxes"] * chosen[:, None], "areas": objects["areas"] * chosen}


def _covered(objects: dict[str, Tensor], cover: Tensor) -> dict[str, Tensor]:
    """The objects without what is covered; the boxes of those that lose something are around what is left."""
    import torch

    masks = objects["masks"] * ~cover
    left = masks.sum((1, 2))
    changed = left != objects["masks"].sum((1, 2))
    boxes = torch.where(changed[:, None], boxes_of(masks), objects["boxes"])
    return {**objects, "masks": masks, "boxes": boxes, "areas": torch.where(changed, left.float(), objects["areas"])}


def boxes_of(masks: Tensor) -> Tensor:
    """(n, 4) float32 left, top, right and bottom of masks (n, H, W); zeros for those without a pixel."""
    import torch

    shown = masks.bool()
    columns, rows = shown.any(1).byte(), shown.any(2).byte()
    left, top = columns.argmax(1), rows.argmax(1)  # of equal ones, the first
    right, bottom = (each.shape[1] - each.flip(1).argmax(1) for each in (columns, rows))
    return torch.stack((left, top, right, bottom), 1).float() * shown.any(2).any(1)[:, None]


def _union(one: Tensor, other: Tensor) -> Tensor:
    import torch

    return torch.cat([torch.minimum(one[:2], other[:2]), torch.maximum(one[2:], other[2:])])
