from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.data.sampler import EpochSampler


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**63 - 1))
def test_each_epoch_visits_every_sample_once_and_every_batch_is_full(samples: int, batch: int, seed: int) -> None:
    sampler = EpochSampler(samples, batch, seed)
    steps = -(-3 * samples // batch)
    drawn = [sampler.ids(step) for step in range(steps)]
    assert {len(ids) for ids in drawn} == {batch}
    visited = np.concatenate(drawn)
    for epoch in range(3):
        assert sorted(visited[epoch * samples : (epoch + 1) * samples]) == list(range(samples))
    backwards = [EpochSampler(samples, batch, seed).ids(step) for step in reversed(range(steps))]
    np.testing.assert_array_equal(np.concatenate(backwards[::-1]), visited)


def test_each_epoch_and_each_seed_has_an_order_of_its_own() -> None:
    orders = [EpochSampler(100, 100, seed).ids(step).tolist() for seed in (0, 1) for step in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert list(range(100)) not in orders


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 4), st.integers(2, 5), st.integers(0, 2**63 - 1))
def test_repeated_augmentation_shows_the_first_of_the_epoch_several_times(
    samples: int, bn_batch: int, ghost_batches: int, copies: int, seed: int
) -> None:
    batch = bn_batch * ghost_batches
    sampler = EpochSampler(samples, batch, seed, copies, ghost_batches)
    plain = np.concatenate([EpochSampler(samples, samples, seed).ids(epoch) for epoch in range(3)])
    # As torchvision's and timm's samplers: every index several times in a row, given to the processes in turn.
    expected = np.concatenate([plain[epoch * samples :][:samples].repeat(copies)[:samples] for epoch in range(3)])
    for step in range(len(expected) // batch):
        whole = expected[step * batch : (step + 1) * batch]
        for number, rows in enumerate(sampler.ids(step).reshape(ghost_batches, bn_batch)):
            np.testing.assert_array_equal(rows, whole[number::ghost_batches])


def test_the_order_of_repeated_samples_is_torchvisions() -> None:
    """RASampler of torchvision's references, without shuffling: rank r of 4 has every fourth of 0 0 0 1 1 1 ..."""
    sampler = EpochSampler(64, 16, 0, copies=3, ghost_batches=4)
    order = EpochSampler(64, 64, 0).ids(0)
    repeated = [number for number in range(64) for _ in range(3)]
    for rank in range(4):
        ours = np.concatenate([sampler.ids(step)[4 * rank : 4 * rank + 4] for step in range(4)])
        assert ours.tolist() == [order[number] for number in repeated[rank:64:4]]
    assert len(set(sampler.ids(0)[:4].tolist())) == 4


def test_epochs_of_repeated_samples_are_those_of_their_rows() -> None:
    sampler = EpochSampler(10, 4, 0, copies=2, ghost_batches=2)
    for step in range(5):
        ids, epochs = sampler.ids(step), sampler.epochs(step)
        for sample, epoch in zip(ids, epochs, strict=True):
            assert sample in EpochSampler(10, 10, 0).ids(int(epoch))[:5]
