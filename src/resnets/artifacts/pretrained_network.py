"""Which networks weights without a description may be of, by their names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from resnets.artifacts.pretrained import refuse_other_task
from resnets.artifacts.pretrained_names import rename, translated
from resnets.artifacts.pretrained_prefix import without_prefix
from resnets.core.errors import FileError
from resnets.models import counts
from resnets.models.catalog import CATALOG
from resnets.models.heads import LinearHead
from resnets.models.resnet import backbone_of, prefix_of
from resnets.models.spec import Spec
from resnets.tasks.networks import build_network

_FIRST = ("conv1.weight", "conv1.0.weight")
_TRUNK = re.compile(r"(?:conv1|bn1|bn|layer\d+)\..*")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def networks_of(state: Mapping[str, Tensor], origin: str) -> list[str]:
    """The names in the catalog of the networks with these weights, the likeliest first; head and channels aside.

    Where several have the same shapes, such as ResNet v1 and v1.5, torchvision's and timm's come before others, and
    residual networks before plain ones.

    Raises:
        FileError: the weights are of a network for another task.
    """
    named, channels = _named(state), input_channels(state)
    if channels is None:
        return []
    refuse_other_task(Spec(), state, origin)
    trunk = {name: tensor for name, tensor in named.items() if _TRUNK.fullmatch(name)}
    numbers = sum(tensor.numel() for name, tensor in trunk.items() if not name.endswith(_STATISTICS))
    found = [
        name
        for name, spec in CATALOG.items()
        if isinstance(spec.head, LinearHead)
        and _trunk_parameters(name, channels) == numbers
        and fits(replace(spec, channels=channels), state, origin)
    ]
    return sorted(found, key=lambda name: CATALOG[name].shortcut == "none")  # otherwise in the catalog's order


@cache
def _trunk_parameters(name: str, channels: int) -> int:
    return counts.parameters(replace(CATALOG[name], channels=channels, classes=0))


def fits(spec: Spec, state: Mapping[str, Tensor], origin: str) -> bool:
    """Whether the weights have the names and shapes of a network, heads and input channels aside."""
    with torch.device("meta"):
        network = build_network(spec)
    try:
        state, _ = without_prefix(state, network, origin)
        renamed = rename(state, network)
    except FileError:
        return False
    own, heads = network.state_dict(), spec.head.modules
    first = prefix_of(network) + next(name for name in backbone_of(network).state_dict() if name in _FIRST)
    trunk = {name for name in own if not any(name == head or name.startswith(f"{head}.") for head in heads)}
    theirs = {name for name in renamed if name in trunk or _TRUNK.fullmatch(name)}
    return theirs == trunk and all(
        renamed[name].shape == own[name].shape
        or (name == first and renamed[name].ndim == own[name].ndim and _but_channels(renamed[name], own[name]))
        for name in trunk
    )


def head_rows(state: Mapping[str, Tensor]) -> int | None:
    """How many rows the linear head among the weights has; None where there is none."""
    head = _named(state).get("fc.weight")
    return None if head is None else len(head)


def input_channels(state: Mapping[str, Tensor]) -> int | None:
    """The input channels of the first convolution; None where there is none."""
    first = next((tensor for name, tensor in _named(state).items() if name in _FIRST and tensor.ndim > 2), None)
    return None if first is None else first.shape[1]


def _but_channels(theirs: Tensor, own: Tensor) -> bool:
    return theirs.shape[0] == own.shape[0] and theirs.shape[2:] == own.shape[2:]


def _named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the first network in `state` by our names: without the prefix of its first convolution."""
    prefixes: list[list[str]] = []
    for name in state:
        parts = name.split(".")
        prefixes += [parts[:n] for n in range(len(parts)) if translated(".".join(parts[n:]), _FIRST) in _FIRST]
    if not prefixes:
        return {}
    prefix = ".".join([*min(prefixes, key=len), ""])  # blocks have first convolutions too, with longer ones
    return {translated(name.removeprefix(prefix), ()): tensor for name, tensor in state.items()}
