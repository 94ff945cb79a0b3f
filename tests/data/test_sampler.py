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
