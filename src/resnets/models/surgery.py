"""Changes to networks: loading weights, also of other classes or input channels, and folding batch norm."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from resnets.core.errors import FileError
from resnets.models.resnet import ResNet

CLASSIFIER = "fc."
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def load_strictly(network: ResNet, state: Mapping[str, Tensor], origin: str) -> None:
    """Sets every weight and buffer of `network` from `state`.

    Args:
        origin: where `state` is from, for messages.

    Raises:
        FileError: an entry is missing, unknown, or of another shape or kind of number, or holds NaN, infinity or a
            variance below 0.
    """
    _check_values(network, state, origin)
    _load(network, state, origin)


def _load(network: ResNet, state: Mapping[str, Tensor], origin: str) -> None:
    problems = mismatches(network, state)
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise FileError(f"The weights in {origin} are not of this network: {'; '.join(problems[:3])}{more}.")
    network.load_state_dict(dict(state))


def _check_values(network: ResNet, state: Mapping[str, Tensor], origin: str) -> None:
    """Raises FileError if an entry has integers in place of weights, or holds NaN, infinity or a variance below 0."""
    kinds, values = [], []
    for name, own in network.state_dict().items():
        if name not in state:
            continue
        given = state[name]
        dense = given.layout == torch.strided and not given.is_quantized and not given.is_meta
        if not dense or (own.is_floating_point() and given.dtype not in _FLOATS):
            kinds.append(f"{name} ({str(given.dtype).removeprefix('torch.')}{'' if dense else ', not dense'})")
        elif own.is_floating_point():
            numbers = given.detach().to(own.dtype)
            good = numbers.isfinite() if not name.endswith("running_var") else numbers.isfinite() & (numbers >= 0)
            if not good.all():
                values.append(f"{name} ({int((~good).sum()):,} of {good.numel():,} numbers)")
    if kinds:
        raise FileError(
            f"{origin} has other numbers than floating-point weights, as a quantised network has: {_first(kinds)}. "
            "Use the weights from before the quantisation."
        )
    if values:
        raise FileError(
            f"{origin} holds NaN, infinity or a variance below 0 in {_first(values)}: its training diverged, or the "
            "file is damaged. Use an earlier checkpoint or another copy."
        )


def _first(problems: list[str]) -> str:
    return ", ".join(problems[:3]) + (f" and {len(problems) - 3:,} more" if len(problems) > 3 else "")


def mismatches(network: ResNet, state: Mapping[str, Tensor]) -> list[str]:
    """A message for each entry of `state` that is missing, unknown to `network`, or of another shape."""
    own = network.state_dict()
    missing = [f"{name} is missing" for name in own if name not in state]
    surplus = [f"{name} is unknown" for name in state if name not in own]
    shapes = [
        f"{name} has shape {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    return missing + surplus + shapes


def transplant(network: ResNet, state: Mapping[str, Tensor], origin: str) -> list[str]:
    """Sets `network`'s weights from `state`, which may have other classes and other input channels.

    A classifier of other classes keeps the weights of `network`. The first convolution is adapted to another number of
    input channels: its weights are summed over channels (for 1 channel), or repeated in turn and scaled, so that an
    image of equal channels gives the same outputs.

    Returns:
        A line for each key that was not loaded as it is.

    Raises:
        FileError: anything else differs, or an entry holds NaN, infinity or a variance below 0.
    """
    _check_values(network, state, origin)
    state, own, notes = dict(state), network.state_dict(), []
    for name in own:
        if name in state and name.startswith(CLASSIFIER) and state[name].shape != own[name].shape:
            notes.append(
                f"{name} {tuple(state[name].shape)} was skipped: the new classifier has {tuple(own[name].shape)}."
            )
            state[name] = own[name]
    first = next(name for name in own if name.startswith("conv1."))
    if first in state and state[first].ndim == own[first].ndim and state[first].shape[1] != network.spec.channels:
        channels = state[first].shape[1]
        state[first] = _recolor(state[first], network.spec.channels)
        notes.append(f"{first} was changed from {channels} to {network.spec.channels} input channels.")
    _load(network, state, origin)
    return notes


def fold_norms(network: ResNet) -> ResNet:
    """A copy in evaluation mode in which each batch norm after a convolution is folded into the convolution.

    It computes the same function up to rounding. Norms after an addition (in pre-activation nets) stay.
    """
    folded = copy.deepcopy(network).eval()
    for owner, convolution, norm in list(_folding(folded)):
        fused: nn.Module = fuse_conv_bn_eval(owner.get_submodule(convolution), owner.get_submodule(norm))  # type: ignore[type-var, arg-type]
        owner.set_submodule(convolution, fused)
        owner.set_submodule(norm, nn.Identity())
    return folded


def _folding(network: ResNet) -> Iterator[tuple[nn.Module, str, str]]:
    """The names of each convolution and of the batch norm that alone gets its output, and the module with both."""
    shift = 1 if network.spec.preactivation else 0
    for module in network.modules():
        children = list(module.named_children())
        pairs = [(f"conv{number}", f"bn{number + shift}") for number in (1, 2, 3)]
        if isinstance(getattr(module, "pool", None), nn.modules.pooling._MaxPoolNd):
            pairs.remove(
                ("conv1", f"bn{1 + shift}")
            )  # of the max pool between them a negative scale would make a min pool
        if module is network:
            last = f"conv1.{len(network.conv1) - 1}" if isinstance(network.conv1, nn.Sequential) else "conv1"
            pairs = [(last, "bn1")]
        if isinstance(module, nn.Sequential):
            pairs = [(name, after) for (name, _), (after, _) in itertools.pairwise(children)]
        for convolution, norm in pairs:
            if isinstance(_find(module, convolution), _CONVOLUTIONS) and isinstance(_find(module, norm), _BATCH_NORMS):
                yield module, convolution, norm


def _find(module: nn.Module, name: str) -> nn.Module | None:
    try:
        return module.get_submodule(name)
    except AttributeError:
        return None


def _recolor(weight: Tensor, channels: int) -> Tensor:
    """(outputs, old, ...) to (outputs, channels, ...) with the same sum over channels."""
    old = weight.shape[1]
    repeated = weight[:, torch.arange(channels) % old]
    if channels < old:
        repeated = weight.sum(1, keepdim=True).expand(-1, channels, *weight.shape[2:])
        return (repeated / channels).contiguous()
    used = torch.bincount(torch.arange(channels) % old, minlength=old)[torch.arange(channels) % old]
    return repeated / used.to(weight.dtype).reshape(1, -1, *[1] * (weight.ndim - 2))
