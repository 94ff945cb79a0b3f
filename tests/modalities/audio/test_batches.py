"""Training batches of recordings: the same with any workers, on any rank, in any order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from resnets.core.errors import DataError
from resnets.data.loader import Batches
from resnets.data.sampler import EpochSampler
from resnets.data.scan import scan
from resnets.modalities.audio.augmentations import SoundAugmentations
from resnets.modalities.audio.datasets.folder import open_sounds
from resnets.modalities.audio.log_mel import LogMel
from resnets.modalities.base import Dataset
from resnets.modalities.batch import Batch
from resnets.modalities.inputs import open_reader
from tests.conftest import truncate
from tests.modalities.audio.sounds import write_classes

INPUT = LogMel(rate=8000, seconds=0.4)
EVERYTHING = SoundAugmentations(
    shift=1.0, speed=0.2, gain=6.0, frequency_masks=1, frequency_width=8, time_masks=2, time_width=9
)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Ten recordings at another rate than the input's, shorter and longer than its cut."""
    return open_sounds(write_classes(tmp_path / "sounds", {"cat": 5, "dog": 5}, rate=11025)).train


def batches(dataset: Dataset, augmentations: SoundAugmentations | None = EVERYTHING, **options: object) -> Batches:
    settings: dict[str, object] = {"workers": 0, "bn_batch": 6} | options
    return Batches(
        dataset,
        sampler=EpochSampler(len(dataset), 6, 0),
        reader=open_reader(INPUT, augmentations),
        seed=0,
        device=torch.device("cpu"),
        **settings,  # type: ignore[arg-type]
    )


def same(first: Batch, second: Batch) -> bool:
    return first.dense.keys() == second.dense.keys() and all(
        torch.equal(first[name], second[name]) for name in first.dense
    )


def test_workers_and_the_step_at_which_one_begins_change_nothing(dataset: Dataset) -> None:
    made = list(batches(dataset).between(0, 5))
    assert made[0]["inputs"].shape == (6, 1, 40, 41)
    assert made[0]["inputs"].dtype == torch.float32
    for workers in (0, 1, 2):
        again = list(batches(dataset, workers=workers).between(2, 5))
        assert all(same(first, second) for first, second in zip(made[2:], again, strict=True))


def test_each_rank_makes_its_rows_of_the_same_batch(dataset: Dataset) -> None:
    whole = batches(dataset).make(3)
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6), slice(1, 5)):
        assert same(batches(dataset, rows=rows, bn_batch=2).make(3), whole.rows(rows))


def test_every_epoch_draws_anew(dataset: Dataset) -> None:
    made = list(batches(dataset).between(0, 10))
    of_first = [
        batch["inputs"][row] for batch in made for row in range(6) if int(batch["ids"][row]) == 0
    ]  # fmt: skip
    assert len(of_first) == 6
    assert not any(torch.equal(of_first[0], other) for other in of_first[1:])


def test_samples_in_memory_give_the_batches_of_files(dataset: Dataset) -> None:
    found = scan(dataset, open_reader(INPUT), keep=True, statistics=False)
    assert found.prepared is not None
    assert found.prepared.dtype == np.float32
    held = batches(dataset, None, prepared=found.prepared)
    assert same(held.make(1), batches(dataset, None).make(1))


def test_a_scan_counts_remarks_and_names_damage(dataset: Dataset) -> None:
    truncate(Path(dataset.name(3)))
    for _ in range(2):  # the second time from the cache of the first
        found = scan(dataset, open_reader(INPUT), keep=False, statistics=False)
        assert list(found.damaged) == [3]
        assert found.damaged[3].startswith(f"{dataset.name(3)} is truncated")
        remarks = {INPUT.remarks[bit]: count for bit, count in found.remarks.items()}
        assert remarks == {"resampled": 9, "cut": 3}  # of 0.45 and 0.5 s, but for one of these
    longer = scan(dataset, open_reader(LogMel(rate=11025, seconds=1.0)), keep=False, statistics=False)
    assert longer.remarks == {}


def test_a_damaged_recording_is_replaced_with_weight_0_or_refused(dataset: Dataset) -> None:
    truncate(Path(dataset.name(3)))
    step = next(
        step for step in range(9) if 3 in EpochSampler(len(dataset), 6, 0).ids(step)
    )  # fmt: skip
    with pytest.raises(DataError, match="is truncated"):
        batches(dataset).make(step)
    batch = batches(dataset, replace_damaged=True).make(step)
    row = int(np.flatnonzero(EpochSampler(len(dataset), 6, 0).ids(step) == 3)[0])
    assert batch["weights"].tolist() == [float(each != row) for each in range(6)]
