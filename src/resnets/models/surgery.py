"""Changes to networks: loading weights, also of other classes or input channels, and folding batch norm."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from resnets.core.errors import FileError, UsageError
from resnets.models.heads import Head, LinearHead
from resnets.models.output_rows import OutputRows
from resnets.models.resnet import backbone_of, prefix_of
from resnets.nn.convolutions import make_plain
from resnets.nn.layers import FrozenBatchNorm
from resnets.nn.res2net import HierarchicalConv

Network = TypeVar("Network", bound=nn.Module)

# Names that heads have here, in torchvision and in OpenMMLab.
HEADS = (
    "fc", "box_head", "classifier", "aux_classifier", "decode_head", "auxiliary_head", "backbone.fpn", "rpn",
    "roi_heads.box_head",
    "roi_heads.box_predictor", "roi_heads.mask_head", "roi_heads.mask_predictor", "roi_heads.keypoint_head",
    "roi_heads.keypoint_predictor", "head.classification_head", "head.regression_head", "neck", "rpn_head", "roi_head",
    "bbox_head",
)  # fmt: skip
# Convolutions and their norms in the parts of blocks.
_OF_PARTS = (("fc_reduce", "bn"), ("conv", "bn0"), ("fc1", "bn1"))
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, FrozenBatchNorm)


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Sets every weight and buffer of `network` from `state`.

    Args:
        origin: where `state` is from, for messages.

    Raises:
        FileError: an entry is missing, unknown, or of another shape or kind of number, or holds NaN, infinity or a
            variance below 0.
    """
    _check_values(network, state, origin)
    _load(network, state, origin)


