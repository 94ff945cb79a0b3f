from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.data.sampler import ClassBalance, EpochSampler


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


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 2**63 - 1))
def test_balanced_epochs_have_as_many_samples_of_each_class_and_use_each_of_them_alike(
    classes: list[int], seed: int
) -> None:
    labels = np.array(classes)
    count, present = len(labels), np.unique(labels)
    sampler = EpochSampler(count, count, seed, balance=ClassBalance(labels))
    for epoch in range(3):
        drawn = sampler.ids(epoch)
        by_class = np.bincount(labels[drawn], minlength=6)
        assert set(by_class[present]) <= {count // len(present), count // len(present) + 1}
        assert by_class.sum() == count
        times = np.bincount(drawn, minlength=count)
        for label in present:
            own = times[labels == label]
            assert own.max() - own.min() <= 1


def test_balanced_samples_are_a_function_of_seed_and_step() -> None:
    labels = np.arange(50) % 7 // 3

    def ids(step: int, seed: int = 0) -> list[int]:
        return [int(each) for each in EpochSampler(50, 8, seed, balance=ClassBalance(labels)).ids(step)]

    assert [ids(step) for step in (5, 11, 5)] == [ids(5), ids(11), ids(5)]
    assert ids(0) != ids(0, seed=1)
    assert len({tuple(sorted(EpochSampler(50, 50, 0, balance=ClassBalance(labels)).ids(e))) for e in range(3)}) == 3


def test_over_many_epochs_samples_come_as_torchs_weighted_sampler_draws_them() -> None:
    labels = np.array([0] * 60 + [1] * 30 + [2] * 10)
    sampler = EpochSampler(100, 100, 3, balance=ClassBalance(labels))
    times = np.bincount(np.concatenate([sampler.ids(epoch) for epoch in range(300)]), minlength=100) / 300
    weights = 1 / np.bincount(labels)[labels]  # of WeightedRandomSampler
    np.testing.assert_allclose(times, 100 * weights / weights.sum(), rtol=0.25)
    by_class = np.bincount(labels, times)
    np.testing.assert_allclose(by_class, 100 / 3, rtol=0.01)
