"""Reads some of the scored samples once more, for what a report says of them besides the scores.

It is done for a report alone, after all scores, in no evaluation of a run. A large split is bounded twice: there are
`MOST` samples, of which as many are read as `SECONDS` allow. They are drawn at random, so that a part stands for all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from resnets.artifacts.model_file import ModelCard
from resnets.core import rng
from resnets.core.devices import full_float32
from resnets.core.errors import DataError
from resnets.data.groups import Groups, groups_of
from resnets.evaluation.embedding import PooledFeatures
from resnets.evaluation.predictor import NetworkPredictor
from resnets.evaluation.scoring import Scores
from resnets.modalities.base import Dataset
from resnets.modalities.inputs import open_reader
from resnets.modalities.reader import Reader
from resnets.models.resnet import backbone_of
from resnets.tasks.samples import SampleFacts

MOST = 2000  # samples
SECONDS = 10.0
_AT_ONCE = 32  # samples, after which the time is checked


def sample_facts(
    scores: Scores,
    dataset: Dataset,
    card: ModelCard,
    predictor: NetworkPredictor | None = None,
    *,
    workers: int = 0,
    seconds: float = SECONDS,
) -> SampleFacts | None:
    """What is found out about the scored samples of `dataset`, or a part of them; None where no report shows it.

    Args:
        predictor: of the network that was scored, for its features; None where it was not one network.
        workers: threads that read samples.
        seconds: after which no further samples are read, the first few excepted.
    """
    if not card.settings.single_label:
        return None
    groups = scored_groups(dataset, scores.ids, card.recipe)
    layers = None if predictor is None else _features_of(predictor, card)
    images = card.preprocessing.part_of((1, 1)) is not None
    reader = open_reader(card.preprocessing)
    rows, seen, features = _read(dataset, scores.ids, reader if images else None, layers, workers, seconds)
    return SampleFacts(
        rows,
        pixels=None if seen is None else seen[:, 0],
        brightness=None if seen is None else seen[:, 1],
        features=features,
        groups=groups,
    )


def scored_groups(dataset: Dataset, ids: NDArray[np.int64], recipe: Mapping[str, Any]) -> Groups | None:
    """The groups of the samples `ids` (N,) of `dataset`: those of the recipe's `group_by` where it finds one in every
    name, else those of the table's column; None where there are none.

    Args:
        recipe: as a model file has it.
    """
    group_by = recipe.get("group_by")
    try:
        found = groups_of(dataset, group_by if isinstance(group_by, str) else None)
    except DataError:  # other data, in whose names there are no such groups
        found = groups_of(dataset, None)
    return None if found is None else Groups(found.names, found.of[ids])


def _features_of(predictor: NetworkPredictor, card: ModelCard) -> NetworkPredictor | None:
    """What gives the features of the network; None where its layers cannot be reached, as in a runtime."""
    try:
        backbone_of(predictor.network)
    except TypeError:
        return None
    return NetworkPredictor(
        predictor.network,
        PooledFeatures(card.settings),
        predictor.reader,
        tta=card.preprocessing.tta[0],
        device=predictor.device,
        prepared=predictor.prepared,
    )


@torch.inference_mode()
@full_float32()
def _read(
    dataset: Dataset,
    ids: NDArray[np.int64],
    reader: Reader | None,
    layers: NetworkPredictor | None,
    workers: int,
    seconds: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None, NDArray[np.float32] | None]:
    """The rows (M,) of the samples that were read, rising; (M, 2) pixels and brightness of their images, where there is
    a `reader` of images; and (M, features), where there are `layers`."""
    rows: list[int] = []
    seen: list[tuple[int, float] | None] = []
    features: list[torch.Tensor] = []

    def read(row: int) -> tuple[tuple[int, float] | None, Any] | None:
        index = int(ids[row])
        try:
            image = None if reader is None else _pixels_and_brightness(reader, dataset, index)
            return image, None if layers is None else layers.load(dataset, index)
        except DataError:  # it could be read when it was scored
            return None

    order = rng.generator(0, "samples of a report").permutation(len(ids))[:MOST]
    end = time.monotonic() + seconds
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for first in range(0, len(order) if reader or layers else 0, _AT_ONCE):
            if rows and time.monotonic() >= end:
                break
            part = order[first : first + _AT_ONCE].tolist()
            good = [(row, *each) for row, each in zip(part, pool.map(read, part), strict=True) if each is not None]
            rows += [row for row, _, _ in good]
            seen += [image for _, image, _ in good]
            if layers is not None and good:
                features.append(torch.stack(list(layers.predict([loaded for _, _, loaded in good]))).float().cpu())
    rising = np.argsort(np.array(rows, np.int64), kind="stable")
    return (
        np.array(rows, np.int64)[rising],
        None if reader is None else np.array(seen, np.float64).reshape(-1, 2)[rising],
        torch.cat(features).numpy()[rising] if features else None,
    )


def _pixels_and_brightness(reader: Reader, dataset: Dataset, index: int) -> tuple[int, float]:
    """The pixels of the upright image before it is resized, and its mean luminance from 0 to 1.

    Raises:
        DataError: it is damaged.
    """
    image = reader.thumbnail(dataset, index)
    assert image is not None
    return image.width * image.height, float(np.asarray(image.convert("L")).mean()) / 255
