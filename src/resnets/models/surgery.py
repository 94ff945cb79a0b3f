"""Weights of one network put into another that differs in classes or input channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resnets.errors import FileError
from resnets.models.resnet import ResNet

CLASSIFIER = "fc."


def load_strictly(network: ResNet, state: Mapping[str, Tensor], origin: str) -> None:
    """Sets every weight and buffer of `network` from `state`, or says in one line what does not fit.

    Raises:
        FileError: an entry is missing, too many, or of another shape.
    """
    problems = mismatches(network, state)
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise FileError(f"The weights in {origin} are not of this network: {'; '.join(problems[:3])}{more}.")
    network.load_state_dict(dict(state))


def mismatches(network: ResNet, state: Mapping[str, Tensor]) -> list[str]:
    """One text for each entry of `state` that is missing, not of `network`, or of another shape."""
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
    """Sets `network`'s weights from `state`; the classifier may have other classes, the stem other channels.

    A classifier of other classes keeps the weights that `network` came with. A first convolution for RGB becomes one
    for another number of channels by adding up (1 channel) or repeating in turn and scaling, so that a picture whose
    channels are alike gives the same responses.

    Returns:
        A line for each key that was not taken over as it is.

    Raises:
        FileError: anything else differs.
    """
    state, own, notes = dict(state), network.state_dict(), []
    for name in own:
        if name in state and name.startswith(CLASSIFIER) and state[name].shape != own[name].shape:
            notes.append(
                f"{name} {tuple(state[name].shape)} was skipped: the new classifier is {tuple(own[name].shape)}."
            )
            state[name] = own[name]
    first = next(name for name in own if name.startswith("conv1."))
    if first in state and state[first].ndim == own[first].ndim and state[first].shape[1] != network.spec.channels:
        channels = state[first].shape[1]
        state[first] = _recolor(state[first], network.spec.channels)
        notes.append(f"{first} was changed from {channels} to {network.spec.channels} input channels.")
    load_strictly(network, state, origin)
    return notes


def _recolor(weight: Tensor, channels: int) -> Tensor:
    """(outputs, old, ...) to (outputs, channels, ...) with the same sum over channels."""
    old = weight.shape[1]
    repeated = weight[:, torch.arange(channels) % old]
    if channels < old:
        repeated = weight.sum(1, keepdim=True).expand(-1, channels, *weight.shape[2:])
        return (repeated / channels).contiguous()
    used = torch.bincount(torch.arange(channels) % old, minlength=old)[torch.arange(channels) % old]
    return repeated / used.to(weight.dtype).reshape(1, -1, *[1] * (weight.ndim - 2))
