"""The prefix that the weights of a network have in a checkpoint of something larger, which holds it as a part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from resnets.artifacts.pretrained_names import COUNT, rename, translated
from resnets.core.errors import FileError
from resnets.models.resnet import backbone_of, prefix_of

_SHOWN = 3


def without_prefix(state: Mapping[str, Tensor], network: nn.Module, origin: str) -> tuple[dict[str, Tensor], list[str]]:
    """`state` without the prefix that all weights of the network before its head have in it, such as `backbone.`.

    Unchanged where there is none, such as where the weights have the network's names as they are. Self-supervised
    methods, Lightning's modules and OpenMMLab's classifiers save such checkpoints. What has not the prefix, such as a
    projection, is left out; the head starts new where the checkpoint has none of this network's kind.

    Returns:
        The weights, and what was left out, a line each.

    Raises:
        FileError: there are several such prefixes, as with a student and its moving average.
    """
    backbone = backbone_of(network)
    own, heads = backbone.state_dict(), backbone.spec.head.modules
    trunk = {name for name in own if name.partition(".")[0] not in heads and not name.endswith(COUNT)}
    if {prefix_of(network) + name for name in trunk} <= rename(state, network).keys():
        return dict(state), []
    found = [
        prefix for prefix in _candidates(state, trunk, own) if trunk <= {name for name, _ in _below(state, prefix, own)}
    ]
    if not found:
        return dict(state), []
    if len(found) > 1:
        first = found[0]
        raise FileError(
            f"{origin} holds {len(found)} sets of weights of this network, under {' and '.join(found)}. Save the one "
            f"to use: torch.save({{name.removeprefix('{first}'): value for name, value in state.items() if "
            f"name.startswith('{first}')}}, 'one.pth')"
        )
    (prefix,) = found
    kept = dict(_below(state, prefix, own))
    notes = [f"The weights of the network are those under {prefix} in {origin}."]
    others = []
    for name, tensor in state.items():
        if not name.startswith(prefix):
            ours = _ours(name, own)
            if ours in own and ours not in kept:  # the head, beside what it stands on
                kept[ours] = tensor
            else:
                others.append(name)
    others += _fit_head(kept, own, heads, prefix, notes)
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        notes.append(f"Left out of {origin}: {', '.join(others[:_SHOWN])}{more}.")
    return kept, notes


def _ours(name: str, own: Mapping[str, Tensor]) -> str:
    return name if name in own else translated(name, own)


def _candidates(state: Mapping[str, Tensor], trunk: set[str], own: Mapping[str, Tensor]) -> list[str]:
    """The prefixes with which `state` has the first weight of the network; each ends with a dot."""
    first = min(name for name in trunk if name.startswith("conv1"))
    found: dict[str, None] = {}
    for name in state:
        parts = name.split(".")
        for count in range(1, len(parts)):
            if _ours(".".join(parts[count:]), own) == first:
                found.setdefault(".".join(parts[:count]) + ".")
    return list(found)


def _below(state: Mapping[str, Tensor], prefix: str, own: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The weights under `prefix` by our names."""
    for name, tensor in state.items():
        if name.startswith(prefix):
            yield _ours(name.removeprefix(prefix), own), tensor


def _fit_head(
    state: dict[str, Tensor], own: Mapping[str, Tensor], heads: tuple[str, ...], prefix: str, notes: list[str]
) -> list[str]:
    """Makes the head in `state` complete: as it is there, or else new; returns the names that it leaves out."""
    ours, theirs = ({name for name in each if name.partition(".")[0] in heads} for each in (own, state))
    if not ours or ours == theirs:
        return []
    for name in theirs:
        del state[name]
    state.update({name: own[name] for name in ours})
    notes.append(f"{' and '.join(heads)} starts new: the weights have no such head.")
    return [prefix + name for name in sorted(theirs)]
