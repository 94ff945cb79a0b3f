"""Pretrained weights of any origin: files of torch and safetensors, and those that torchvision and timm publish."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from resnets.artifacts import model_file
from resnets.artifacts.pretrained_files import read_weights
from resnets.artifacts.pretrained_names import rename, unwrapped
from resnets.artifacts.pretrained_prefix import without_prefix
from resnets.core.errors import FileError, UsageError, not_installed, unknown
from resnets.core.files import explain
from resnets.core.urls import local_path
from resnets.models.heads import FCNHead, LinearHead
from resnets.models.resnet import backbone_of
from resnets.models.spec import Spec
from resnets.models.surgery import HEADS, transplant
from resnets.nn.shapes import StrideIn

# Names of modules by which networks for other tasks are recognised: torchvision's and OpenMMLab's.
_HEADS = {
    "detection": {"rpn", "roi_heads", "rpn_head", "roi_head", "bbox_head"},
    "segmentation": {"classifier", "aux_classifier", "decode_head", "auxiliary_head"},
}

_NOUNS = {LinearHead: "a classifier", FCNHead: "one for segmentation with heads that are known here"}


@dataclass(frozen=True)
class InitialWeights:
    """Where a run's initial weights are from.

    Args:
        sha256: of the content of the file; of weights from torchvision or timm, of their entries (`weights_sha256`).
        notes: a line for each key, and each head, that was not loaded as it is.
    """

    sha256: str
    notes: tuple[str, ...]


def set_initial_weights(network: nn.Module, weights: str | Path, *, name: str | None = None) -> InitialWeights:
    """Sets the weights that training starts from, for the network of any task.

    Into a network with a task's head go weights of the same kind of network, or of a classifier, whose layers go into
    the backbone. A head that is missing or another one starts new, and so does the layer of logits for other classes.

    Args:
        weights, name: see `load_weights`. Bottlenecks of a file that does not say which convolution strides are taken
            to stride as those of `network`, which a note says.

    Raises:
        FileError: the file is missing, damaged or unsafe, or the weights are of another network.
        UsageError: the file says that its bottlenecks stride in another convolution, or weights from torchvision or
            timm are asked for without a name.
    """
    if name is None and weights_file(weights) is None:
        raise UsageError(
            f"Training starts from a file of weights or a run folder, not from {weights}: fetch its file and give that."
        )
    spec = backbone_of(network).spec
    state, known_stride, notes = _read(network, weights, name)
    if known_stride is None and _has_strided_bottlenecks(spec):
        notes.append(
            f"{weights} does not say which convolution of its bottlenecks has the stride; taken to be the "
            f"{spec.stride_in}, as model.stride_in says."
        )
    _check_stride(spec, known_stride or spec.stride_in, None, str(weights))
    notes += transplant(network, rename(state, network), str(weights))
    path = weights_file(weights)
    return InitialWeights(model_file.weights_sha256(state) if path is None else sha256_of(path), tuple(notes))


def weights_file(weights: str | Path) -> Path | None:
    """The file that `weights` stands for: itself, or the model file of a run folder; None for "torchvision:" and
    "timm:"."""
    if str(weights).partition(":")[0] in _LIBRARIES and not os.path.exists(weights):
        return None
    weights = local_path(weights, "a file of weights")
    return Path(weights) / model_file.MODEL_NAME if os.path.isdir(weights) else Path(weights)


def sha256_of(path: Path) -> str:
    """The SHA-256 of the content of a file.

    Raises:
        FileError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise explain("read", path, error) from error


def load_weights(
    network: nn.Module, weights: str | Path, *, name: str | None = None, weights_stride: StrideIn | None = None
) -> list[str]:
    """Loads `weights` into `network`.

    Args:
        network: a `ResNet`, or a task's network with one as its `backbone`.
        weights: a model file, a run folder, a `.pth` or `.safetensors` file of any origin, "torchvision:NAME" or
            "timm:TAG"; before the tag may stand the network's name and a point, as timm writes it.
        name: the network's name in the catalog, which torchvision and timm share.
        weights_stride: the convolution of bottlenecks that has the stride, for a file that does not say it: "1x1" (v1:
            the paper, Caffe, detectron) or "3x3" (v1.5: torchvision, timm, nearly all others).

    Returns:
        A line for each key, and each head, that was not loaded as it is.

    Raises:
        FileError: the file is missing, damaged or unsafe, or the weights are of another network.
        UsageError: `weights_stride` is needed and not given, or the network has its stride in another convolution.
    """
    state, known_stride, notes = _read(network, weights, name)
    _check_stride(backbone_of(network).spec, known_stride, weights_stride, str(weights))
    return notes + transplant(network, rename(state, network), str(weights))


