"""Dropout between the global pool and the classifier."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch

import resnets
from resnets.core.errors import UsageError
from resnets.models.catalog import find
from resnets.models.heads import LinearHead
from resnets.models.initialize import create
from resnets.nn.stochastic import Dropout, set_rng_keys


def test_it_is_that_of_timms_drop_rate() -> None:
    """The same keys and logits, and in training each feature is 0 or divided by the share that is kept."""
    ours = create(replace(find("resnet18"), head=LinearHead(dropout=0.25)))
    theirs = timm.create_model("resnet18", drop_rate=0.25)
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), atol=1e-5, rtol=0)
        features = ours.forward_features(images)
        plain = ours.forward_head(features, pre_logits=True)
        dropped = ours.train().forward_head(features, pre_logits=True)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], plain[kept] / 0.75)
    assert kept[plain != 0].float().mean().item() == pytest.approx(0.75, abs=0.05)


def test_a_new_classifier_has_it_and_draws_as_the_last_layer() -> None:
    spec = replace(find("resnet18"), dropout=0.1, head=LinearHead(dropout=0.5))
    network = create(spec)
    network.reset_classifier(3)
    layers = [each for each in network.modules() if isinstance(each, Dropout)]
    assert [each.layer for each in layers] == list(range(len(layers)))
    assert layers[-1].rate == 0.5
    features = torch.ones(2, spec.num_features, 1, 1)
    set_rng_keys(network, torch.tensor([1, 2]))
    first = network.train().forward_head(features)
    assert torch.equal(network.forward_head(features), first)
    set_rng_keys(network, torch.tensor([1, 3]))
    assert torch.equal(network.forward_head(features)[0], first[0])
    assert not torch.equal(network.forward_head(features)[1], first[1])


def test_it_is_traced_and_scripted() -> None:
    network = create(replace(find("resnet18"), classes=2, head=LinearHead(dropout=0.5))).eval()
    images = torch.rand(1, 3, 32, 32)
    for made in (torch.jit.script(network), torch.jit.trace(network, images), torch.fx.symbolic_trace(network)):
        torch.testing.assert_close(made(images), network(images))


def test_a_rate_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match=r"head\.dropout must be in \[0, 1\), not 1"):
        resnets.create("resnet18", head=LinearHead(dropout=1.0))
