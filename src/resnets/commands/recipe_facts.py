"""What `train` finds out for the rules of recipes (`recipes.rules`): facts of the data and of the time."""

from __future__ import annotations

import contextlib
import statistics
from typing import TYPE_CHECKING, Any

from resnets.core.errors import DataError
from resnets.training.recipe import Precision

if TYPE_CHECKING:
    from resnets.modalities.base import Dataset, DatasetSplits
    from resnets.recipes.facts import DataFacts, TimeFacts

FILES, DECODED = 64, 16  # images whose size is read: from their headers, and where they have to be decoded
# Multiply-adds of forward passes that training does a second: on a core in bf16 and in fp32 (a 2.4th; of ResNet-18 on
# an AMD EPYC, benchmarks/results), on a GPU, on other devices. A rule needs only their magnitude.
SPEED = {"bf16": 22e9, "fp32": 9e9, "cuda": 2e12, "other": 2e11}
_GREY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L")


def data_facts(splits: DatasetSplits) -> DataFacts:
    """What the rules know of the data: counts, and the median size of `FILES` images spread evenly over `train`."""
    from resnets.recipes.facts import DataFacts

    train = splits.train
    sizes, modes = _sizes(train)
    middle = [int(statistics.median(each)) for each in zip(*sizes, strict=True)] or [224, 224]  # none can be read
    grey = splits.color == "L" or (bool(modes) and all(mode in _GREY_MODES for mode in modes))
    upright, lying = (sum(sign * (width - height) > 0 for width, height in sizes) for sign in (-1, 1))
    turned = min(upright, lying) >= max(1, len(sizes) / 10)
    return DataFacts(
        samples=len(train), classes=len(train.classes), height=middle[1], width=middle[0], task=train.task, grey=grey,
        names=tuple(train.classes), turned=turned,
    )  # fmt: skip


def _sizes(dataset: Dataset) -> tuple[list[tuple[int, int]], list[str]]:
    """Width and height of some images, upright, and their modes; those that cannot be read are left out."""
    from resnets.modalities.image.read.orientation import upright_size
    from resnets.modalities.image.read.pillow import read_header

    sizes, modes = [], []
    decodes = 0
    for number in range(min(FILES, len(dataset))):
        index = number * len(dataset) // min(FILES, len(dataset))
        with contextlib.suppress(DataError):
            if dataset.on_disk:
                with read_header(dataset.on_disk[0].path(index)) as image:
                    size, mode = upright_size(image), image.mode
            elif (encoded := dataset.encoded(index)) is not None:
                size, mode = upright_size(image := read_header(encoded)), image.mode
            elif (decodes := decodes + 1) <= DECODED:
                shown: Any = dataset
                size, mode = (image := shown.image(index, "RGB")).size, image.mode
            else:
                continue
            sizes.append(size)
            modes.append(mode)
    return sizes, modes


def time_facts(minutes: float | None, device: str, precision: Precision) -> TimeFacts | None:
    """What the rules know of a time budget; None without one."""
    if minutes is None:
        return None
    from resnets.recipes.facts import TimeFacts
    from resnets.training.environment import choose

    here = choose(device, precision)
    if here.device.startswith("cpu"):
        return TimeFacts(minutes=minutes, speed=SPEED[here.precision] * here.threads)
    return TimeFacts(minutes=minutes, speed=SPEED["cuda" if here.device.startswith("cuda") else "other"])
