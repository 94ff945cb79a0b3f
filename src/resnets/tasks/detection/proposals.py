"""The region proposal network: boxes that may hold an object (Ren et al. 2015, 1506.01497, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import batched_nms

from resnets.models.box_heads import C4Head, FasterRCNNHead, anchors_per_place
from resnets.tasks.detection.boxes import ANCHOR_CODER, Objects, at_least, clip, exact, match
from resnets.tasks.detection.sampling import Sampler

LOW, HIGH = 0.3, 0.7  # IoU with an object below which an anchor is background, and from which it stands for it
NMS = 0.7
BETA = 1 / 9  # where the smooth L1 loss becomes linear
_SMALLEST = 1e-3  # pixels of a proposal's sides


@dataclass(frozen=True)
class ScoredAnchors:
    """What the proposal network says of every anchor.

    Args:
        anchors: (A, 4); `counts` has how many of them each map has.
        logits: (N, A) that an anchor stands for an object.
        deltas: (N, A, 4) the better boxes, coded.
    """

    anchors: Tensor
    counts: list[int]
    logits: Tensor
    deltas: Tensor


class ProposalNetwork(nn.Module):
    """Scores anchors on feature maps, and makes proposals of them. Names of weights are torchvision's."""

    def __init__(self, settings: FasterRCNNHead | C4Head, channels: int) -> None:
        super().__init__()
        self.settings = settings
        self.head = RPNHead(channels, anchors_per_place(settings))
        self.sampler = Sampler(settings.anchors_per_image, 0.5)

    def forward(self, maps: Sequence[Tensor], anchors: Tensor) -> ScoredAnchors:
        """Scores the anchors of the maps (N, channels, H, W), the finest first."""
        logits, deltas = self.head(maps)
        flat = [exact(each).permute(0, 2, 3, 1).flatten(1) for each in logits]
        boxes = [exact(each).permute(0, 2, 3, 1).reshape(len(each), -1, 4) for each in deltas]
        return ScoredAnchors(anchors, [each.shape[1] for each in flat], torch.cat(flat, 1), torch.cat(boxes, 1))

    @torch.no_grad()
    def propose(self, scored: ScoredAnchors, regions: Tensor, *, learning: bool) -> list[Tensor]:
        """The proposals (P, 4) of each image, the best first.

        Args:
            regions: (N, 4) where the image is on the input; proposals are cut at its edges.
            learning: whether they are for the loss, which takes more of them.
        """
        candidates, most = (each[0 if learning else 1] for each in (self.settings.candidates, self.settings.proposals))
        chosen, levels, first = [], [], 0
        for number, count in enumerate(scored.counts):
            of_map = scored.logits[:, first : first + count].topk(min(candidates, count)).indices
            chosen.append(of_map + first)
            levels.append(torch.full_like(of_map[0], number))
            first += count
        indices, level = torch.cat(chosen, 1), torch.cat(levels)
        scores = scored.logits.gather(1, indices)
        deltas = scored.deltas.gather(1, indices[..., None].expand(-1, -1, 4))
        decoded = ANCHOR_CODER.decode_single(deltas.reshape(-1, 4), scored.anchors[indices].reshape(-1, 4))
        boxes = clip(decoded.view(deltas.shape), regions)
        found = []
        for of_image, score in zip(boxes, scores, strict=True):
            large = at_least(of_image, _SMALLEST)
            kept = of_image[large]
            found.append(kept[batched_nms(kept, score[large], level[large], NMS)[:most]])
        return found

    def losses(self, scored: ScoredAnchors, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """ "loss_objectness" and "loss_rpn_box_reg", (N,) each: means over the anchors that are taken of an image."""
        anchors = scored.anchors
        with torch.no_grad():
            matched = [match(each.boxes.to(anchors), anchors, low=LOW, high=HIGH, keep_best=True) for each in objects]
            samples = self.sampler([of_image + 1 for of_image in matched])
        objectness, boxes = [], []
        for number, (of_image, sample) in enumerate(zip(matched, samples, strict=True)):
            logits, places = scored.logits[number], torch.cat([sample.objects, sample.others])
            wanted = torch.zeros_like(places, dtype=logits.dtype)
            wanted[: len(sample.objects)] = 1
            taken = torch.cat([sample.has_object, sample.has_other])
            loss = F.binary_cross_entropy_with_logits(logits[places], wanted, reduction="none")
            objectness.append((loss * taken).sum() / sample.count)
            own = anchors[sample.objects]
            truth = own  # where there is no object, the loss is 0
            if len(objects[number].boxes):
                truth = objects[number].boxes.to(own)[of_image[sample.objects].clamp(min=0)]
                truth = truth.where(sample.has_object[:, None], own)
            coded = ANCHOR_CODER.encode_single(truth, own)
            loss = F.smooth_l1_loss(scored.deltas[number][sample.objects], coded, beta=BETA, reduction="none")
            boxes.append((loss * sample.has_object[:, None]).sum() / sample.count)
        return {"loss_objectness": torch.stack(objectness), "loss_rpn_box_reg": torch.stack(boxes)}
