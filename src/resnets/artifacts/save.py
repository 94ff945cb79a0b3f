"""A model file of a network that was trained elsewhere: `resnets.save`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import overload

import torch
from torch import Tensor, nn

from resnets.artifacts import model_file
from resnets.artifacts.find import find_model_file
from resnets.artifacts.model import Model
from resnets.artifacts.model_file import ModelCard
from resnets.core.errors import FileError, UsageError
from resnets.core.signatures import checked_arguments
from resnets.core.typed import short
from resnets.modalities.inputs import AnyInput
from resnets.models.resnet import backbone_of, prefix_of
from resnets.models.spec import Spec
from resnets.models.structure import other_layers
from resnets.models.surgery import load_strictly, mismatches
from resnets.tasks.catalog import SETTINGS, AnyTask, open_task

# What wrappers put between the names of modules: torch.compile, DDP and DataParallel, activation checkpointing.
_WRAPPERS = {"_orig_mod", "module", "_checkpoint_wrapped_module"}


@overload
def save(
    network: nn.Module, path: str | PathLike[str], *, classes: Sequence[str], preprocessing: AnyInput, like: None = None
) -> Path: ...


@overload
def save(
    network: nn.Module,
    path: str | PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    preprocessing: AnyInput | None = None,
    like: str | PathLike[str] | Model,
) -> Path: ...


@checked_arguments
def save(
    network: nn.Module,
    path: str | PathLike[str],
    *,
    classes: Sequence[str] | None = None,
    preprocessing: AnyInput | None = None,
    like: str | PathLike[str] | Model | None = None,
) -> Path:
    """Write a model file of a network that was trained outside of `resnets train`.

    `load`, `evaluate`, `predict` and the command line take it as they take those of runs. Weights are written in
    float32, whole or not at all, and read again into a new network of the spec before.

    Args:
        network: made by `resnets.create` or `load`, on any device and in any precision; also compiled, in DDP or
            DataParallel, or an average by torch's AveragedModel. Its last layer may have been replaced by one for other
            classes, and its first by one for other channels.
        path: of the file, ending in .safetensors; folders are created.
        classes: their names, in the order of the logits.
        preprocessing: from a sample to the network's input, such as `resnets.Preprocessing(resize=256, crop=224)`.
        like: a model, model file or run from which classes, preprocessing, the task with its settings and the recipe
            are taken where they are not given; without it the task is that of the network's head, classification of a
            linear one.

    Returns:
        The path.

    Raises:
        UsageError: it is no network of this library, was changed beyond what its spec says, or does not fit the
            classes, the preprocessing or the task.
        FileError: the file cannot be written, or that of `like` cannot be read.

    Example:
        net = resnets.create("cifar_resnet20", classes=2)  # and trains it
        preprocessing = resnets.Preprocessing(resize=32, crop=32)
        resnets.save(net, "pets.safetensors", classes=["cat", "dog"], preprocessing=preprocessing)
    """
    file = Path(path)
    if file.suffix != ".safetensors":
        raise UsageError(f"A model file ends in .safetensors: write {file.with_suffix('.safetensors')}, not {file}.")
    card = like.card if isinstance(like, Model) else None if like is None else _card_of(like)
    network = _unwrapped(network)
    state = _state_of(network)
    spec = _spec_of(network, state)
    names = _class_names(classes) if classes is not None else _given(card, "classes").classes
    if preprocessing is None:
        preprocessing = _given(card, "preprocessing").preprocessing
    settings = _task_of(spec) if card is None else _fitted(card, names)
    written = ModelCard(
        spec=spec,
        classes=names,
        preprocessing=preprocessing,
        settings=settings,
        recipe=card.recipe if card else {},
        environment=card.environment if card else {},
    )
    _check_input(written)
    fresh = open_task(settings).build(spec)
    if wrong := mismatches(fresh, state) or other_layers(network, fresh, _WRAPPERS):
        raise UsageError(
            f"The network is not the one that its spec describes: {'; '.join(wrong[:3])}"
            f"{f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''}. Layers other than the first and the last must "
            "be as resnets.create made them: create it with the fields of the spec that it has, and load its weights."
        )
    try:
        load_strictly(fresh, state, "the network")
    except FileError as error:
        raise UsageError(str(error)) from error
    model_file.save(file, fresh.state_dict(), written)
    return file


def _card_of(like: str | PathLike[str]) -> ModelCard:
    return model_file.load(find_model_file(like))[1]


def _given(card: ModelCard | None, name: str) -> ModelCard:
    if card is None:
        raise UsageError(f"Give {name}=, or like= with a model that has the same {name}.")
    return card


def _class_names(classes: Sequence[str]) -> tuple[str, ...]:
    """The names as strings.

    Raises:
        UsageError: one is no text, or occurs twice.
    """
    if isinstance(classes, str):
        raise UsageError(f"classes takes a list of names, not the text {short(classes)}.")
    names = tuple(classes)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise UsageError(f"classes takes names, and {short(wrong[0])} is no text.")
    if repeated := [name for number, name in enumerate(names) if name in names[:number]]:
        raise UsageError(f"The class {short(repeated[0])} occurs twice in classes.")
    return tuple(map(str, names))


def _unwrapped(network: nn.Module) -> nn.Module:
    """The network in what torch.compile, DDP, DataParallel or an average has wrapped it in.

    Raises:
        UsageError: there is none of this library.
    """
    inner = network
    while isinstance(wrapped := getattr(inner, "_orig_mod", getattr(inner, "module", None)), nn.Module):
        inner = wrapped
    try:
        if isinstance(backbone_of(inner).spec, Spec):
            return inner
    except TypeError:
        pass
    raise UsageError(
        f"{type(network).__name__} is no network of this library: give the one inside it that resnets.create made; or "
        'load weights of another library by resnets.create(NAME, weights="FILE") and save that.'
    )


def _state_of(network: nn.Module) -> dict[str, Tensor]:
    """The weights on the CPU in float32, under their names without those of wrapped modules.

    Raises:
        UsageError: they are shards of tensors on several devices, or hold no numbers.
    """
    state = {}
    for name, tensor in network.state_dict().items():
        if not isinstance(tensor, Tensor) or tensor.is_quantized:
            raise UsageError(f"{name} holds quantised weights: save the network from before the quantisation.")
        if hasattr(tensor, "full_tensor"):
            raise UsageError(
                f"{name} is sharded over devices: gather the weights first, by torch.distributed.checkpoint."
                "state_dict.get_model_state_dict with full_state_dict=True, and load them into a new network."
            )
        if tensor.is_meta:
            raise UsageError(f"{name} is on the device 'meta', which holds no numbers.")
        plain = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
        tensor = tensor.detach().cpu()
        state[plain] = tensor.to(torch.float32) if tensor.is_floating_point() else tensor
    return state


def _spec_of(network: nn.Module, state: Mapping[str, Tensor]) -> Spec:
    """The spec of `network`, with the classes and the channels that its last and its first layer have."""
    spec: Spec = backbone_of(network).spec
    if spec.classes == 0:
        raise UsageError("The network has no classifier (classes=0), and a model file needs one: give it one first.")
    layer, rows = next(iter(spec.head.output_layers.items()))
    last = state.get(f"{layer}.weight")
    if last is not None and rows.classes_of(len(last)) != spec.classes:
        spec = replace(spec, classes=rows.classes_of(len(last)))
    first = next((value for name, value in state.items() if name.startswith(f"{prefix_of(network)}conv1.")), None)
    if first is not None and first.ndim == spec.dimensions + 2 and first.shape[1] != spec.channels:
        spec = replace(spec, channels=first.shape[1])
    return spec


def _task_of(spec: Spec) -> AnyTask:
    """The first task whose head the network has.

    Raises:
        UsageError: there is none.
    """
    for make in SETTINGS:
        settings: AnyTask = make()
        try:
            if settings.model_for(spec, spec.classes) == spec:
                return settings
        except UsageError:
            continue
    raise UsageError(f"No task has a head such as {spec.head}: give like= with a model of the task.")


def _fitted(card: ModelCard, classes: tuple[str, ...]) -> AnyTask:
    """The settings of the task of `card`; those of each class, such as thresholds, only where the classes are its."""
    return card.settings if classes == card.classes else card.settings.for_other_classes()


def _check_input(card: ModelCard) -> None:
    """Raises UsageError if the preprocessing is not one for the task and the network."""
    spec, preprocessing = card.spec, card.preprocessing
    if spec.dimensions != 2:
        raise UsageError(
            f"A model file holds networks of images or spectrograms, and this one has {spec.dimensions} dimensions."
        )
    if preprocessing.fixed != card.settings.fixed:
        of_size = "a fixed size" if card.settings.fixed else "any size"
        raise UsageError(f"{card.task} takes inputs of {of_size}, and {type(preprocessing).__name__} is not such.")
    if min(preprocessing.shape()) < spec.least_size:
        raise UsageError(
            f"An input of {min(preprocessing.shape())} px is too small for this network; the minimum is "
            f"{spec.least_size} px."
        )
