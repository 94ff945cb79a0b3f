"""Stochastic depth and dropout: masks that depend on their keys alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from resnets.nn.stochastic import (
    ChannelDropout,
    Dropout,
    DropPath,
    Stochastic,
    number_stochastic_layers,
    set_rng_keys,
    uniforms,
)

KEYS = torch.arange(20_000, dtype=torch.int64) * 7919


def splitmix64(x: int) -> int:
    """The generator's finaliser in plain integers (Steele et al. 2014)."""
    mask = 2**64 - 1
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_numbers_are_the_published_hash() -> None:
    layer, key, position = 3, 123456789, 2
    stream = splitmix64((key + (layer + 1) * 0xD1342543DE82EF95) % 2**64)
    expected = splitmix64((stream + position * 0x9E3779B97F4A7C15) % 2**64) >> 40
    assert uniforms(torch.tensor([key]), layer, 2)[0, 1] == expected / 2**24


def test_numbers_look_uniform_and_independent() -> None:
    u = torch.cat([uniforms(KEYS, layer, 2) for layer in (0, 1, 250)], 1).double()
    assert 0 <= u.min() < 1e-3
    assert 1 - 1e-3 < u.max() < 1
    assert torch.allclose(u.mean(0), torch.full((6,), 0.5, dtype=torch.float64), atol=0.01)
    assert torch.allclose(u.var(0), torch.full((6,), 1 / 12, dtype=torch.float64), atol=0.002)
    correlation = torch.corrcoef(u.T) - torch.eye(6)
    assert correlation.abs().max() < 0.03


def with_rng_keys(layer: Stochastic, keys: torch.Tensor) -> Stochastic:
    set_rng_keys(layer, keys)
    return layer.train()


@pytest.mark.parametrize("kind", [DropPath, Dropout, ChannelDropout])
def test_a_mask_depends_on_the_sample_not_on_its_batch(kind: type[Stochastic]) -> None:
    x = torch.ones(20, 3, 4, 4)
    whole = with_rng_keys(kind(0.4), KEYS[:20])(x)
    parts = [with_rng_keys(kind(0.4), KEYS[rows])(x[rows]) for rows in (slice(0, 7), slice(7, 20))]
    assert torch.equal(whole, torch.cat(parts))


@pytest.mark.parametrize("kind", [DropPath, Dropout, ChannelDropout])
def test_the_rate_is_met_and_the_mean_kept(kind: type[Stochastic]) -> None:
    y = with_rng_keys(kind(0.3), KEYS)(torch.ones(len(KEYS), 1, 2))
    assert (y == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert y.mean().item() == pytest.approx(1, abs=0.02)


def test_stochastic_depth_drops_whole_samples() -> None:
    y = with_rng_keys(DropPath(0.5), KEYS[:50])(torch.ones(50, 3, 4)).flatten(1)
    assert ((y == 0).all(1) | (y == 2).all(1)).all()


def test_dropout_of_channels_drops_some_of_each_sample_whole() -> None:
    y = with_rng_keys(ChannelDropout(0.5), KEYS[:50])(torch.ones(50, 64, 3, 4)).flatten(2)
    assert ((y == 0).all(2) | (y == 2).all(2)).all()
    assert (y[:, :, 0].unique(dim=0) > 0).sum(1).unique().numel() > 5  # each sample has drawn its own


def test_nothing_is_dropped_in_evaluation() -> None:
    x = torch.randn(4, 3)
    assert torch.equal(DropPath(0.9).eval()(x), x)
    assert torch.equal(Dropout(0.9).eval()(x), x)
    assert torch.equal(ChannelDropout(0.9).eval()(x), x)


def test_layers_draw_apart() -> None:
    network = nn.Sequential(DropPath(0.5), DropPath(0.5))
    number_stochastic_layers(network)
    set_rng_keys(network, KEYS[:200])
    first, second = (layer.train()(torch.ones(200, 1)) for layer in network)
    assert not torch.equal(first, second)


def test_without_keys_the_masks_come_from_torch() -> None:
    layer = DropPath(0.5).train()
    torch.manual_seed(1)
    first = layer(torch.ones(100, 1))
    torch.manual_seed(1)
    assert torch.equal(first, layer(torch.ones(100, 1)))
    assert not torch.equal(first, layer(torch.ones(100, 1)))
