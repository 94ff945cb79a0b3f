"""Names of weights in other libraries, translated into those of this one."""

from __future__ import annotations

import operator
import re
from collections.abc import Container, Mapping
from functools import partial

from torch import Tensor, nn

from resnets.core.errors import FileError
from resnets.models.resnet import PREFIXES

# Prefixes of all keys that come from wrappers: DataParallel and DDP, torch.compile, EMA.
_WRAPPERS = ("module.", "_orig_mod.", "model.", "ema.")
COUNT = "num_batches_tracked"

_HUGGING_FACE = r"(?:resnet\.)?encoder\.stages\.(\d+)\.layers\.(\d+)\."
# Patterns of other libraries' keys and our keys; the first that matches counts, of those that give a key of the network
# where there is one.
_NAMES = (
    (r"(layer\d+\.\d+\.conv\d)\.conv\.(.*)", r"\1.\2"),  # timm's selective kernels, this line and the next
    (r"(layer\d+\.\d+)\.conv(\d)\.bn\.(.*)", r"\1.bn\2.\3"),
    (r"(layer\d+\.\d+)\.((?:convs|bns)\..*)", r"\1.conv2.\2"),  # Res2Net
    (r"linear\.(.*)", r"fc.\1"),  # open CIFAR implementations
    (r"stem\.conv\.(.*)", r"conv1.\1"),  # timm's pre-activation nets, this line and the next eleven
    (r"stem\.conv1\.(.*)", r"conv1.0.\1"),
    (r"stem\.norm1\.(.*)", r"conv1.1.\1"),
    (r"stem\.conv2\.(.*)", r"conv1.3.\1"),
    (r"stem\.norm2\.(.*)", r"conv1.4.\1"),
    (r"stem\.conv3\.(.*)", r"conv1.6.\1"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.norm(\d)\.(.*)", r"layer{1+1}.\2.bn\3.\4"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.downsample\.conv\.(.*)", r"layer{1+1}.\2.downsample.0.\3"),
    (r"stages\.(\d+)\.blocks\.(\d+)\.downsample\.conv\.(.*)", r"layer{1+1}.\2.downsample.1.\3"),  # shortcut D
    (r"stages\.(\d+)\.blocks\.(\d+)\.(.*)", r"layer{1+1}.\2.\3"),
    (r"norm\.(.*)", r"bn.\1"),
    (r"head\.fc\.(.*)", r"fc.\1"),
    (r"(?:resnet\.)?embedder\.embedder\.convolution\.(.*)", r"conv1.\1"),  # Hugging Face's, to the end
    (r"(?:resnet\.)?embedder\.embedder\.normalization\.(.*)", r"bn1.\1"),
    (_HUGGING_FACE + r"layer\.(\d+)\.convolution\.(.*)", r"layer{1+1}.\2.conv{3+1}.\4"),
    (_HUGGING_FACE + r"layer\.(\d+)\.normalization\.(.*)", r"layer{1+1}.\2.bn{3+1}.\4"),
    (_HUGGING_FACE + r"shortcut\.convolution\.(.*)", r"layer{1+1}.\2.downsample.0.\3"),
    (_HUGGING_FACE + r"shortcut\.normalization\.(.*)", r"layer{1+1}.\2.downsample.1.\3"),
    (r"classifier\.1\.(weight|bias)", r"fc.\1"),
    # torchvision's published detectors, whose names are older than its modules'
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(.*)", r"roi_heads.mask_head.{1-1}.0.\2"),
    (r"(head\.\w+_head\.conv)\.(\d)\.(weight|bias)", r"\1.{2/2}.0.\3"),
)
_NUMBER = re.compile(r"\{(\d)([-+/])(\d)\}")  # in a replacement: that of a group, with another added or so
_CHANGED = {"+": operator.add, "-": operator.sub, "/": operator.floordiv}


def rename(state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """`state` under the keys of this library: without prefixes of wrappers, other libraries' names translated.

    Where `network` has a task's head, the layers of a classifier are those of its residual network.
    """
    own = network.state_dict()
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        while name.startswith(_WRAPPERS) and name not in own:
            name = name.split(".", 1)[1]
        if name == "n_averaged":  # torch's AveragedModel counts its updates
            continue
        if name not in own:
            name = translated(name, own)
        if name not in own:
            placed = (prefix + name for prefix in PREFIXES)
            name = next((each for each in placed if each in own or _counted(each) in own), name)
        if name.endswith(COUNT) and name not in own and _counted(name) in own:  # of norms that are frozen here
            continue
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
        if name.endswith(COUNT) and _counted(name) in renamed:
            renamed.setdefault(name, own[name])
    return renamed


def _counted(name: str) -> str:
    """The name of the running mean beside a count of batches; other names stay."""
    return name.removesuffix(COUNT) + "running_mean" if name.endswith(COUNT) else name


def translated(name: str, own: Container[str]) -> str:
    """Another library's name of a weight as ours (`_NAMES`); ours, and one that is not known, as it is.

    Args:
        own: the keys of the network.
    """
    found = []
    for pattern, replacement in _NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            numbered = _NUMBER.sub(partial(_number, match), replacement)
            found.append(match.expand(numbered))
    return next((each for each in found if any(p + each in own for p in PREFIXES)), found[0] if found else name)


def _number(match: re.Match[str], place: re.Match[str]) -> str:
    """What stands for "{1+1}" and the like in a replacement: the number in a group of `match`, changed."""
    return str(_CHANGED[place[2]](int(match[int(place[1])]), int(place[3])))


def unwrapped(name: str) -> str:
    """`name` without the prefixes of wrappers."""
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name