def _load(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    problems = mismatches(network, state)
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise FileError(f"The weights in {origin} are not of this network: {'; '.join(problems[:3])}{more}.")
    network.load_state_dict(dict(state))


def _check_values(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
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


def mismatches(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
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


def transplant(
    network: nn.Module, state: Mapping[str, Tensor], origin: str, *, rows: Mapping[int, int] | None = None
) -> list[str]:
    """Sets `network`'s weights from `state`, which may have other classes, other input channels and other heads.

    A layer of logits for other classes keeps the weights of `network`, but for `rows` and the background's. So does a
    part of a task's head that `state` has not, or has otherwise; parts that `network` has not are left out. A
    classifier must have its head.

    The first convolution is adapted to another number of input channels: its weights are summed over channels (for 1
    channel), or repeated in turn and scaled, so that an image of equal channels gives the same outputs (with
    standardised weights, up to the scale of each filter).

    Args:
        rows: which class of `state` each of these classes of `network` is, whose rows it takes, of weights and biases;
            its other rows stay. None where the classes of the two are not known by name: a head of as many classes is
            then loaded as it is.

    Returns:
        A line for each key that was not loaded as it is.

    Raises:
        FileError: anything else differs, or an entry holds NaN, infinity or a variance below 0.
    """
    _check_values(network, state, origin)
    state, own, spec = dict(state), network.state_dict(), backbone_of(network).spec
    notes, new = ([], set()) if isinstance(spec.head, LinearHead) and spec.classes else _fit_heads(network, state)
    for name in own:
        layout = spec.head.output_layers.get(name.rpartition(".")[0])
        if name not in state or name in new or layout is None:
            continue
        keeps = rows is not None and (rows or layout.background)
        if keeps and rows is not None and layout.fits(state[name], own[name]):
            theirs, state[name] = state[name], _with_rows(own[name], state[name], rows, layout)
            if theirs.shape != own[name].shape or any(rows.get(index) != index for index in range(spec.classes)):
                kept = f"{len(rows):,} rows" if not layout.background else f"the background and {len(rows):,} classes"
                notes.append(
                    f"{name} {tuple(theirs.shape)} was skipped but for {kept} of the new classifier's "
                    f"{tuple(own[name].shape)}."
                )
        elif state[name].shape != own[name].shape:
            notes.append(
                f"{name} {tuple(state[name].shape)} was skipped: the new classifier has {tuple(own[name].shape)}."
            )
            state[name] = own[name]
        elif rows is not None:
            notes.append(f"{name} {tuple(state[name].shape)} was skipped: its classes are others.")
            state[name] = own[name]
    first = next(name for name in own if name.startswith(f"{prefix_of(network)}conv1."))
    if first in state and state[first].ndim == own[first].ndim and state[first].shape[1] != spec.channels:
        channels = state[first].shape[1]
        state[first] = _recolor(state[first], spec.channels)
        notes.append(f"{first} was changed from {channels} to {spec.channels} input channels.")
    _load(network, state, origin)
    return notes


def has_rows(network: nn.Module, state: Mapping[str, Tensor], layer: str) -> bool:
    """Whether `state` has a layer of logits that `transplant` can take rows from: with as many inputs as `network`'s,
    in the same head.

    Args:
        layer: the name of the layer in `network`.
    """
    own, head, name = network.state_dict(), backbone_of(network).spec.head, f"{layer}.weight"
    if name not in state or not head.output_layers[layer].fits(state[name], own[name]):
        return False
    return all(_is_same(each, state, own, head) for each in HEADS if name.startswith(f"{each}."))


def _is_same(name: str, state: Mapping[str, Tensor], own: Mapping[str, Tensor], head: Head) -> bool:
    """Whether the part `name` of a head is in both, or in neither, and the same but for its classes."""
    theirs, ours = ({key for key in each if key.startswith(f"{name}.")} for each in (state, own))
    inner = [key for key in ours if key.rpartition(".")[0] not in head.output_layers]
    return theirs == ours and all(state[key].shape == own[key].shape for key in inner)


def _with_rows(own: Tensor, theirs: Tensor, rows: Mapping[int, int], layout: OutputRows) -> Tensor:
    """`own` with the rows of these classes, each set to those of the class of `theirs`, and with its background."""
    merged, first = own.clone(), int(layout.background)
    ours, given = ([*range(first), *(index + first for index in each)] for each in (rows, rows.values()))
    layout.by_class(merged)[:, ours] = layout.by_class(theirs)[:, given].to(own)
    return merged


def _fit_heads(network: nn.Module, state: dict[str, Tensor]) -> tuple[list[str], set[str]]:
    """Replaces the heads in `state` that are not as those of `network` by its own, and leaves out those it has not.

    Returns:
        A line for each head that was not loaded, and the names of the entries that are the network's own.
    """
    own, head = network.state_dict(), backbone_of(network).spec.head
    notes: list[str] = []
    new: set[str] = set()
    for name in HEADS:
        if _is_same(name, state, own, head):
            continue
        theirs = [key for key in state if key.startswith(f"{name}.")]
        ours = {key: value for key, value in own.items() if key.startswith(f"{name}.")}
        if not theirs:
            notes.append(f"{name} starts new: the weights have no such head.")
        elif ours:
            notes.append(f"{name} was left out and starts new: the weights have another head there.")
        else:
            notes.append(f"{name} was left out: this network has no such head.")
        for key in theirs:
            del state[key]
        state.update(ours)
        new.update(ours)
    return notes, new


def fold_norms(network: Network) -> Network:
    """A copy in evaluation mode in which each batch norm after a convolution is folded into the convolution.

    It computes the same function up to rounding. Norms after an addition (in pre-activation nets) stay. Standardised
    convolutions become plain ones.
    """
    folded = copy.deepcopy(network).eval()
    make_plain(folded)
    for owner, convolution, norm in list(_folding(folded)):
        fused: nn.Module = fuse_conv_bn_eval(owner.get_submodule(convolution), owner.get_submodule(norm))  # type: ignore[type-var, arg-type]
        owner.set_submodule(convolution, fused)
        owner.set_submodule(norm, nn.Identity())
    return folded


def _folding(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """The names of each convolution and of the batch norm that alone gets its output, and the module with both."""
    backbone = backbone_of(network)
    shift = 1 if backbone.spec.preactivation else 0
    for module in network.modules():
        children = list(module.named_children())
        pairs = [(f"conv{number}", f"bn{number + shift}") for number in (1, 2, 3)] + list(_OF_PARTS)
        if isinstance(getattr(module, "pool", None), nn.modules.pooling._MaxPoolNd):
            # Of the max pool between them a negative scale would make a min pool.
            pairs.remove(("conv1", f"bn{1 + shift}"))
        if module is backbone:
            last = f"conv1.{len(module.conv1) - 1}" if isinstance(module.conv1, nn.Sequential) else "conv1"
            pairs = [(last, "bn1")]
        if isinstance(module, HierarchicalConv):
            pairs = [(f"convs.{number}", f"bns.{number}") for number in range(len(module.convs))]
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


@torch.no_grad()
def to_frozen_batch_norm(network: Network) -> Network:
    """A copy whose batch norms are frozen: scales, shifts and statistics are constants, as detectors train them.

    It computes what `network` computes in evaluation, in every mode, and its `spec` has norm "frozen".

    Args:
        network: a `ResNet`, or a task's network with one as its `backbone`.

    Raises:
        UsageError: its norms are of another kind.
    """
    if (norm := backbone_of(network).spec.norm) not in ("batch", "frozen"):
        raise UsageError(f"Only batch norm can be frozen, and this network has norm {norm}.")
    frozen = copy.deepcopy(network)
    norms = [(name, module) for name, module in frozen.named_modules() if isinstance(module, _BatchNorm)]
    for name, module in norms:
        state = {key: value for key, value in module.state_dict().items() if not key.startswith("num_batches")}
        new = FrozenBatchNorm(module.num_features, module.eps, backbone_of(frozen).spec.dimensions)
        new.load_state_dict(state, assign=True)
        frozen.set_submodule(name, new.train(module.training))
    owners: tuple[Any, ...] = (frozen, backbone_of(frozen))
    for owner in owners:
        owner.spec = replace(backbone_of(network).spec, norm="frozen")
    return frozen


def _recolor(weight: Tensor, channels: int) -> Tensor:
    """(outputs, old, ...) to (outputs, channels, ...) with the same sum over channels."""
    old = weight.shape[1]
    repeated = weight[:, torch.arange(channels) % old]
    if channels < old:
        repeated = weight.sum(1, keepdim=True).expand(-1, channels, *weight.shape[2:])
        return (repeated / channels).contiguous()
    used = torch.bincount(torch.arange(channels) % old, minlength=old)[torch.arange(channels) % old]
    return repeated / used.to(weight.dtype).reshape(1, -1, *[1] * (weight.ndim - 2))
