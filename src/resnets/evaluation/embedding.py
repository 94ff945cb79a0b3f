"""Embeddings: the pooled features of a network, in place of what its task predicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnets.core.devices import full_float32
from resnets.core.errors import DataError
from resnets.data.prefetch import prefetch
from resnets.evaluation.predictor import BATCH, Predictor
from resnets.modalities.base import Dataset
from resnets.modalities.batch import Batch
from resnets.models.resnet import backbone_of, layers_of
from resnets.tasks.base import TaskSettings


class PooledFeatures:
    """The `Outputs` of a network that are its embeddings, (N, features) float32.

    Args:
        settings: of the network's task, which decide the size of its inputs.
    """

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings

    def predict(self, network: Any, batch: Batch) -> Any:
        """(N, features) the last feature map of the residual network in `network`, pooled over its positions."""
        return pooled_features(network, batch["inputs"])

    def to_mean(self, outputs: Any) -> Any:
        """Embeddings in float64 on the CPU, which are averaged over crops as they are."""
        return [features.cpu().double() for features in outputs]

    def from_mean(self, means: Sequence[Tensor]) -> Any:
        return torch.stack(list(means)).float()

    def answers(self, outputs: Any, classes: tuple[str, ...], top: int) -> list[Any]:
        """The embedding of each sample, (features,)."""
        return list(outputs)


def embed_dataset(
    predictor: Predictor, dataset: Dataset, workers: int, count: Callable[[int], None] = lambda done: None
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """The embedding of each of N samples that can be read, (N, features), and why others cannot by their number.

    Args:
        predictor: of `PooledFeatures`.
        workers: threads that read samples.
        count: called with the number of samples that are done.

    Raises:
        DataError: none can be read.
    """
    found: list[Tensor] = []
    excluded: dict[int, str] = {}

    def load(index: int) -> Any:
        try:
            return predictor.load(dataset, index)
        except DataError as error:
            return str(error)

    batches = [range(n, min(n + BATCH, len(dataset))) for n in range(0, len(dataset), BATCH)]
    with ThreadPoolExecutor(max(1, workers)) as pool, torch.inference_mode(), full_float32():
        for indices, loaded in zip(batches, prefetch(pool, load, batches), strict=True):
            excluded |= {i: each for i, each in zip(indices, loaded, strict=True) if isinstance(each, str)}
            if good := [each for each in loaded if not isinstance(each, str)]:
                found.append(torch.stack(list(predictor.predict(good))).float().cpu())
            count(indices[-1] + 1)
    if not found:
        raise DataError(f"None of the samples can be read: {next(iter(excluded.values()), 'there are none')}")
    return torch.cat(found).numpy(), excluded


def pooled_features(network: nn.Module, inputs: Tensor) -> Tensor:
    """(N, channels, ...) to (N, features): the last feature map of `ResNet.features` by the network's own pool.

    Of a network without a classifier, such as one for pixels, the pool is that of its spec.

    Raises:
        TypeError: there is no residual network in `network`.
    """
    backbone = backbone_of(network)
    *_, last = backbone.features(inputs).values()
    pool = getattr(backbone, "avgpool", None) or layers_of(backbone.spec).global_pool(backbone.spec.pool)
    return torch.flatten(pool(last), 1).float()
