"""Weights that others trained: files of torch and safetensors, torchvision's and timm's published ones."""

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

# What wrappers put before every key: DataParallel and DDP, torch.compile, EMA.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "ema.")
_CONTAINERS = ("state_dict", "model_state_dict", "model", "net")

# Parts by which networks for other tasks are known: torchvision's, OpenMMLab's.
_HEADS = {
    "detection": {"rpn", "roi_heads", "rpn_head", "roi_head", "bbox_head", "head"},
    "segmentation": {"classifier", "aux_classifier", "decode_head", "auxiliary_head"},
}

# Names of other libraries on the left; a pattern a line, the first that fits.
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
    """Puts `weights` into `network`.

    Args:
        weights: a model file, a run folder, a `.pth` or `.safetensors` file of anyone's, "torchvision:NAME" or
            "timm:TAG".
        name: the network's name in the catalogue, which torchvision and timm share.
        weights_stride: for a file of bottlenecks that does not say, which convolution strides there: "1x1" (v1:
            the paper's, Caffe, detectron) or "3x3" (v1.5: torchvision, timm, nearly all others).

    Returns:
        A line for each key that was not taken over as it is.

    Raises:
        FileError: missing, damaged or unsafe file, or weights of another network.
        UsageError: the place of the stride is not said, or is another than the network's.
    """
    origin = str(weights)
    library, _, tag = origin.partition(":")
    if library in ("torchvision", "timm") and not os.path.exists(origin):
        state = _LIBRARIES[library](name, tag)
        said: StrideIn | None = "3x3"
    else:
        path = Path(weights) / model_file.MODEL_NAME if os.path.isdir(weights) else Path(weights)
        state, spec = read_weights(path)
        said = spec.stride_in if spec else None
        if spec:
            _refuse_other_network(network.spec, spec, origin)
    _refuse_other_task(state, origin)
    _check_stride(network.spec, said, weights_stride, origin)
    return transplant(network, rename(state, network), origin)


def read_weights(path: Path) -> tuple[dict[str, Tensor], Spec | None]:
    """The tensors in a file of anyone's, and the spec where it is a model file. Code in the file is never run.

    Raises:
        FileError: missing, damaged, or a pickle that holds more than tensors.
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
            f"{path} could not be read as weights alone ({reason}). It is damaged, or a pickle that would run code; "
            "ask its author for a safetensors file."
        ) from error
    return _tensors(content, path), None


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    for key in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise FileError(f"{path} holds no table of weights (a state_dict), alone or under {', '.join(_CONTAINERS)}.")
    return {str(name): tensor for name, tensor in content.items()}


def rename(state: Mapping[str, Tensor], network: ResNet) -> dict[str, Tensor]:
    """`state` with the keys of this library: wrappers' prefixes taken off, other libraries' names translated."""
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
            raise FileError(f"The weights hold {name} more than once, under several prefixes: keep one set of them.")
        renamed[name] = tensor
    for name in own:  # weights saved before torch counted batches
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
    """Refuses a network that holds a residual network as one of its parts, with what else it has."""
    parts = sorted({_unwrapped(name).partition(".")[0] for name in state})
    if "backbone" in parts:
        kind = next((kind for kind, names in _HEADS.items() if names & set(parts)), "another task")
        raise FileError(
            f"{origin} holds a network for {kind} ({', '.join(parts[:5])}), not a classifier. To take its backbone "
            "alone, save the entries of backbone. without that prefix."
        )


def _unwrapped(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def _refuse_other_network(own: Spec, theirs: Spec, origin: str) -> None:
    shapes = ("block", "depths", "widths", "stem", "preactivation", "shortcut", "groups", "dimensions")
    stride = ("stride_in",) if own.block == "basic" else ()  # of bottlenecks, `_check_stride` says more
    for choice in (*shapes, "activation", "pool", *stride):
        if getattr(own, choice) != getattr(theirs, choice):
            raise FileError(
                f"{origin} holds a network with {choice} {getattr(theirs, choice)}, not {getattr(own, choice)}."
            )


def _check_stride(spec: Spec, said: StrideIn | None, given: StrideIn | None, origin: str) -> None:
    """Refuses v1 weights for a v1.5 network and the reverse: the shapes agree, the results would be wrong."""
    if spec.block == "basic" or len(spec.depths) == 1:
        return
    if said and given and said != given:
        raise UsageError(f"{origin} says that its bottlenecks stride in the {said} convolution, not in the {given}.")
    theirs = said or given
    if theirs is None:
        raise UsageError(
            f"{origin} does not say which convolution of its bottlenecks strides. Say weights_stride='3x3' (v1.5: "
            "torchvision, timm and nearly all others) or '1x1' (v1: the paper's, Caffe, detectron)."
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
