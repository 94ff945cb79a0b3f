"""Pretrained weights of any origin: files of torch and safetensors, and those that torchvision and timm publish."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnets.artifacts import model_file
from resnets.core.errors import FileError, UsageError, unknown
from resnets.core.files import explain
from resnets.models.resnet import ResNet
from resnets.models.spec import Spec
from resnets.models.surgery import transplant
from resnets.nn.shapes import StrideIn

# Prefixes of all keys that come from wrappers: DataParallel and DDP, torch.compile, EMA.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "ema.")
_CONTAINERS = ("state_dict", "model_state_dict", "model", "net")

# Names of modules by which networks for other tasks are recognised: torchvision's and OpenMMLab's.
_HEADS = {
    "detection": {"rpn", "roi_heads", "rpn_head", "roi_head", "bbox_head", "head"},
    "segmentation": {"classifier", "aux_classifier", "decode_head", "auxiliary_head"},
}

# Patterns of other libraries' keys and our keys; the first that matches counts.
_NAMES = (
    (r"linear\.(.*)", r"fc.\1"),  # open CIFAR implementations
    (r"stem\.conv\.(.*)", r"conv1.\1"),  # timm's pre-activation nets, this line and the next five
    (r"stages\.(\d+)\.blocks\.(\d+)\.norm(\d)\.(.*)", r"layer{1+1}.\2.bn\3.\4"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.downsample\.conv\.(.*)", r"layer{1+1}.\2.downsample.0.\3"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.(.*)", r"layer{1+1}.\2.\3"),
    (r"norm\.(.*)", r"bn.\1"),
    (r"head\.fc\.(.*)", r"fc.\1"),
)


def load_weights(
    network: ResNet, weights: str | Path, *, name: str | None = None, weights_stride: StrideIn | None = None
) -> list[str]:
    """Loads `weights` into `network`.

    Args:
        weights: a model file, a run folder, a `.pth` or `.safetensors` file of any origin, "torchvision:NAME" or
            "timm:TAG".
        name: the network's name in the catalog, which torchvision and timm share.
        weights_stride: the convolution of bottlenecks that has the stride, for a file that does not say it: "1x1" (v1:
            the paper, Caffe, detectron) or "3x3" (v1.5: torchvision, timm, nearly all others).

    Returns:
        A line for each key that was not loaded as it is.

    Raises:
        FileError: the file is missing, damaged or unsafe, or the weights are of another network.
        UsageError: `weights_stride` is needed and not given, or the network has its stride in another convolution.
    """
    origin = str(weights)
    library, _, tag = origin.partition(":")
    if library in ("torchvision", "timm") and not os.path.exists(origin):
        state = _LIBRARIES[library](name, tag)
        known_stride: StrideIn | None = "3x3"
    else:
        path = Path(weights) / model_file.MODEL_NAME if os.path.isdir(weights) else Path(weights)
        state, spec = read_weights(path)
        known_stride = spec.stride_in if spec else None
        if spec:
            _refuse_other_network(network.spec, spec, origin)
    _refuse_other_task(state, origin)
    _check_stride(network.spec, known_stride, weights_stride, origin)
    return transplant(network, rename(state, network), origin)


def read_weights(path: Path) -> tuple[dict[str, Tensor], Spec | None]:
    """The tensors in a file of any origin, and the spec if it is a model file. Code in the file is never run.

    Raises:
        FileError: the file is missing, damaged, or a pickle of other objects than tensors.
    """
    if path.suffix == ".safetensors":
        tensors, metadata = model_file.read_safetensors(path)
        text = metadata.get(model_file.KEY)
        return tensors, model_file.read_card(path, text).spec if text is not None else None
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as file:
                model_file.check_tensors(path, len(file.namelist()))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileError:
        raise
    except OSError as error:
        raise explain("read", path, error) from error
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileError(
            f"{path} could not be read as weights ({reason}). It is damaged, or a pickle that would run code: ask its "
            "author for a safetensors file."
        ) from error
    return _tensors(content, path), None


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for key in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise FileError(f"{path} has no state_dict, neither as it is nor under {', '.join(_CONTAINERS)}.")
    return {str(name): tensor for name, tensor in content.items()}


def rename(state: Mapping[str, Tensor], network: ResNet) -> dict[str, Tensor]:
    """`state` under the keys of this library: without prefixes of wrappers, other libraries' names translated."""
    own = network.state_dict()
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        while name.startswith(_WRAPPERS) and name not in own:
            name = name.split(".", 1)[1]
        if name == "n_averaged":  # torch's AveragedModel counts its updates
            continue
        if name not in own:
            name = _translate(name)
        if (
            name in own
            and tensor.shape != own[name].shape
            and tensor.ndim == own[name].ndim + 2
            and name == "fc.weight"
        ):
            tensor = tensor.flatten(1)  # timm's classifier as a 1x1 convolution
        if name in renamed:  # such as a checkpoint of both the weights and their moving average
            raise FileError(f"The weights have {name} more than once, under several prefixes: keep one set of them.")
        renamed[name] = tensor
    for name in own:  # absent from weights that were saved before torch counted batches
        if name.endswith("num_batches_tracked"):
            renamed.setdefault(name, own[name])
    return renamed


def _translate(name: str) -> str:
    for pattern, replacement in _NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            counted = replacement.replace("{1+1}", str(int(match[1]) + 1) if "{1+1}" in replacement else "")
            return match.expand(counted)
    return name


def _refuse_other_task(state: Mapping[str, Tensor], origin: str) -> None:
    """Raises FileError for a network of another task, which has a residual network as its backbone."""
    parts = sorted({_unwrapped(name).partition(".")[0] for name in state})
    if "backbone" in parts:
        kind = next((kind for kind, names in _HEADS.items() if names & set(parts)), "another task")
        raise FileError(
            f"{origin} holds a network for {kind} ({', '.join(parts[:5])}), not a classifier. To use its backbone, "
            "save the entries of backbone. without that prefix."
        )


def _unwrapped(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def _refuse_other_network(own: Spec, theirs: Spec, origin: str) -> None:
    shapes = ("block", "depths", "widths", "stem", "preactivation", "shortcut", "groups", "dimensions")
    stride = ("stride_in",) if own.block == "basic" else ()  # for bottlenecks, `_check_stride` has the better message
    for choice in (*shapes, "activation", "pool", *stride):
        if getattr(own, choice) != getattr(theirs, choice):
            raise FileError(
                f"{origin} holds a network with {choice} {getattr(theirs, choice)}, not {getattr(own, choice)}."
            )


def _check_stride(spec: Spec, known: StrideIn | None, given: StrideIn | None, origin: str) -> None:
    """Raises UsageError for v1 weights in a v1.5 network and the reverse, where the shapes are the same.

    Args:
        known: the stride of the weights by their origin or file; None if that does not say it.
        given: the stride of the weights by the caller.
    """
    if spec.block == "basic" or len(spec.depths) == 1:
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
        raise UsageError("timm's weights need timm: pip install timm.") from None
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
