"""Embeddings: the pooled features of a network, in place of what its task predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

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
