"""One label for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.models.initialize import allocate
from resnets.models.spec import Spec
from resnets.tasks.base import SampleRecords


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Cross-entropy over classes.

    Args:
        label_smoothing: share of each label given to all classes alike while training (Szegedy et al. 2016).
    """

    label_smoothing: float = 0.0

    @property
    def name(self) -> str:
        return "classification"

    def build(self, spec: Spec) -> nn.Module:
        return allocate(spec)

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """(N, classes) logits to (N,) losses; of mixed images, the two labels' losses by their shares."""
        own = self._cross_entropy(outputs, batch["labels"])
        if "lam" not in batch:
            return own
        return torch.lerp(self._cross_entropy(outputs, batch["partner_labels"]), own, batch["lam"])

    def _cross_entropy(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs.float(), labels, reduction="none", label_smoothing=self.label_smoothing)

    def evaluate_batch(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Label, predicted class, its probability, the loss, and the rank of the true class (0 is best).

        Of equal logits the lower class ranks first; a NaN ranks before everything, so it can never look right.
        """
        outputs = outputs.float()
        own = outputs.gather(1, labels[:, None])
        below = (outputs < own) | ((outputs == own) & (torch.arange(outputs.shape[1]).to(labels) > labels[:, None]))
        rank = outputs.shape[1] - 1 - below.sum(1)
        predicted = outputs.argmax(1)
        # The argmax of a NaN may be the label by accident; then any other class stands for it.
        predicted = torch.where((predicted == labels) & (rank > 0), (labels + 1) % outputs.shape[1], predicted)
        return {
            "label": labels,
            "predicted": predicted,
            "confidence": F.softmax(outputs, 1).gather(1, predicted[:, None])[:, 0],
            "rank": rank,
            "loss": F.cross_entropy(outputs, labels, reduction="none"),
        }

    def metrics(self, records: SampleRecords, classes: tuple[str, ...]) -> dict[str, Any]:
        """accuracy and top5 (fractions of 1), loss (nats), samples, and by class precision, recall, f1 and support.

        A class never predicted has precision 0, one without samples recall 0, as in scikit-learn.
        """
        samples, count = len(records["label"]), len(classes)
        table = confusion(records, count)
        hits, predicted, support = np.diag(table), table.sum(0), table.sum(1)
        precision, recall = (hits / np.maximum(n, 1) for n in (predicted, support))
        f1 = 2 * hits / np.maximum(predicted + support, 1)
        return {
            "accuracy": int((records["rank"] == 0).sum()) / max(samples, 1),
            "top5": int((records["rank"] < 5).sum()) / max(samples, 1),
            "loss": float(records["loss"].astype(np.float64).sum()) / max(samples, 1),
            "samples": samples,
            "classes": {
                name: {
                    "precision": float(precision[i]),
                    "recall": float(recall[i]),
                    "f1": float(f1[i]),
                    "support": int(support[i]),
                }
                for i, name in enumerate(classes)
            },
        }


def confusion(records: SampleRecords, classes: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """(classes, classes) counts: rows are true classes, columns predicted ones."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (records["label"], records["predicted"]), 1)
    return table