def _read(
    network: nn.Module, weights: str | Path, name: str | None
) -> tuple[dict[str, Tensor], StrideIn | None, list[str]]:
    """The tensors of `weights`, which convolution of their bottlenecks has the stride, where that is known, and a line
    for each thing that was found out about them.

    Raises:
        FileError: the file is missing, damaged or unsafe, or of another network as far as it says so.
    """
    origin, own = str(weights), backbone_of(network).spec
    path = weights_file(weights)
    known: StrideIn | None = "3x3"
    if path is None:
        library, _, tag = origin.partition(":")
        if name is None:  # as in training, whose recipe has a spec without a name
            raise UsageError(f"{origin} needs a network's name, as resnets.create(NAME, weights=...) has: give a file.")
        state = _LIBRARIES[library](name, "" if tag == name else tag.removeprefix(f"{name}."))
    else:
        state, spec = read_weights(path)
        known = spec.stride_in if spec else _stride_by_names(state)
        if spec:
            _refuse_other_network(own, spec, origin)
    _refuse_other_task(own, state, origin)
    state, notes = without_prefix(state, network, origin)
    return state, known, notes


def _stride_by_names(state: Mapping[str, Tensor]) -> StrideIn | None:
    """The stride of torchvision's networks for segmentation, which their keys tell from others."""
    parts = {unwrapped(name).partition(".")[0] for name in state}
    return "3x3" if {"backbone", "classifier"} <= parts <= {"backbone", "classifier", "aux_classifier"} else None


def _refuse_other_task(own: Spec, state: Mapping[str, Tensor], origin: str) -> None:
    """Raises FileError for a network of another task, which has a residual network as its backbone.

    A network with a task's head takes the backbones of others with heads that can be left out.
    """
    names = [unwrapped(name) for name in state]
    parts = sorted({name.partition(".")[0] for name in names})
    kind = next((kind for kind, heads in _HEADS.items() if heads & set(parts)), None)
    if kind is None and any(name.startswith("backbone.fpn.") for name in names):
        kind = "detection"  # whose head torchvision calls just so
    if "backbone" not in parts or kind is None:
        return
    if isinstance(own.head, LinearHead) or not {*parts} <= {"backbone", *HEADS}:
        raise FileError(
            f"{origin} holds a network for {kind} ({', '.join(parts[:5])}), not "
            f"{_NOUNS[type(own.head)]}. To use its backbone, save the entries of backbone. without that prefix."
        )


def _refuse_other_network(own: Spec, theirs: Spec, origin: str) -> None:
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


def _from_torchvision(name: str | None, tag: str) -> dict[str, Tensor]:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise UsageError(f"torchvision has no weights for {name}.")
    options = models.get_model_weights(name)
    if tag and tag not in options.__members__:
        raise unknown(f"torchvision weights of {name}", tag, options.__members__)
    chosen = options[tag or "DEFAULT"]
    try:
        return dict(chosen.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except Exception as error:
        raise FileError(
            f"torchvision's weights {name}.{tag or 'DEFAULT'} are not here and could not be downloaded ({error}). "
            f"Fetch {chosen.url} elsewhere and give that file."
        ) from error


def _from_timm(name: str | None, tag: str) -> dict[str, Tensor]:
    try:
        import timm
    except ImportError:
        raise not_installed("timm's weights need timm", package="timm") from None
    timm_name = f"{name}.{tag}" if tag else str(name)
    try:
        return dict(timm.create_model(timm_name, pretrained=True).state_dict())
    except Exception as error:
        raise FileError(
            f"timm's weights {timm_name} are not here and could not be downloaded ({error}). "
            "Fetch them elsewhere and give the file."
        ) from error


_LIBRARIES: dict[str, Callable[[str | None, str], dict[str, Tensor]]] = {
    "torchvision": _from_torchvision,
    "timm": _from_timm,
}
