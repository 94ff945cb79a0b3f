"""Pretrained weights of any origin: files of torch and safetensors, and those of torchvision, timm and the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from torch import Tensor, nn

from resnets.artifacts import model_file
from resnets.artifacts.model_file import ModelCard
from resnets.artifacts.pretrained_classes import rows_note
from resnets.artifacts.pretrained_epsilon import without_epsilon
from resnets.artifacts.pretrained_files import read_weights
from resnets.artifacts.pretrained_head import ClassifierHead, classifier_head, known_rows
from resnets.artifacts.pretrained_locations import library_of, locate, weights_folder, with_network
from resnets.artifacts.pretrained_names import rename, unwrapped
from resnets.artifacts.pretrained_prefix import without_prefix
from resnets.core.errors import FileError, UsageError
from resnets.core.files import sha256_of
from resnets.core.urls import local_path
from resnets.models.box_heads import BoxHead
from resnets.models.catalog import CATALOG
from resnets.models.heads import Head, LinearHead, LocalizationHead, PixelHead
from resnets.models.resnet import backbone_of
from resnets.models.spec import Spec
from resnets.models.surgery import HEADS, transplant
from resnets.nn.shapes import StrideIn
from resnets.tasks.catalog import has_classes

# Names of modules by which networks for other tasks are recognised: torchvision's and OpenMMLab's.
_HEADS = {
    "detection": {"rpn", "roi_heads", "rpn_head", "roi_head", "bbox_head"},
    "segmentation": {"classifier", "aux_classifier", "decode_head", "auxiliary_head"},
}


_FOR_PIXELS = ("segmentation",), "one for segmentation with heads that are known here"
_FOR_BOXES = ("segmentation", "detection"), "one for detection with heads that are known here"
# By head of a network: of which networks for other tasks it takes the backbone, and what it is called.
_TAKEN: dict[type[Head], tuple[tuple[str, ...], str]] = {
    LinearHead: ((), "a classifier"),
    LocalizationHead: ((), "a classifier, or one for localization"),
    **dict.fromkeys(get_args(PixelHead), _FOR_PIXELS),
    **dict.fromkeys(get_args(BoxHead), _FOR_BOXES),
}


@dataclass(frozen=True)
class InitialWeights:
    """Where a run's initial weights are from.

    Args:
        sha256: of the content of the file.
        notes: a line for each key, and each head, that was not loaded as it is.
        head: the file's layer of logits, for a classifier.
    """

    sha256: str
    notes: tuple[str, ...]
    head: ClassifierHead | None


@dataclass(frozen=True)
class _Read:
    """What is in a file of weights.

    Args:
        state: by the file's names, without a prefix.
        stride: the convolution of bottlenecks that has the stride; None if it is not known.
        classes: the names of the rows of its head; None where the file names none.
        notes: a line for each thing that was found out about them.
    """

    state: dict[str, Tensor]
    stride: StrideIn | None
    classes: tuple[str, ...] | None
    notes: list[str]


def set_initial_weights(
    network: nn.Module, weights: str | Path, *, name: str | None = None, classes: Sequence[str] | None = None
) -> InitialWeights:
    """Sets the weights that training starts from, for the network of any task.

    Into a network with a task's head go weights of the same kind of network, or of a classifier, whose layers go into
    the backbone. A head that is missing or another one starts new, and so does the layer of logits for other classes,
    but for the rows of classes that the weights know by name (see `pretrained_classes`).

    Args:
        weights, name: see `load_weights`. Bottlenecks of a file that does not say which convolution strides are taken
            to stride as those of `network`, which a note says.
        classes: names of the rows of the network's head; None where rows are no classes with names.

    Raises:
        FileError: the file is missing, damaged or unsafe, or the weights are of another network.
        UsageError: the file says that its bottlenecks stride in another convolution, or weights of a library are asked
            for without the name of a network.
    """
    spec = backbone_of(network).spec
    path = weights_file(weights, name)
    found = _read(network, weights, path)
    notes = found.notes
    if found.stride is None and _has_strided_bottlenecks(spec):
        notes.append(
            f"{weights} does not say which convolution of its bottlenecks has the stride; taken to be the "
            f"{spec.stride_in}, as model.stride_in says."
        )
    _check_stride(spec, found.stride or spec.stride_in, None, str(weights))
    state = rename(found.state, network)
    rows = known_rows(network, state, found.classes, classes)
    head = classifier_head(network, state, found.classes)
    notes += transplant(network, state, str(weights), rows=rows)
    if rows is not None and classes is not None and tuple(classes) != found.classes:
        notes.append(rows_note(classes, rows, next(iter(spec.head.output_layers))))
    return InitialWeights(sha256_of(path), tuple(notes), head)


def weights_file(weights: str | Path, name: str | None = None) -> Path:
    """The file that `weights` stands for: itself, the model file of a run folder, or the file of a library's weights.

    A name of a file alone that is not here is looked for in $RESNETS_CACHE/weights.

    Args:
        name: the network's name in the catalog, for "torchvision:" and "timm:" without it.

    Raises:
        UsageError: `weights` is an address on the network, or names no weights.
        FileError: a library's weights are not here and could not be downloaded.
    """
    if library_of(weights):
        return locate(with_network(str(weights), name))
    path = Path(local_path(weights, "a file of weights"))
    if not os.path.lexists(path) and path.name == str(path) and (kept := weights_folder() / path).exists():
        path = kept
    if not os.path.lexists(path) and str(path) in CATALOG:
        raise UsageError(
            f"{path} is the name of a network, and there is no file of it. Published weights have the names "
            f"torchvision:{path} or timm:{path}.TAG."
        )
    return path / model_file.MODEL_NAME if os.path.isdir(path) else path


def load_weights(
    network: nn.Module, weights: str | Path, *, name: str | None = None, weights_stride: StrideIn | None = None
) -> list[str]:
    """Loads `weights` into `network`.

    Args:
        network: a `ResNet`, or a task's network with one as its `backbone`.
        weights: a model file, a run folder, a `.pth` or `.safetensors` file of any origin, "torchvision:NAME",
            "timm:TAG" or "hf:OWNER/NAME"; before a tag may stand the network's name and a point, as timm writes it.
        name: the network's name in the catalog, which torchvision and timm share.
        weights_stride: the convolution of bottlenecks that has the stride, for a file that does not say it: "1x1" (v1:
            the paper, Caffe, detectron) or "3x3" (v1.5: torchvision, timm, nearly all others).

    Returns:
        A line for each key, and each head, that was not loaded as it is.

    Raises:
        FileError: the file is missing, damaged or unsafe, or the weights are of another network.
        UsageError: `weights_stride` is needed and not given, or the network has its stride in another convolution.
    """
    found = _read(network, weights, weights_file(weights, name))
    _check_stride(backbone_of(network).spec, found.stride, weights_stride, str(weights))
    return found.notes + transplant(network, rename(found.state, network), str(weights))


def _read(network: nn.Module, weights: str | Path, path: Path) -> _Read:
    """What is in the file `path`, which `weights` stands for.

    Raises:
        FileError: the file is missing, damaged or unsafe, or of another network as far as it says so.
    """
    origin, own = str(weights), backbone_of(network).spec
    state, card = read_weights(path)
    if card:
        refuse_other_network(own, card.spec, origin)
    stride: StrideIn | None = card.spec.stride_in if card else _stride_by_names(state)
    if card is None and library_of(weights):
        stride = "3x3"
    refuse_other_task(own, state, origin)
    state, notes = without_epsilon(state, path, own.norm_eps)
    state, of_prefix = without_prefix(state, network, origin)
    return _Read(state, stride, class_names(card), notes + of_prefix)


def class_names(card: ModelCard | None) -> tuple[str, ...] | None:
    """The names of the rows of a model's head, where they are classes."""
    return card.classes if card and has_classes(card.settings) else None


