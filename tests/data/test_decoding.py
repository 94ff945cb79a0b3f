from __future__ import annotations

import pytest
import torch

from resnets.core.errors import DataError
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.modalities.base import Dataset
from resnets.modalities.image.datasets.folder import FolderDataset
from resnets.modalities.image.transforms import (
    Augmentations,
    Flip,
    RandomResizedCrop,
)
from resnets.modalities.inputs import open_reader
from tests.conftest import break_middle
from tests.data.conftest import EVERYTHING, SMALL


def replacing(dataset: Dataset, augmentations: Augmentations, rows: slice | None = None, workers: int = 0) -> Batches:
    """Batches of 20 in ghost batches of 10 whose damaged rows repeat others."""
    return Batches(
        dataset,
        sampler=EpochSampler(len(dataset), 20, 0),
        reader=open_reader(SMALL, augmentations),
        seed=0,
        bn_batch=10,
        device=torch.device("cpu"),
        rows=rows,
        workers=workers,
        replace_damaged=True,
    )


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("augmentations", [Augmentations(crop=RandomResizedCrop()), EVERYTHING, Augmentations()])
def test_a_damaged_row_repeats_the_next_readable_one_of_its_ghost_batch_with_weight_0(
    folder: FolderDataset, augmentations: Augmentations, workers: int
) -> None:
    whole = replacing(folder, augmentations).make(0)
    made = replacing(folder, augmentations, workers=workers)
    found: list[tuple[int, int, str]] = []
    made.on_damaged = lambda *what: found.append(what)
    ids = made.sampler.ids(0)
    bad = [3, 9, 10]  # the second's next row is the first of the ghost batch, the third is of another one
    for row in bad:
        break_middle(folder.path(int(ids[row])))
    batch = next(iter(made.between(0, 1)))
    assert batch["ids"].tolist() == [int(ids[{3: 4, 9: 0, 10: 11}.get(row, row)]) for row in range(20)]
    assert torch.equal(batch["labels"], torch.from_numpy(folder.targets["labels"])[batch["ids"]])
    assert batch["weights"].tolist() == [float(row not in bad) for row in range(20)]
    assert [(step, sample) for step, sample, _ in found] == [(0, int(ids[row])) for row in bad]
    assert all(str(folder.path(sample)) in reason for _, sample, reason in found)
    if not augmentations.mix:
        good = [row for row in range(20) if row not in bad]
        assert torch.equal(batch["inputs"][good], whole["inputs"][good])
    if not augmentations.transforms:
        assert torch.equal(batch["inputs"][[3, 9, 10]], whole["inputs"][[4, 0, 11]])


@pytest.mark.parametrize("micro_batch", [10, 5, 4])
@pytest.mark.parametrize("augmentations", [Augmentations(crop=RandomResizedCrop(), transforms=(Flip(),)), EVERYTHING])
def test_ranks_replace_alike_though_the_readable_row_is_another_ranks(
    folder: FolderDataset, augmentations: Augmentations, micro_batch: int
) -> None:
    ids = replacing(folder, augmentations).sampler.ids(0)
    for row in (4, 5, 9):  # the last of a micro-batch of five, and the first of the next
        break_middle(folder.path(int(ids[row])))
    whole = replacing(folder, augmentations).make(0)
    found: list[int] = []
    for first in range(0, 20, micro_batch):
        part = replacing(folder, augmentations, slice(first, first + micro_batch))
        part.on_damaged = lambda step, sample, reason: found.append(sample)
        made = part.make(0)
        for name, value in made.dense.items():
            assert torch.equal(value, whole[name][first : first + micro_batch]), name
        assert ("weights" in made) or not {4, 5, 9} & set(range(first, first + micro_batch))
    assert found == [int(ids[row]) for row in (4, 5, 9)]  # each by one rank


def test_a_ghost_batch_without_a_readable_image_is_an_error(folder: FolderDataset) -> None:
    made = replacing(folder, Augmentations(crop=RandomResizedCrop()))
    for row in range(10):
        break_middle(folder.path(int(made.sampler.ids(0)[row])))
    with pytest.raises(DataError, match="None of the 10 images"):
        made.make(0)
