"""Knowledge distillation: the loss of a network that learns from another one beside the labels.

Hinton et al. 2015 (1503.02531, section 2): with the logits z of the network and v of its teacher, temperature T and
weight w, a sample has the loss

    (1 - w) task_loss + w T^2 KL(softmax(v / T) || softmax(z / T))

T^2 keeps the two parts' gradients of one size whatever T is. The teacher sees the batch that the network sees, with
its augmentations and mixed images, in evaluation mode and in the precision of the step.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnets.artifacts.find import find_model_file
from resnets.artifacts.model import Model, load
from resnets.core.display import names
from resnets.core.errors import UsageError
from resnets.core.files import sha256_of
from resnets.modalities.batch import Batch
from resnets.modalities.class_names import same_names
from resnets.modalities.inputs import AnyInput, open_reader
from resnets.tasks.base import Task
from resnets.tasks.forward import place
from resnets.training.distillation import Distillation
from resnets.training.recipe import Recipe

# Of a preprocessing, what may differ: what is undone and done anew on a batch; and the scale, which crops change too.
_MAY_DIFFER = ("mean", "std", "mean_image", "resize")


class Teacher:
    """A network that another one learns from.

    Args:
        order: (classes,) the number that each class of the data has among the teacher's.
        scale, shift: what makes the teacher's inputs of the network's: `scale * inputs + shift`.
    """

    def __init__(
        self, settings: Distillation, network: nn.Module, order: Sequence[int], scale: Tensor, shift: Tensor
    ) -> None:
        self._settings = settings
        self._network = network.requires_grad_(False).eval()
        device = next(network.parameters()).device
        self._order = None if list(order) == list(range(len(order))) else torch.tensor(order, device=device)
        self._scale, self._shift = scale.to(device), shift.to(device)
        self._same = bool((scale == 1).all() and (shift == 0).all())

    def logits(self, inputs: Tensor) -> Tensor:
        """(N, classes) float32: of inputs (N, ...) as the network gets them, in the order of the data's classes."""
        with torch.no_grad():
            logits: Tensor = self._network(inputs if self._same else inputs * self._scale + self._shift)
        return (logits if self._order is None else logits[:, self._order]).float()

    def loss(self, network: nn.Module, task: Task, batch: Batch) -> dict[str, Tensor]:
        """The parts of each sample's loss, (N,) float32 each: the task's, and "distillation"."""
        outputs: list[Tensor] = []

        def recorded(inputs: Any) -> Any:
            outputs.append(network(inputs))
            return outputs[-1]

        own = task.loss(recorded, batch)
        weight, temperature = self._settings.weight, self._settings.temperature
        theirs = F.log_softmax(self.logits(batch["inputs"]) / temperature, 1)
        ours = F.log_softmax(outputs[0].float() / temperature, 1)
        divergence = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)
        weights = task.weight(batch)
        if weights is not None:  # as in the task's own loss
            divergence = divergence * weights.to(divergence)
        parts = {name: (1 - weight) * value for name, value in own.items()}
        return parts | {"distillation": weight * temperature**2 * divergence}


def with_teacher(recipe: Recipe, classes: tuple[str, ...]) -> tuple[Recipe, str | None]:
    """Returns `recipe` with the absolute path of its teacher, as a resume may start in another folder, and the SHA-256
    of that file; None without one.

    Raises:
        FileError: there is no such model.
        UsageError: it cannot teach this recipe; see `open_teacher`.
    """
    if recipe.teacher is None:
        return recipe, None
    path = os.path.abspath(find_model_file(recipe.teacher.model))
    recipe = replace(recipe, teacher=replace(recipe.teacher, model=path))
    open_teacher(recipe, classes, torch.device("cpu"))
    return recipe, sha256_of(Path(path))


def open_teacher(recipe: Recipe, classes: tuple[str, ...], device: torch.device) -> Teacher:
    """Returns the teacher of a recipe that has one, on `device`.

    Args:
        classes: of the data.

    Raises:
        FileError: there is no such model, or it is damaged.
        UsageError: its task, classes or inputs are others.
    """
    settings = recipe.teacher
    assert settings is not None
    model = load(settings.model)
    if not model.card.settings.single_label:
        raise UsageError(f"The teacher {settings.model} is for {model.card.task}, not for {recipe.task.name}.")
    order = _order(model, classes, settings.model)
    scale, shift = _transfer(recipe.preprocessing, model.preprocessing, settings.model)
    return Teacher(settings, place(model.network, device), order, scale, shift)


def _order(model: Model, classes: tuple[str, ...], origin: str) -> list[int]:
    """The number of each of `classes` among those of the teacher. Raises UsageError if there are others."""
    own = {name: number for number, name in enumerate(model.classes)}
    found = same_names(classes, model.classes, "The data")
    missing, surplus = [name for name in classes if name not in found], sorted(own.keys() - found.values())
    if missing or surplus:
        parts = [f"lacks {names(missing, 5)}"] if missing else []
        parts += [f"has {names(surplus, 5)} besides"] if surplus else []
        raise UsageError(
            f"The teacher {origin} has other classes than the data: it {' and '.join(parts)}. A teacher is trained on "
            "the same classes."
        )
    return [own[found[name]] for name in classes]


def _transfer(own: AnyInput, theirs: AnyInput, origin: str) -> tuple[Tensor, Tensor]:
    """What makes the teacher's inputs of the network's; see `Teacher`.

    Raises:
        UsageError: the inputs differ in more than their normalisation.
    """
    if type(own) is not type(theirs):
        raise UsageError(f"The teacher {origin} takes inputs of {type(theirs).__name__}, not {type(own).__name__}.")
    if own.shape() != theirs.shape():
        raise UsageError(
            f"The teacher {origin} takes inputs of size {_shown(theirs.shape())}, and this recipe makes them "
            f"{_shown(own.shape())}: train at its size, or take another teacher."
        )
    (scale, shift), (their_scale, their_shift) = _normalization(own), _normalization(theirs)
    plain = bool((scale == 1).all() and (shift == 0).all())  # normalised before they are put into a batch
    for field in fields(own):
        mine, other = getattr(own, field.name), getattr(theirs, field.name)
        if mine != other and (field.name not in _MAY_DIFFER or plain):
            raise UsageError(
                f"The teacher {origin} has preprocessing.{field.name} {other}, and this recipe {mine}, which no batch "
                f"can be changed to: give preprocessing.{field.name}={other}, or take another teacher."
            )
    return their_scale / scale, their_shift - their_scale / scale * shift


def _normalization(settings: AnyInput) -> tuple[Tensor, Tensor]:
    """The scale and shift of an input's normalisation, (1, ...) each, with 1 for axes over which they are constant."""
    reader = open_reader(settings)
    slot = reader.slots(None)["inputs"]
    of_pixels = slot.dtype == np.uint8
    zeros, most = (
        torch.zeros((1, *slot.shape), dtype=torch.uint8 if of_pixels else torch.float32),
        255 if of_pixels else 1,
    )
    low, high = (reader.normalize(zeros + value).double() for value in (0, most))
    return _squeezed((high - low) / most).float(), _squeezed(low).float()


def _squeezed(values: Tensor) -> Tensor:
    """`values` with each axis of length 1 along which they do not change."""
    for axis in range(values.ndim):
        first = values.narrow(axis, 0, 1)
        if torch.equal(first.expand_as(values), values):
            values = first
    return values


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
