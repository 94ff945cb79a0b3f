"""Large images in overlapping tiles, each of which the network sees as an image."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from resnets.core.errors import UsageError
from resnets.evaluation.predictor import NetworkPredictor
from resnets.modalities.base import Dataset, whole
from resnets.modalities.image.read.decode_memory import one_image
from resnets.modalities.inputs import dataset_of
from resnets.tasks.regions import Place

LEAST = 16  # pixels of a side


@dataclass(frozen=True)
class Tiles:
    """How an image is cut.

    Args:
        size: pixels of each side of a tile; images no larger have one.
        overlap: the share of its side that a tile has in common with the next, from 0 to below 1: an object that is no
            larger than this is whole in a tile.

    Raises:
        UsageError: a value is out of range.
    """

    size: int
    overlap: float = 0.2

    def __post_init__(self) -> None:
        if self.size < LEAST:
            raise UsageError(f"--tile takes {LEAST} pixels or more, not {self.size}.")
        if not 0 <= self.overlap < 1:
            raise UsageError(f"--overlap takes a share from 0 to below 1, not {self.overlap:g}.")

    def places(self, height: int, width: int) -> Iterator[Place]:
        """The tiles of an image, row by row, evenly spread; together they cover it."""
        for top in self._starts(height):
            for left in self._starts(width):
                yield left, top, min(left + self.size, width), min(top + self.size, height)

    def _starts(self, side: int) -> list[int]:
        """Where tiles begin along a side: no further apart than the overlap allows."""
        rest = side - self.size
        if rest <= 0:
            return [0]
        steps = math.ceil(rest / max(1, int(self.size * (1 - self.overlap))))
        return [round(rest * number / steps) for number in range(steps + 1)]


@runtime_checkable
class JoinsTiles(Protocol):
    """A task whose answers to the tiles of an image can be joined."""

    def join_tiles(self, found: Sequence[tuple[Place, Any]], size: tuple[int, int]) -> Any:
        """The output for an image of `size`, height and width.

        Args:
            found: the output for each tile, in pixels of the tile, and its place.
        """
        ...


class TiledPredictor:
    """As `NetworkPredictor`, of images that are cut into tiles. Inputs are images that are decoded, tiles are made one
    at a time.

    Args:
        settings: the preprocessing of the model, such as `Canvas`.

    Raises:
        UsageError: the answers of the task cannot be joined.
    """

    def __init__(self, predictor: NetworkPredictor, tiles: Tiles, settings: Any) -> None:
        task = predictor.task
        if not isinstance(task, JoinsTiles):
            raise UsageError(f"--tile is for boxes, not for {task.settings.name}.")
        self.task = predictor.task
        self._joins: JoinsTiles = task
        self._predictor, self._tiles, self._settings = predictor, tiles, settings

    def load(self, dataset: Dataset, index: int) -> Image.Image:
        """The decoded image, upright."""
        settings = self._settings
        dataset, index = whole(dataset, index)
        with one_image():
            image: Image.Image = dataset.image(index, settings.color, settings.background)  # type: ignore[attr-defined]
            image.load()
            return image

    def predict(self, inputs: Sequence[Image.Image]) -> list[Any]:
        return [self._of_image(image) for image in inputs]

    def _of_image(self, image: Image.Image) -> Any:
        found = []
        for place in self._tiles.places(image.height, image.width):
            tile = dataset_of(self._settings, [image.crop(place)])
            found.append((place, self._predictor.predict([self._predictor.load(tile, 0)])[0]))
        return self._joins.join_tiles(found, (image.height, image.width))
