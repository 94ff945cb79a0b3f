"""A batch: its rows, its device, and which of its tensors are targets."""

from __future__ import annotations

import pytest
import torch

from resnets.modalities.batch import Batch


@pytest.fixture
def batch() -> Batch:
    return Batch(
        {
            "ids": torch.arange(4),
            "inputs": torch.arange(8.0).reshape(4, 2),
            "labels": torch.tensor([3, 2, 1, 0]),
            "partner_labels": torch.tensor([0, 1, 2, 3]),
            "lam": torch.full((4,), 0.5),
            "weights": torch.ones(4),
            "keys": torch.arange(4),
        },
        {"mask": tuple(torch.full((number, 2), number) for number in range(1, 5))},
    )


def test_rows_are_those_of_everything(batch: Batch) -> None:
    part = batch.rows(slice(1, 3))
    assert (len(batch), len(part)) == (4, 2)
    assert part.dense.keys() == batch.dense.keys()
    assert part["labels"].tolist() == [2, 1]
    assert part["inputs"].tolist() == [[2, 3], [4, 5]]
    assert [each.shape for each in part.ragged["mask"]] == [(2, 2), (3, 2)]
    assert len(Batch({}, batch.ragged)) == 4
    assert len(Batch({})) == 0


def test_dense_tensors_are_added_and_replaced_in_a_new_batch(batch: Batch) -> None:
    more = batch | {"inputs": torch.zeros(4), "sizes": torch.ones(4, 2)}
    assert ("sizes" in more, "sizes" in batch) == (True, False)
    assert more["inputs"].tolist() == [0, 0, 0, 0]
    assert batch["inputs"].shape == (4, 2)
    assert more["labels"] is batch["labels"]
    assert more.ragged is batch.ragged


def test_targets_are_what_has_no_other_meaning(batch: Batch) -> None:
    assert batch.targets().keys() == {"labels", "partner_labels"}


def test_everything_goes_to_the_device(batch: Batch) -> None:
    there = batch.to(torch.device("meta"))
    assert {each.device.type for each in (*there.dense.values(), *there.ragged["mask"])} == {"meta"}
    assert there.dense.keys() == batch.dense.keys()
    assert batch["inputs"].device.type == "cpu"
