"""The 1,797 real handwritten digits, 8x8 pixels, that ship with scikit-learn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnets.core import rng
from resnets.modalities.base import DatasetSplits
from resnets.modalities.image.datasets.in_memory import InMemoryDataset
from resnets.modalities.stratify import stratified_split

# Fixed here before any result was seen: the day the paper appeared.
SPLIT_SEED = 20151210
TEST_SAMPLES = 360
VALIDATION_SAMPLES = 287  # a fifth of what is left to train on


def digits(*, validation: bool = False) -> DatasetSplits:
    """1,437 digits to train on and 360 to test on, split by class with a seed that is part of the dataset.

    Args:
        validation: hold out 287 of the 1,437 training digits as `val`, to tune on, and leave the test digits unused.
    """
    pixels, labels = _read()
    kept, held_out = stratified_split(labels, TEST_SAMPLES, rng.generator(SPLIT_SEED, "digits test"))
    if validation:
        inner, tuned = stratified_split(
            labels[kept], VALIDATION_SAMPLES, rng.generator(SPLIT_SEED, "digits validation")
        )
        kept, held_out = kept[inner], kept[tuned]
    train, test = (
        InMemoryDataset(tuple("0123456789"), labels[part], pixels[part], "digit", part) for part in (kept, held_out)
    )
    return DatasetSplits({"train": train, "val" if validation else "test": test}, color="L")


def _read() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels (1797, 1, 8, 8) from 0 to 255, and labels."""
    package = importlib.util.find_spec("sklearn")
    table = package and package.origin and Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if table and table.is_file():  # importing sklearn.datasets takes two seconds; its file is read in a tenth of one
        rows = np.loadtxt(table, delimiter=",", dtype=np.int64)
        levels, labels = rows[:, :-1], rows[:, -1]
    else:
        from sklearn.datasets import load_digits

        levels, labels = load_digits(return_X_y=True)
    pixels = np.rint(np.asarray(levels, np.float64) * (255 / 16)).astype(np.uint8)
    return pixels.reshape(-1, 1, 8, 8), np.asarray(labels, np.int64)
