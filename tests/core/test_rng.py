"""Counter-based randomness: frozen values, and streams that never meet."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnets.core.rng import MAX_SEED, generator

WORD = 2**64 - 1


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox 4x64 with ten rounds in plain integers (Salmon et al. 2011, section 3.3)."""
    for _ in range(10):
        a, b = counter[0] * 0xD2E7470EE14C6C93, counter[2] * 0xCA5A826395121157
        counter = [b >> 64 ^ counter[1] ^ key[0], b & WORD, a >> 64 ^ counter[3] ^ key[1], a & WORD]
        key = [key[0] + 0x9E3779B97F4A7C15 & WORD, key[1] + 0xBB67AE8584CAA73B & WORD]
    return counter


def raw(seed: int, purpose: str, *indices: int, count: int = 8) -> list[int]:
    return [int(word) for word in generator(seed, purpose, *indices).bit_generator.random_raw(count)]


def test_the_reference_above_is_the_published_philox() -> None:
    # Random123 1.09, kat_vectors: philox4x64 10, all zeros.
    assert philox([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B,
    ]  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.integers(0, MAX_SEED), st.text(), st.lists(st.integers(0, WORD), max_size=3))
def test_a_stream_is_philox_keyed_by_seed_and_purpose_at_the_indices(
    seed: int, purpose: str, indices: list[int]
) -> None:
    key = [seed, int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")]
    places = [*indices, 0, 0, 0][:3]
    # NumPy counts before it draws, so the first block is numbered 1.
    assert raw(seed, purpose, *indices) == philox([1, *places], key) + philox([2, *places], key)


def test_numbers_are_what_they_were_when_the_first_runs_were_made() -> None:
    def fresh() -> np.random.Generator:
        return generator(7, "mixup", 3, 5)

    assert raw(0, "shuffle", count=2) == [0x1E7E2908C022B37C, 0xC736D5101DD42955]
    assert raw(MAX_SEED, "crop", WORD, 1, 2, count=2) == [0x0C1FAABA4159C707, 0xEACBAD3E630751A6]
    assert fresh().random(3).tolist() == [0.44188810973830517, 0.19162016614169242, 0.25257375233338986]
    assert fresh().permutation(8).tolist() == [1, 0, 5, 6, 7, 4, 3, 2]
    assert fresh().standard_normal(2, np.float32).tolist() == [-2.0996217727661133, 0.4941622316837311]
    np.testing.assert_allclose(fresh().beta(0.2, 0.2, 2), [0.9848979564161264, 0.034824185920267696], rtol=1e-14)


def test_numbers_are_the_same_in_any_order_of_asking() -> None:
    keys = list(itertools.product((0, 1), ("shuffle", "crop"), (0, 1), (0, 9)))
    forwards = {key: raw(*key) for key in keys}
    backwards = {key: raw(*key) for key in reversed(keys)}
    assert forwards == backwards


def test_no_two_seeds_purposes_or_indices_share_a_number() -> None:
    keys = itertools.product((0, 1, MAX_SEED), ("", "crop", "crop ", "view 0 Flip"), (0, 1, 300), (0, 1, 300))
    words = [word for key in keys for word in raw(*key, count=50)]
    assert len(words) == len(set(words)) == 3 * 4 * 3 * 3 * 50


@pytest.mark.parametrize("other", [(1, "crop", 0), (0, "mixup", 0), (0, "crop", 1), (0, "crop", 0, 1)])
def test_neighbouring_streams_are_uncorrelated(other: tuple[int, str, int]) -> None:
    ours, theirs = (generator(*key).random(100_000) for key in ((0, "crop", 0), other))
    assert abs(np.corrcoef(ours, theirs)[0, 1]) < 0.015  # 4.7 standard deviations


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, "crop", 1, 2, 3, 4), ValueError),
        ((-1, "crop"), OverflowError),
        ((0, "crop", -1), OverflowError),
        ((0, "crop", WORD + 1), OverflowError),
    ],
)
def test_what_has_no_place_in_key_or_counter_is_refused(
    arguments: tuple[int, str, int], error: type[Exception]
) -> None:
    with pytest.raises(error):
        generator(*arguments)
