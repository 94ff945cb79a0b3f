"""How well a model does on corrupted images."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from resnets.evaluation.predictor import Predictor
from resnets.modalities.base import Dataset
from resnets.modalities.batch import Batch
from resnets.modalities.image.corruptions import CORRUPTIONS, SEVERITIES, corrupted

EVALUATIONS = len(CORRUPTIONS) * len(SEVERITIES)  # of `robustness`
_KEPT = 2**30  # bytes of decoded images that are kept for all corruptions


class CorruptedPredictor:
    """A predictor whose images are corrupted before the network sees them.

    Attributes:
        name, severity: of the corruption; without a name, images are left as they are.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._loaded: dict[int, Any] = {}
        self._bytes = 0
        self.name: str | None = None
        self.severity = 0

    def load(self, dataset: Dataset, index: int) -> Any:
        loaded = self._loaded.get(index)
        if loaded is None:
            loaded = self._predictor.load(dataset, index)
            self._bytes += sum(each.nbytes for each in loaded.inputs)
            if self._bytes <= _KEPT:
                self._loaded[index] = loaded
        if self.name is None:
            return loaded
        inputs = [corrupted(each, self.name, self.severity, index) for each in loaded.inputs]
        return replace(loaded, inputs=inputs)

    def predict(self, inputs: Sequence[Any]) -> Any:
        return self._predictor.predict(inputs)

    def losses(self, inputs: Sequence[Any], targets: Batch, keys: Sequence[int]) -> Tensor | None:
        return self._predictor.losses(inputs, targets, keys)


def robustness(
    predictor: CorruptedPredictor, figure: Callable[[Predictor], float | None], done: Callable[[int], None]
) -> dict[str, Any]:
    """A metric on each corruption and severity, ready for JSON.

    Args:
        figure: the metric of a predictor.
        done: called with the number of evaluations that are done.

    Returns:
        By the name of each corruption "mean" and "severities", five values, the mildest first; and under "mean" the
        mean over all corruptions.
    """
    found: dict[str, Any] = {}
    count = 0
    for name in CORRUPTIONS:
        values = []
        for severity in SEVERITIES:
            predictor.name, predictor.severity = name, severity
            values.append(figure(predictor))
            count += 1
            done(count)
        found[name] = {"mean": _mean(values), "severities": values}
    predictor.name = None
    return {"mean": _mean([each["mean"] for each in found.values()]), **found}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) and known else None
