"""What a network computes beyond its weights: the kinds of its layers and their settings, such as strides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

# Settings that change nothing in evaluation.
_OF_TRAINING = {"training", "momentum", "inplace", "p", "rate", "layer", "keys", "recomputed", "frozen"}
_NUMBERS = bool | int | float | str


def other_layers(network: nn.Module, expected: nn.Module, wrappers: set[str]) -> list[str]:
    """A message for each layer of `network` that computes something else than that of `expected`, weights aside.

    Batch norm synchronised over devices is batch norm. Modules outside of sequences that `expected` has not are left
    out, such as a loss: their parent's `forward` does not call them.

    Args:
        wrappers: names of modules that stand between those of `network` without changing what it computes.
    """
    theirs, ours = _by_plain_name(network, wrappers), dict(expected.named_modules())
    problems = []
    for name, module in ours.items():
        shown = name or "the network"
        if name not in theirs:
            problems.append(f"{shown} is missing")
        elif (kind := type(theirs[name])) is not type(module) and not _norms_alike(theirs[name], module):
            problems.append(f"{shown} is {kind.__name__}, not {type(module).__name__}")
        else:
            problems += _other_settings(shown, vars(theirs[name]), vars(module))
    sequences = {name for name, module in ours.items() if isinstance(module, nn.Sequential)}
    problems += [f"{name} is new" for name in theirs if name not in ours and name.rpartition(".")[0] in sequences]
    return problems


def _by_plain_name(network: nn.Module, wrappers: set[str]) -> dict[str, nn.Module]:
    """Each module by its name without those of wrappers, of which the innermost counts."""
    return {
        ".".join(part for part in name.split(".") if part not in wrappers): module
        for name, module in network.named_modules(remove_duplicate=False)
    }


def _norms_alike(theirs: nn.Module, ours: nn.Module) -> bool:
    return isinstance(theirs, _BatchNorm) and isinstance(ours, _BatchNorm)


def _other_settings(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    names = [key for key in ours if key[0] != "_" and key not in _OF_TRAINING and key in theirs]
    return [
        f"{name} has {key} {theirs[key]}, not {ours[key]}"
        for key in names
        if _is_plain(ours[key]) and _short(theirs[key]) != _short(ours[key])
    ]


def _is_plain(value: Any) -> bool:
    return isinstance(value, _NUMBERS) or (isinstance(value, tuple | list) and all(map(_is_plain, value)))


def _short(value: Any) -> Any:
    """One number for several equal ones: torch's layers take a size for each dimension or one for all."""
    several = isinstance(value, tuple | list) and value and all(each == value[0] for each in value)
    return value[0] if several else value
