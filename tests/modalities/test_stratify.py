from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.core import rng
from resnets.modalities.stratify import stratified_split


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.data())
def test_a_stratified_split_holds_out_in_proportion_to_class_sizes(counts: list[int], data: st.DataObject) -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    held_out = data.draw(st.integers(0, len(labels)))
    kept, out = stratified_split(labels, held_out, rng.generator(7, "test"))

    assert sorted([*kept, *out]) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept)
    assert out.tolist() == sorted(out)
    # Largest remainders (Hamilton's method), in exact arithmetic.
    exact = [Fraction(count * held_out, len(labels)) for count in counts]
    expected = [int(share) for share in exact]
    for label in sorted(range(len(counts)), key=lambda c: (int(exact[c]) - exact[c], c))[: held_out - sum(expected)]:
        expected[label] += 1
    assert np.bincount(labels[out], minlength=len(counts)).tolist() == expected


def test_a_split_depends_on_its_generator_alone() -> None:
    labels = np.arange(100) % 3
    splits = [stratified_split(labels, 20, rng.generator(seed, "test"))[1].tolist() for seed in (1, 1, 2)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]