def _stride_by_names(state: Mapping[str, Tensor]) -> StrideIn | None:
    """The stride of torchvision's networks for segmentation and detection, which their keys tell from others."""
    names = [unwrapped(name) for name in state]
    parts = {name.partition(".")[0] for name in names}
    segments = {"backbone", "classifier"} <= parts <= {"backbone", "classifier", "aux_classifier"}
    return "3x3" if segments or any(name.startswith("backbone.fpn.") for name in names) else None


def refuse_other_task(own: Spec, state: Mapping[str, Tensor], origin: str) -> None:
    """Raises FileError for a network of another task, which has a residual network as its backbone.

    A network with a task's head takes the backbones of others with heads that can be left out: one for pixels those of
    others for pixels, a detector those of both.
    """
    names = [unwrapped(name) for name in state]
    parts = sorted({name.partition(".")[0] for name in names})
    kind = next((kind for kind, heads in _HEADS.items() if heads & set(parts)), None)
    if kind is None and any(name.startswith("backbone.fpn.") for name in names):
        kind = "detection"  # whose head torchvision calls just so
    if "backbone" not in parts or kind is None:
        return
    taken, noun = _TAKEN[type(own.head)]
    if kind not in taken or not {*parts} <= {"backbone", *(name.partition(".")[0] for name in HEADS)}:
        raise FileError(
            f"{origin} holds a network for {kind} ({', '.join(parts[:5])}), not "
            f"{noun}. To use its backbone, save the entries of backbone. without that prefix."
        )


def refuse_other_network(own: Spec, theirs: Spec, origin: str) -> None:
    shapes = ("block", "depths", "widths", "stem", "preactivation", "shortcut", "groups", "dimensions", "middle", "ibn")
    stride = ("stride_in",) if own.block == "basic" else ()  # for bottlenecks, `_check_stride` has the better message
    pool = ("pool",) if own.pool != "none" else ()  # which a network without a classifier may have
    functions = ("activation", *pool, "stem_pool", "antialias", "standardized", "shares_first_activation")
    for choice in (*shapes, *functions, *stride):
        if getattr(own, choice) != getattr(theirs, choice):
            raise FileError(
                f"{origin} holds a network with {choice} {getattr(theirs, choice)}, not {getattr(own, choice)}."
            )


def _has_strided_bottlenecks(spec: Spec) -> bool:
    return spec.block == "bottleneck" and len(spec.depths) > 1 and spec.middle is None  # else never in the 1x1


def _check_stride(spec: Spec, known: StrideIn | None, given: StrideIn | None, origin: str) -> None:
    """Raises UsageError for v1 weights in a v1.5 network and the reverse, where the shapes are the same.

    Args:
        known: the stride of the weights by their origin or file; None if that does not say it.
        given: the stride of the weights by the caller.
    """
    if not _has_strided_bottlenecks(spec):
        return
    if known and given and known != given:
        raise UsageError(f"{origin} says that its bottlenecks stride in the {known} convolution, not in the {given}.")
    theirs = known or given
    if theirs is None:
        raise UsageError(
            f"{origin} does not say which convolution of its bottlenecks has the stride. Give weights_stride='3x3' "
            "(v1.5: torchvision, timm and nearly all others) or '1x1' (v1: the paper, Caffe, detectron)."
        )
    if theirs != spec.stride_in:
        version = "v1" if theirs == "1x1" else "v1.5"
        raise UsageError(
            f"{origin} holds {version} weights (stride in the {theirs} convolution), and this network strides in the "
            f"{spec.stride_in}: its results would be silently wrong. Create the {version} network instead."
        )
