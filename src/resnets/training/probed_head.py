"""The layer of logits as a linear probe of the initial weights, before the first step; see `training.probe`."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from resnets.artifacts.pretrained_head import ClassifierHead
from resnets.core import rng
from resnets.core.devices import full_float32
from resnets.core.errors import DataError
from resnets.data.loader import Batches
from resnets.data.prefetch import prefetch
from resnets.evaluation.embedding import PooledFeatures
from resnets.evaluation.predictor import BATCH, NetworkPredictor
from resnets.modalities.batch import Loaded
from resnets.modalities.inputs import open_reader
from resnets.models.initialize import initialize
from resnets.models.resnet import backbone_of
from resnets.tasks.balance import loss_weights
from resnets.tasks.base import Task
from resnets.tasks.forward import computing
from resnets.training import agreement, probe
from resnets.training.distributed import Ranks
from resnets.training.events import Event
from resnets.training.recipe import Recipe

MOST_SAMPLES = 4096


def fit_probe(
    network: nn.Module,
    recipe: Recipe,
    task: Task,
    batches: Batches,
    ranks: Ranks,
    precision: str,
    head: ClassifierHead | None = None,
) -> Event:
    """Sets the layer of logits of `network`, the same on all ranks; returns the event for the log.

    The features are those of at most `MOST_SAMPLES` training samples as evaluation sees them; where it looks at mirror
    images too (tta "flip"), of both. The layer is drawn to the rows that the initial weights gave it, and to 0 for the
    other classes; or, where that has a clearly lower loss in cross-validation, for those of them that `head` recognizes
    (see `probe.recognized`) to its rows. Classes weigh as `balance` says.

    Args:
        precision: in which the network computes, as `tasks.forward.computing` takes it.
        head: the layer of logits that the initial weights came with.

    Raises:
        DataError: a sample cannot be read, and the recipe does not say to leave that out.
    """
    count = len(batches.dataset)
    chosen = np.sort(rng.generator(recipe.seed, "probe").permutation(count)[:MOST_SAMPLES])
    share = ranks.share(len(chosen))
    own_part = chosen[share.start : share.stop]
    own = agreement.together(ranks, lambda: _features(network, recipe, task, batches, own_part, precision))
    everyone = ranks.gather(own)
    features, read = (np.concatenate([part[place] for part in everyone]) for place in (0, 1))
    targets = batches.dataset.targets[task.settings.targets[0]][read]
    layer = backbone_of(network).fc
    weight0, bias0 = _known_rows(layer, recipe, task)
    # Drawn as often as others, the samples of a class have in the mean the weight that "weights" gives them.
    balance = "weights" if recipe.balance == "sampling" else recipe.balance
    of_class = loss_weights(balance, recipe.task, batches.dataset)

    def fit() -> tuple[probe.Fitted, dict[str, str]]:
        fit_head = functools.partial(probe.fit_head, features, targets, samples=read, class_weights=of_class)
        plain = fit_head(weight0, bias0)
        if head is None or not (rows := _recognized(features, targets, read, head, weight0)):
            return plain, {}
        weight, bias, own, theirs = weight0.copy(), bias0.copy(), [*rows], [*rows.values()]
        weight[own], bias[own] = head.weight[theirs], head.bias[theirs]
        other = fit_head(weight, bias)
        before, after = plain.validation, other.validation
        if before is None or after is None or after.loss * probe.MARGIN > before.loss:
            return plain, {}
        return other, {batches.dataset.classes[label]: head.name(row) for label, row in rows.items()}

    fitted, names = agreement.from_rank_0(ranks, fit)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(fitted.weight))
        layer.bias.copy_(torch.from_numpy(fitted.bias))
    validation = fitted.validation
    return {
        "event": "probe",
        "step": 0,
        "samples": len(np.unique(read)),
        "lambda": fitted.strength,
        "accuracy": validation.accuracy if validation else None,
        "held_out": len(np.unique(read[validation.rows])) if validation else 0,
        "recognized": names,
    }


def _recognized(
    features: NDArray[np.float32],
    targets: NDArray[np.int64],
    samples: NDArray[np.int64],
    head: ClassifierHead,
    weight0: NDArray[np.float32],
) -> dict[int, int]:
    """The row of `head` for each class that it recognizes and that has no row of `weight0`, by the first view of each
    of `samples`."""
    first = np.unique(samples, return_index=True)[1]
    rows = probe.recognized(features[first], targets[first], head.weight, head.bias)
    return {label: row for label, row in rows.items() if not weight0[label].any()}


def _known_rows(layer: nn.Linear, recipe: Recipe, task: Task) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The weights and biases of `layer`, with 0 for the classes that no initial weights were given for: those whose
    row is as it was drawn."""
    drawn = task.build(recipe.model)
    initialize(drawn, seed=recipe.seed, how=recipe.initialization)
    first = backbone_of(drawn).fc.weight.detach().numpy()
    weight, bias = (each.detach().cpu().numpy() for each in (layer.weight, layer.bias))
    known = (weight != first).any(1)
    return np.where(known[:, None], weight, 0), np.where(known, bias, 0)


@torch.inference_mode()
@full_float32()
def _features(
    network: nn.Module, recipe: Recipe, task: Task, batches: Batches, chosen: NDArray[np.int64], precision: str
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The pooled features (N, D) of the views of those of `chosen` that can be read, and the samples' numbers (N,)."""
    backbone, device = backbone_of(network), batches.device
    predictor = NetworkPredictor(
        network,
        PooledFeatures(task.settings),
        open_reader(recipe.preprocessing),
        tta="flip" if recipe.tta == "flip" else recipe.preprocessing.tta[0],
        device=device,
    )

    def load(index: int) -> Loaded | None:
        try:
            return predictor.load(batches.dataset, index)
        except DataError:
            if batches.replace_damaged:
                return None
            raise

    def parts() -> Iterator[list[int]]:
        for first in range(0, len(chosen), BATCH):
            yield chosen[first : first + BATCH].tolist()

    found, read = [np.zeros((0, backbone.num_features), np.float32)], [np.zeros(0, np.int64)]
    with ThreadPoolExecutor(max(1, batches.workers)) as pool:
        for indices, loaded in zip(parts(), prefetch(pool, load, parts()), strict=True):
            good = [(index, each) for index, each in zip(indices, loaded, strict=True) if each is not None]
            for view in range(len(good[0][1].inputs) if good else 0):
                seen = [replace(each, inputs=each.inputs[view : view + 1], weights=(1,)) for _, each in good]
                with computing(device, precision):
                    found.append(predictor.predict(seen).float().cpu().numpy())
                read.append(np.array([index for index, _ in good]))
    return np.concatenate(found), np.concatenate(read)
